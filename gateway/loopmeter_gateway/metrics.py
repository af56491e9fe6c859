"""What an operator watches, as Prometheus reads it at ``/metrics``. Counts and times only: no customer, no prompt."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from loopmeter import ChunkMeter

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The figures of one gateway. Its own registry, so that several gateways may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "loopmeter_requests", "Answers, by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "loopmeter_request_seconds",
            "From a request to the first byte of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._chunks = Counter("loopmeter_chunks", "Chunks delivered.", ["kind"], registry=self.registry)
        self._tokens = Counter("loopmeter_tokens_charged", "Tokens charged.", ["kind"], registry=self.registry)
        self._flops = Counter("loopmeter_flops", "Operations behind delivered chunks.", registry=self.registry)
        self._device = Counter(
            "loopmeter_device_seconds", "Time of the device behind delivered chunks.", registry=self.registry
        )
        self._jobs = Counter(
            "loopmeter_jobs_ended", "Jobs that ended, by state.", ["kind", "state"], registry=self.registry
        )
        self._lease_seconds = Histogram(
            "loopmeter_lease_seconds", "How long leases of the engine took.", buckets=_SECONDS, registry=self.registry
        )
        self._charge_seconds = Histogram(
            "loopmeter_charge_seconds",
            "From a chunk that is made to one that is stored and charged.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(f"loopmeter_{name}", text, registry=self.registry).set_function(value)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer has begun."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def delivered(self, kind: str, meter: ChunkMeter, seconds: float) -> None:
        """A chunk was charged and is durable."""
        self._chunks.labels(kind).inc()
        self._tokens.labels(kind).inc(meter.tokens)
        self._flops.inc(meter.flops)
        self._device.inc(meter.device_seconds)
        self._charge_seconds.observe(seconds)

    def ended(self, kind: str, state: str) -> None:
        """A job has ended."""
        self._jobs.labels(kind, state).inc()

    def leased(self, seconds: float) -> None:
        """A lease has ended."""
        self._lease_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text form."""
        return generate_latest(self.registry)
