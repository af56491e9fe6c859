"""A fake gateway joined to a client in the same process, behind the seam that sockets fill otherwise."""

from __future__ import annotations

from loopmeter._core import HttpRequest
from loopmeter._exceptions import ConnectionFailed
from loopmeter.testing._faults import ConnectionReset
from loopmeter.testing._gateway import FAKE_URL, FakeGateway
from loopmeter.testing._jobs import Answer


class InProcessTransport:
    """Carries requests to ``gateway`` by a call."""

    def __init__(self, gateway: FakeGateway, api_key: str | None) -> None:
        self._gateway = gateway
        self._api_key = api_key

    def send(self, request: HttpRequest) -> InProcessResponse:
        try:
            return InProcessResponse(self._gateway.answer(request, self._api_key))
        except ConnectionReset as error:
            raise _failed(request.idempotency_key) from error

    def close(self) -> None:
        """Nothing is open."""


class InProcessResponse:
    """An answer whose body is made while it is read."""

    def __init__(self, answer: Answer) -> None:
        self._body = answer.body
        self.status = answer.status
        self.headers = answer.headers

    def read(self) -> bytes:
        try:
            return next((piece for piece in self._body if piece), b"")
        except ConnectionReset as error:
            raise _failed(None) from error

    def close(self) -> None:
        self._body = iter(())


class AsyncInProcessTransport:
    """As ``InProcessTransport``."""

    def __init__(self, gateway: FakeGateway, api_key: str | None) -> None:
        self._blocking = InProcessTransport(gateway, api_key)

    async def send(self, request: HttpRequest) -> AsyncInProcessResponse:
        return AsyncInProcessResponse(self._blocking.send(request))

    async def aclose(self) -> None:
        """Nothing is open."""


class AsyncInProcessResponse:
    """As ``InProcessResponse``. Other tasks run between two pieces, as they would with a socket."""

    def __init__(self, response: InProcessResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        import asyncio

        await asyncio.sleep(0)
        return self._response.read()

    async def aclose(self) -> None:
        self._response.close()


def _failed(idempotency_key: str | None) -> ConnectionFailed:
    return ConnectionFailed(FAKE_URL, "a scripted fault", idempotency_key=idempotency_key)
