"""A client on the real liblo over TCP: ``python liblo_client.py PORT slip|length``; reads commands, prints answers.

A command is a line ``address types value …``, its fields apart by tabs. Each answer is printed the same way. liblo is
called through its C interface, because its command-line tools can neither frame with SLIP nor read answers on the
connection that they asked on. The first line that it prints is a UDP port where it listens too: liblo 0.31 frames
with SLIP what it sends, but reads every connection that it opened as length-prefixed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import select
import sys

LO_UDP, LO_TCP = 1, 4
_HANDLER = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def load() -> ctypes.CDLL:
    name = ctypes.util.find_library("lo")
    if name is None:
        raise OSError("expected liblo")
    lo = ctypes.CDLL(name)
    for function in ("lo_server_new_with_proto", "lo_address_new_with_proto", "lo_message_new", "lo_server_add_method"):
        getattr(lo, function).restype = ctypes.c_void_p
    lo.lo_message_add_float.argtypes = [ctypes.c_void_p, ctypes.c_float]
    lo.lo_message_add_int32.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    lo.lo_message_add_string.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return lo


def main(port: str, framing: str) -> None:
    lo = load()
    server = ctypes.c_void_p(lo.lo_server_new_with_proto(None, LO_TCP, None))
    datagrams = ctypes.c_void_p(lo.lo_server_new_with_proto(None, LO_UDP, None))
    print(lo.lo_server_get_port(datagrams), flush=True)
    address = ctypes.c_void_p(lo.lo_address_new_with_proto(LO_TCP, b"127.0.0.1", port.encode()))
    lo.lo_address_set_stream_slip(address, int(framing == "slip"))

    def heard(path: bytes, types: bytes, values: object, count: int, _message: object, _user: object) -> int:
        fields = [path.decode(), types.decode()]
        for kind, value in zip(types.decode(), values[:count], strict=True):  # type: ignore[index]
            if kind == "s":
                fields.append(ctypes.cast(value, ctypes.c_char_p).value.decode())  # type: ignore[union-attr]
            else:
                kinds = {"i": ctypes.c_int32, "f": ctypes.c_float}
                fields.append(str(ctypes.cast(value, ctypes.POINTER(kinds[kind])).contents.value))
        print("\t".join(fields), flush=True)
        return 0

    handler = _HANDLER(heard)
    for listening in (server, datagrams):
        lo.lo_server_add_method(listening, None, None, handler, None)
    pending = b""
    while True:
        lo.lo_server_recv_noblock(server, 2)
        lo.lo_server_recv_noblock(datagrams, 2)
        if select.select([0], [], [], 0)[0]:
            data = os.read(0, 65_536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                send(lo, address, server, line.decode())


def send(lo: ctypes.CDLL, address: ctypes.c_void_p, server: ctypes.c_void_p, line: str) -> None:
    path, types, *values = line.split("\t")
    message = ctypes.c_void_p(lo.lo_message_new())
    for kind, value in zip(types, values, strict=True):
        if kind == "s":
            lo.lo_message_add_string(message, value.encode())
        elif kind == "i":
            lo.lo_message_add_int32(message, int(value))
        else:
            lo.lo_message_add_float(message, float(value))
    if lo.lo_send_message_from(address, server, path.encode(), message) < 0:
        print("failed", flush=True)
    lo.lo_message_free(message)


if __name__ == "__main__":
    main(*sys.argv[1:])
