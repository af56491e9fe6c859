"""Spans for OpenTelemetry, if it is installed (extra ``otel``); nothing otherwise.

Where spans go is configured as usual for OpenTelemetry, by the environment (``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_SERVICE_NAME``) under ``opentelemetry-instrument``, or by a program that sets a tracer provider.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

try:
    from opentelemetry import trace
except ModuleNotFoundError:
    _tracer = None
else:
    _tracer = trace.get_tracer("loopmeter_gateway")


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """A span around a block, a child of the one that is open."""
    if _tracer is None:
        return nullcontext()
    return _tracer.start_as_current_span(name, attributes={f"loopmeter.{key}": attributes[key] for key in attributes})
