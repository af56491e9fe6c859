"""A fake gateway behind a real socket, for programs that know nothing but an address."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from loopmeter._core import HttpRequest
from loopmeter.testing._faults import ConnectionReset
from loopmeter.testing._gateway import FakeGateway
from loopmeter.testing._jobs import Answer

_NO_LINGER = struct.pack("ii", 1, 0)  # Closing sends a reset instead of a goodbye.
_HEADERS = ("Accept", "Content-Type", "Idempotency-Key", "Loopmeter-Max-Tokens")


@contextmanager
def serving(gateway: FakeGateway) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    server = _Server(gateway)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: value for name in _HEADERS if (value := self.headers.get(name)) is not None}
        request = HttpRequest(method, self.path, headers, body)  # type: ignore[arg-type]  # One of three, as above.
        key = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        try:
            self._send(cast(_Server, self.server).gateway.answer(request, key))
        except ConnectionReset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.close_connection = True
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True  # The client has left; what was charged stays charged.

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in answer.body:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: a test's output is its own."""
