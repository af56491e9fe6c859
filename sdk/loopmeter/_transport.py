"""Sockets and clocks behind the seam of ``_core.py``. The only module that knows httpx, and loads it on first use.

No httpx class leaves this file: its errors become ``ConnectionFailed``, its timeouts are ``Timeout``.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loopmeter._core import HttpRequest
from loopmeter._exceptions import ConnectionFailed
from loopmeter._settings import Timeout, installed_version

if TYPE_CHECKING:
    import httpx


class HttpxTransport:
    """Carries requests to the gateway at ``url`` over httpx, through ``proxy`` if given (http, https, socks5).

    Without one, ``HTTPS_PROXY`` and its kin hold, but not for a gateway on loopback. ``inner`` replaces the sockets of
    httpx, for tests and for odd networks.

    Raises:
        ValueError: ``proxy`` is not the address of a proxy.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout: Timeout,
        *,
        proxy: str | None = None,
        inner: httpx.BaseTransport | None = None,
    ) -> None:
        import httpx

        self._client = httpx.Client(transport=inner, **_settings(url, api_key, timeout, proxy))
        self._url = url

    def send(self, request: HttpRequest) -> HttpxResponse:
        import httpx

        try:
            response = self._client.send(_built(self._client, request), stream=True)
        except httpx.TransportError as error:
            raise _failed(self._url, error, request.idempotency_key) from error
        return HttpxResponse(self._url, response)

    def close(self) -> None:
        self._client.close()


class HttpxResponse:
    """An answer whose body is still on its way."""

    def __init__(self, url: str, response: httpx.Response) -> None:
        self._url = url
        self._response = response
        self._pieces: Iterator[bytes] = response.iter_raw() if _is_plain(response) else response.iter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    def read(self) -> bytes:
        import httpx

        try:
            for piece in self._pieces:
                if piece:
                    return piece
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _failed(self._url, error, None) from error
        return b""

    def close(self) -> None:
        self._response.close()


class AsyncHttpxTransport:
    """As ``HttpxTransport``."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout: Timeout,
        *,
        proxy: str | None = None,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        import httpx

        self._client = httpx.AsyncClient(transport=inner, **_settings(url, api_key, timeout, proxy))
        self._url = url

    async def send(self, request: HttpRequest) -> AsyncHttpxResponse:
        import httpx

        try:
            response = await self._client.send(_built(self._client, request), stream=True)
        except httpx.TransportError as error:
            raise _failed(self._url, error, request.idempotency_key) from error
        return AsyncHttpxResponse(self._url, response)

    async def aclose(self) -> None:
        await self._client.aclose()


class AsyncHttpxResponse:
    """As ``HttpxResponse``."""

    def __init__(self, url: str, response: httpx.Response) -> None:
        self._url = url
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_raw() if _is_plain(response) else response.aiter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        import httpx

        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _failed(self._url, error, None) from error
        return b""

    async def aclose(self) -> None:
        await self._response.aclose()


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class AsyncSystemClock:
    """The machine's clock, waiting in asyncio."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


def _settings(url: str, api_key: str | None, timeout: Timeout, proxy: str | None) -> dict[str, Any]:
    import httpx

    settings: dict[str, Any] = {
        "base_url": url,
        "headers": _headers(api_key),
        "timeout": _limits(timeout),
        # A proxy from the environment cannot reach a gateway on our own loopback.
        "trust_env": proxy is None and not _is_loopback(urlsplit(url).hostname or ""),
    }
    if proxy is not None:
        try:
            settings["proxy"] = httpx.Proxy(proxy)
        except (ValueError, httpx.InvalidURL):  # Its message shows the password of the proxy.
            raise ValueError("expected a proxy such as http://127.0.0.1:3128, found no address of one") from None
    return settings


def _limits(timeout: Timeout) -> httpx.Timeout:
    import httpx

    return httpx.Timeout(connect=timeout.connect_s, read=timeout.read_s, write=timeout.write_s, pool=timeout.pool_s)


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"loopmeter-python/{installed_version()}"}
    return headers | ({"Authorization": f"Bearer {api_key}"} if api_key else {})


def _is_plain(response: httpx.Response) -> bool:
    """Whether the body is what travels: looking for an encoding in each piece costs as much as checking a chunk."""
    return "content-encoding" not in response.headers and not response.is_stream_consumed


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _built(client: httpx.Client | httpx.AsyncClient, request: HttpRequest) -> httpx.Request:
    return client.build_request(
        request.method,
        request.path,
        headers=dict(request.headers),
        content=request.body or None,
        timeout=client.timeout if request.timeout is None else _limits(request.timeout),
    )


_REASONS = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "silence for too long",
    "WriteTimeout": "the request could not be sent in time",
    "PoolTimeout": "all connections of this client are in use; leave the streams that you have done with",
}


def _failed(url: str, error: Exception, idempotency_key: str | None) -> ConnectionFailed:
    name = type(error).__name__
    return ConnectionFailed(url, str(error) or _REASONS.get(name, name), idempotency_key=idempotency_key)
