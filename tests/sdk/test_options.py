"""What a client may be told: limits, timeouts, proxies; what it logs, and what it never shows."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loopmeter import (
    AsyncLoopmeter,
    BudgetExceeded,
    ConnectionFailed,
    Loopmeter,
    LoopmeterError,
    NotFound,
    StreamInterrupted,
    Timeout,
)
from loopmeter.testing import Cut, FakeGateway, Refuse, Unreachable, make_error

KEY = "lm_0123456789abcdefSECRET"


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_with_options_changes_a_copy_and_shares_the_connections() -> None:
    gateway = FakeGateway()
    client = gateway.client()

    careful = client.with_options(max_tokens=10, max_retries=0)

    with pytest.raises(BudgetExceeded):
        careful.loops.create("drums")
    assert client.loops.create("drums", bars=1).tokens_charged == 800
    gateway.faults.extend([Refuse(503)] * 2)
    gateway.faults_on = "/"
    with pytest.raises(LoopmeterError):
        careful.balance()
    assert client.balance().posted == 99_200
    with pytest.raises(BudgetExceeded):
        careful.with_options(patience_s=1).loops.create("drums")


def test_closing_a_copy_leaves_the_connections_open() -> None:
    with FakeGateway().serve() as url, Loopmeter(url) as client:
        with client.with_options(max_retries=1) as twin:
            twin.balance()
        assert client.balance().available == 100_000


@pytest.mark.parametrize("options", [{"max_retries": -1}, {"patience_s": -0.5}, {"max_tokens": -1}])
def test_a_negative_option_is_named(options: dict[str, int]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}: expected 0 or more, found -"):
        FakeGateway().client().with_options(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=name):
        Loopmeter(**options)  # type: ignore[arg-type]


def test_the_phases_have_own_timeouts() -> None:
    with silent_server() as url:
        client = Loopmeter(url, max_retries=0, timeout=Timeout(read_s=0.01))
        with pytest.raises(ConnectionFailed, match=r"timed out|silence for too long"), client:
            client.balance()


def test_with_options_sets_the_timeout_of_every_request() -> None:
    with silent_server() as url, Loopmeter(url) as client, pytest.raises(ConnectionFailed):
        client.with_options(timeout=Timeout(read_s=0.01), max_retries=0).balance()


def test_a_custom_transport_is_told_the_timeout() -> None:
    gateway = FakeGateway()

    gateway.client().with_options(timeout=Timeout(read_s=3)).balance()
    gateway.client().balance()

    assert [request.timeout for request in gateway.requests] == [Timeout(read_s=3), None]


def test_requests_go_through_the_proxy_that_is_named() -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def proxy() -> None:
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=proxy)
        thread.start()
        address = f"http://someone:hush@127.0.0.1:{listener.getsockname()[1]}"
        with Loopmeter("http://gateway.test", KEY, proxy=address) as client, pytest.raises(NotFound):
            client.balance()
        thread.join()

    assert seen[0].startswith(b"GET http://gateway.test/v1/balance ")
    assert b"Proxy-Authorization: Basic" in seen[0]


@pytest.mark.parametrize("proxy", ["kazoo://user:hush@somewhere", "ftp://user:hush@here:1"])
def test_a_wrong_proxy_is_refused_without_showing_its_password(proxy: str) -> None:
    with pytest.raises(ValueError, match="expected a proxy such as") as caught:
        Loopmeter(proxy=proxy)

    assert "hush" not in str(caught.value) and caught.value.__suppress_context__


def test_a_proxy_belongs_to_the_transport() -> None:
    with pytest.raises(ValueError, match="expected proxy or transport, found both"):
        FakeGateway().client(proxy="http://127.0.0.1:1")  # type: ignore[call-arg]


def test_calls_retries_and_breaks_are_logged_and_the_key_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = FakeGateway(api_key=KEY, faults=[Refuse(503), Cut(70_000)])

    with gateway.serve() as url, Loopmeter(url, KEY) as client:
        client.loops.create("drums", bars=1)
        gateway.faults_on, _ = "/", gateway.faults.append(Refuse(500))
        client.balance()
        shown = repr(client)

    own = [record.getMessage() for record in caplog.records if record.name == "loopmeter"]
    assert any(line.startswith("POST /v1/loops: 503 after") and "request" in line for line in own)
    assert sum(line.startswith("stream broken, resumed in") for line in own) == 2
    assert sum(line.startswith("try 2 in") for line in own) == 1
    assert shown == f"Loopmeter({url!r}, api_key='lm_…CRET')"
    assert KEY not in caplog.text + shown


def test_a_key_from_a_file_with_its_line_end_works() -> None:
    with FakeGateway(api_key=KEY).serve() as url, Loopmeter(url, KEY + "\n") as client:
        assert client.balance().available == 100_000


@pytest.mark.parametrize("key", ["lm_two words", "lm_\x00null", "lm_schlüssel"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="expected an API key such as lm_…") as caught:
        AsyncLoopmeter(api_key=key)

    assert key[3:] not in str(caught.value)


def test_a_password_in_the_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="expected an address without user and password") as caught:
        Loopmeter("http://user:hush@gateway.test")

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "code", "status", "request_id", "retryable"),
    [
        (make_error(402, "insufficient_tokens"), "insufficient_tokens", 402, "req_fake", False),
        (make_error(503, "not_ready"), "not_ready", 503, "req_fake", True),
        (ConnectionFailed("http://x", "refused"), "connection_failed", None, None, True),
        (StreamInterrupted("job_1", 2, "cut"), "stream_interrupted", None, None, True),
        (BudgetExceeded(2, 1), "budget_exceeded", None, None, False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_error_says_what_it_is_and_what_to_do(
    error: LoopmeterError, code: str, status: int | None, request_id: str | None, retryable: bool
) -> None:
    assert (error.code, error.status, error.request_id, error.retryable) == (code, status, request_id, retryable)
    assert error.advice and error.message == str(error) and error.advice in str(error)


def test_an_order_that_never_arrived_names_its_key_on_the_error() -> None:
    client = FakeGateway(faults=[Cut(3, reset=True), *[Unreachable()] * 9]).client(max_retries=0)

    with pytest.raises(ConnectionFailed) as caught:
        client.loops.create("drums", idempotency_key="mine")

    assert caught.value.idempotency_key == "mine"


def test_a_stream_that_came_to_its_end_leaves_its_connection_to_the_next_call() -> None:
    with FakeGateway().serve() as url, Loopmeter(url) as client:
        client.loops.create("drums", bars=1)
        pool = client._transport._client._transport._pool  # type: ignore[attr-defined]
        before = pool.connections
        client.loops.create("bass", bars=1)

        assert pool.connections == before
