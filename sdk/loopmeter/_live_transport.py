"""Sockets of live sessions. The only module that knows ``websockets``, and loads it on first use.

``pip install 'loopmeter[live]'`` brings it. No class of it leaves this file: its errors become ``ConnectionFailed``.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from loopmeter._exceptions import Conflict, ConnectionFailed, LoopmeterError
from loopmeter._live_messages import LIVE_PATH
from loopmeter._models import Problem
from loopmeter._settings import Timeout

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection as AsyncConnection
    from websockets.sync.client import ClientConnection

_MESSAGE_BYTES_MAX = 8 * 2**20
_CLOSE_S = 1.0
_TAKEN_OVER = 4409


class LiveSocket(Protocol):
    """One connection. ``send`` may be called from another thread than ``receive``. All raise ``ConnectionFailed``."""

    def send(self, text: str) -> None: ...
    def receive(self, timeout_s: float) -> str | bytes:
        """The next message; silence for ``timeout_s`` breaks the connection."""
        ...

    def close(self) -> None: ...


class LiveTransport(Protocol):
    """What opens connections to ``WS /v1/live``."""

    def connect(self) -> LiveSocket: ...


class AsyncLiveSocket(Protocol):
    """As ``LiveSocket``."""

    async def send(self, text: str) -> None: ...
    async def receive(self, timeout_s: float) -> str | bytes: ...
    async def aclose(self) -> None: ...


class AsyncLiveTransport(Protocol):
    """As ``LiveTransport``."""

    async def connect(self) -> AsyncLiveSocket: ...


class WebsocketTransport:
    """Connects to the gateway at ``url`` over websockets."""

    def __init__(self, url: str, api_key: str | None, timeout: Timeout) -> None:
        self._url = url
        self._api_key = api_key
        self._timeout = timeout

    def connect(self) -> WebsocketSocket:
        connect = _websockets("sync.client").connect
        opened = ExitStack()
        try:
            connection = opened.enter_context(connect(**_options(self._url, self._api_key, self._timeout)))
        except Exception as error:
            raise _failed(self._url, error) from error
        return WebsocketSocket(self._url, connection, opened)


class WebsocketSocket:
    """A ``LiveSocket``."""

    def __init__(self, url: str, connection: ClientConnection, opened: ExitStack) -> None:
        self._url = url
        self._connection = connection
        self._opened = opened

    def send(self, text: str) -> None:
        try:
            self._connection.send(text)
        except Exception as error:
            raise _failed(self._url, error) from error

    def receive(self, timeout_s: float) -> str | bytes:
        try:
            return self._connection.recv(timeout_s)
        except Exception as error:
            raise _failed(self._url, error) from error

    def close(self) -> None:
        self._opened.close()


class AsyncWebsocketTransport:
    """As ``WebsocketTransport``."""

    def __init__(self, url: str, api_key: str | None, timeout: Timeout) -> None:
        self._url = url
        self._api_key = api_key
        self._timeout = timeout

    async def connect(self) -> AsyncWebsocketSocket:
        connect = _websockets("asyncio.client").connect
        try:
            return AsyncWebsocketSocket(self._url, await connect(**_options(self._url, self._api_key, self._timeout)))
        except Exception as error:
            raise _failed(self._url, error) from error


class AsyncWebsocketSocket:
    """An ``AsyncLiveSocket``."""

    def __init__(self, url: str, connection: AsyncConnection) -> None:
        self._url = url
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except Exception as error:
            raise _failed(self._url, error) from error

    async def receive(self, timeout_s: float) -> str | bytes:
        import asyncio

        try:
            return await asyncio.wait_for(self._connection.recv(), timeout_s)
        except Exception as error:
            raise _failed(self._url, error) from error

    async def aclose(self) -> None:
        await self._connection.close()


def _websockets(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"websockets.{module}")
    except ModuleNotFoundError as error:
        raise LoopmeterError(
            "expected the package 'websockets', found none; install it with: pip install 'loopmeter[live]'"
        ) from error


def _options(url: str, api_key: str | None, timeout: Timeout) -> dict[str, Any]:
    return {
        "uri": "ws" + url.removeprefix("http") + LIVE_PATH,
        "additional_headers": {"Authorization": f"Bearer {api_key}"} if api_key else {},
        "compression": None,
        "open_timeout": timeout.connect_s,
        "close_timeout": _CLOSE_S,
        "max_size": _MESSAGE_BYTES_MAX,
        "proxy": None,
    }


def _failed(url: str, error: Exception) -> LoopmeterError:
    """Whatever a socket raises: of the operating system, of the library, or a time that ran out."""
    if isinstance(error, LoopmeterError):
        return error
    received = getattr(error, "rcvd", None)  # of websockets' ConnectionClosed: the other side's last word
    if received is not None and received.code == _TAKEN_OVER:
        detail = "expected to be the only connection of this session, found that a later one took it over"
        return Conflict(Problem(status=409, code="taken_over", detail=detail))
    return ConnectionFailed(url, str(error) or type(error).__name__)
