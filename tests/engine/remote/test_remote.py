"""An engine behind HTTP keeps the contract, whatever becomes of the connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, EngineFailed, EngineInfo, InvalidRequest
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.registry import EngineUnavailable, open_engine
from loopmeter_engine.remote import client, wire
from loopmeter_engine.remote.client import RemoteEngine, RemoteLiveEngine
from loopmeter_engine.stopping import LeaseStopped, check_wanted
from loopmeter_engine.testing import EngineContract, LiveEngineContract, make_all

from .served import served

REQUEST = LoopRequest(prompt="x", tempo_bpm=120, bars=4)
WHOLE = make_all(FakeEngine(), REQUEST)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(FakeEngine()) as address:
        yield address


class TestARemoteEngineKeepsTheContract(EngineContract, LiveEngineContract):
    @pytest.fixture
    def engine(self, url: str) -> Iterator[RemoteEngine]:
        remote = RemoteLiveEngine(url)
        yield remote
        remote.close()


def test_it_is_the_engine_over_there(url: str) -> None:
    remote, local = RemoteEngine(url), FakeEngine()
    assert remote.info() == local.info()
    assert remote.plan(REQUEST) == local.plan(REQUEST)
    assert remote.score(REQUEST) == local.score(REQUEST)
    assert make_all(remote, REQUEST) == WHOLE
    remote.close()


def test_an_address_is_an_engine_for_whoever_opens_engines_by_name(url: str) -> None:
    remote = open_engine(url)
    assert isinstance(remote, RemoteLiveEngine) and remote.info().name == "fake"
    remote.close()


class _Cuts(httpx.BaseTransport):
    """Cuts the answer to every lease after some bytes, ``times`` times; then lets them pass."""

    def __init__(self, after_bytes: int, times: int, how: str) -> None:
        self._inner = httpx.HTTPTransport()
        self._after_bytes, self._times, self._how = after_bytes, times, how
        self.starts: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/lease":
            self.starts.append(client.wire.LeaseCall.model_validate_json(request.read()).start_chunk)
        response = self._inner.handle_request(request)
        if request.url.path != "/lease" or self._times == 0:
            return response
        self._times -= 1
        if self._how == "5xx":
            response.close()
            return httpx.Response(503)
        assert isinstance(response.stream, httpx.SyncByteStream)
        return httpx.Response(200, stream=_Cut(response.stream, self._after_bytes, self._how))

    def close(self) -> None:
        self._inner.close()


class _Cut(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, after_bytes: int, how: str) -> None:
        self._inner, self._left, self._how = inner, after_bytes, how

    def __iter__(self) -> Iterator[bytes]:
        for data in self._inner:
            part = data[: self._left]
            self._left -= len(part)
            yield part
            if len(part) < len(data):
                if self._how == "reset":
                    raise httpx.ReadError("connection reset")
                if self._how == "silence":
                    raise httpx.ReadTimeout("nothing came")
                if self._how == "garbage":
                    yield b"\0" * 64
                return

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("how", ["reset", "silence", "short", "garbage", "5xx"])
@pytest.mark.parametrize("after_bytes", [0, 10, 60_000, 200_001])
def test_a_broken_lease_goes_on_from_its_last_chunk(url: str, how: str, after_bytes: int) -> None:
    transport = _Cuts(after_bytes, times=3, how=how)
    slept: list[float] = []
    remote = RemoteEngine(url, transport=transport, sleep=slept.append)

    assert make_all(remote, REQUEST) == WHOLE
    assert 2 <= len(slept) <= 3  # The last cut may fall behind the end of a lease.
    assert transport.starts == sorted(transport.starts)
    remote.close()


def test_waits_double_and_patience_has_an_end(url: str) -> None:
    slept: list[float] = []
    remote = RemoteEngine(
        url, transport=_Cuts(0, times=1000, how="short"), sleep=slept.append, now=lambda: sum(slept), patience_s=3.0
    )
    with pytest.raises(EngineFailed, match=r"engine at http://127.* lost the stream before chunk 0"):
        make_all(remote, REQUEST)
    assert slept[:5] == [0.05, 0.1, 0.2, 0.4, 0.5]
    assert 2.5 < sum(slept) <= 3.0
    remote.close()


def test_nobody_there_is_said_with_the_address() -> None:
    with pytest.raises(EngineUnavailable, match=r"engine at http://127\.0\.0\.1:1: .*loopmeter engine serve"):
        RemoteEngine("http://127.0.0.1:1", patience_s=0.0)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_token_nothing_is_told(token: str | None) -> None:
    with served(FakeEngine(), token="secret") as address:
        with pytest.raises(EngineUnavailable, match="expected the token"):
            RemoteEngine(address, token)
        remote = RemoteEngine(address, "secret")
        assert make_all(remote, REQUEST) == WHOLE
        remote.close()


def test_an_invalid_request_keeps_its_field(url: str) -> None:
    remote = RemoteEngine(url)
    with pytest.raises(InvalidRequest, match="expected an engine that can do lyrics") as caught:
        remote.plan(REQUEST.model_copy(update={"lyrics": "la"}))
    assert caught.value.field == "lyrics"
    remote.close()


def test_a_failure_over_there_is_a_failure_here() -> None:
    with served(FakeEngine(fail_at_chunk=2)) as address:
        remote = RemoteEngine(address)
        stream = remote.lease(REQUEST, 0, 4, None)
        assert [next(stream), next(stream)] == WHOLE[:2]
        with pytest.raises(EngineFailed, match="chunk 2 failed"):
            next(stream)
        remote.close()


class _Changing(FakeEngine):
    version = "1"

    def info(self) -> EngineInfo:
        return replace(super().info(), fingerprint=f"fake-{self.version}")


def test_an_engine_that_was_changed_is_no_continuation_and_is_met_anew() -> None:
    engine = _Changing()
    with served(engine) as address:
        remote = RemoteEngine(address)
        first = next(remote.lease(REQUEST, 0, 1, None))
        engine.version = "2"
        with pytest.raises(EngineFailed, match="expected a lease for 'fake-2', found one for 'fake-1'"):
            list(remote.lease(REQUEST, 1, 1, first.state_after))
        assert remote.info().fingerprint == "fake-2"
        assert make_all(remote, REQUEST) == WHOLE
        remote.close()


class _Watched(FakeEngine):
    """Says when its lease was closed, and waits before the second chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()
        self.go_on = threading.Event()

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        def watched(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            try:
                for chunk in chunks:
                    if chunk.index == 1:
                        self.go_on.wait(timeout=20)
                    yield chunk
            finally:
                self.closed.set()

        return watched(super().lease(request, start_chunk, count, state))


def test_leaving_a_lease_closes_it_over_there() -> None:
    engine = _Watched()
    with served(engine) as address:
        remote = RemoteEngine(address)
        stream = remote.lease(REQUEST, 0, 8, None)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # A generator, as the contract suite checks.
        engine.go_on.set()
        assert engine.closed.wait(timeout=20)
        remote.close()


def test_leaving_a_lease_stops_it_over_there_within_its_chunk() -> None:
    begun, stopped = threading.Event(), threading.Event()

    def step(_: float) -> None:
        begun.set()
        try:
            for _ in range(10_000):
                check_wanted()
                threading.Event().wait(0.002)
        except LeaseStopped:
            stopped.set()
            raise

    with served(FakeEngine(chunk_delay_s=1.0, sleep=step)) as address:
        remote = RemoteEngine(address)
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client_that_leaves:
            body = wire.LeaseCall(
                request=REQUEST, start_chunk=0, count=1, fingerprint=remote.info().fingerprint
            ).model_dump_json()
            head = f"POST /lease HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client_that_leaves.sendall((head + body).encode())
            assert begun.wait(timeout=20)
        assert stopped.wait(timeout=20)
        remote.close()


def test_as_many_leases_run_over_there_at_once_as_the_engine_allows() -> None:
    met = threading.Barrier(3)

    def meet(_: float) -> None:
        met.wait(timeout=20)

    with served(FakeEngine(chunk_delay_s=1.0, streams_at_once=3, sleep=meet)) as address:
        remote = RemoteEngine(address)
        assert remote.info().streams_at_once == 3
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda _: make_all(remote, REQUEST), range(3))) == [WHOLE] * 3
        remote.close()


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[" * 10_000], ids=["empty", "fields", "null", "deep"])
def test_a_wrong_call_is_refused_and_the_server_lives(url: str, body: bytes) -> None:
    for path in ("/plan", "/score", "/lease"):
        answer = httpx.post(url + path, content=body)
        assert answer.status_code == 400 and answer.json()["kind"] == "value"
    assert httpx.get(url + "/healthz").json() == {"status": "ok"}
    assert httpx.get(url + "/nothing").status_code == 404
