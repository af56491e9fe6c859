"""Many readers that hardly read: memory stays bounded, nobody starves, and nobody pays for what was not taken."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from loopmeter import CHUNKS_MEDIA_TYPE

from .conftest import House
from .test_server import Server, serving

LONG = b'{"prompt":"long","tempo_bpm":60,"bars":75}'  # 300 s: 26 MB, 404 chunks
READ_BYTES = 4096
BUFFER_BYTES = 16_384
PER_READER_MAX_BYTES = 1_500_000  # One lease of 4 chunks (262 kB), the sockets' buffers, and objects around them.


def resident_bytes(server: Server) -> int:
    assert server.process is not None
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


async def open_reader(server: Server, accept: str) -> socket.socket:
    """A client with small buffers that has ordered a long loop and reads nothing yet."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    reader.setblocking(False)
    await loop.sock_connect(reader, ("127.0.0.1", server.port))
    head = (
        f"POST /v1/loops HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.house.key}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(LONG)}\r\n\r\n"
    )
    await loop.sock_sendall(reader, head.encode() + LONG)
    return reader


async def sip(readers: list[socket.socket], rounds: int) -> list[int]:
    """Every reader takes a little, ``rounds`` times; the bytes that each got."""
    loop = asyncio.get_running_loop()

    async def one(reader: socket.socket) -> int:
        got = 0
        for _ in range(rounds):
            got += len(await asyncio.wait_for(loop.sock_recv(reader, READ_BYTES), 60))
        return got

    return list(await asyncio.gather(*(one(reader) for reader in readers)))


async def crowd(server: Server, count: int, rounds: int) -> tuple[list[int], int, int]:
    """What readers got, and the server's memory before them and with all of them."""
    before = resident_bytes(server)
    readers = []
    for number in range(count):
        readers.append(await open_reader(server, "audio/wav" if number % 2 else CHUNKS_MEDIA_TYPE))
    got = await sip(readers, rounds)
    last, now = 0, resident_bytes(server)
    while now > last * 1.01:  # Until the engine has run as far ahead as it may.
        await asyncio.sleep(0.5)
        last, now = now, max(now, resident_bytes(server))
    for reader in readers:
        reader.close()
    return got, before, now


def check(house: House, count: int, rounds: int) -> None:
    house.grant(10**9)
    with serving(house, grace_s=0.5) as server:
        began_s = time.monotonic()
        got, before, after = asyncio.run(crowd(server, count, rounds))
        print(f"{count} readers: {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB with them, "
              f"{(after - before) / count / 1e3:.0f} kB each, {time.monotonic() - began_s:.0f} s")  # fmt: skip
        with server.http() as http:
            deadline = time.monotonic() + 60
            while http.get("/v1/balance").json()["held"]:
                assert time.monotonic() < deadline, "holds of readers that have left are still open"
                time.sleep(0.1)
            entries = http.get("/v1/usage?limit=200").json()["entries"]

    assert min(got) > 0, "a stream starved"
    assert (after - before) / count < PER_READER_MAX_BYTES
    assert {entry["state"] for entry in entries} == {"cancelled"}
    assert max(entry["chunks_delivered"] for entry in entries) < 100  # of 404
    assert house.audit().faults == ()


def test_forty_slow_readers_are_all_served_within_bounded_memory(house: House) -> None:
    check(house, 40, 3)


@pytest.mark.soak
def test_five_hundred_slow_readers_are_all_served_within_bounded_memory(house: House) -> None:
    check(house, 500, 10)
