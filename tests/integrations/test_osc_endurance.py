"""What a night on stage brings: fuzz, hundreds of clients, hours, a gateway that dies. Short here, long as soak."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import re
import tracemalloc
import wave
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.integrations.osc_peer import Clock, asynchronous, bridge_and_peer, peer_of
from tests.integrations.scripted_gateway import ScriptedGateway
from tests.integrations.test_osc_codec import bundle
from tests.integrations.test_osc_liblo import LOOPMETER, Process, running
from tests.integrations.test_osc_tcp import TcpPeer, connected

from loopmeter import AsyncLoopmeter, Loopmeter, LoopRequest
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all
from loopmeter_gateway import admin
from loopmeter_integrations.osc._addresses import encode_reply
from loopmeter_integrations.osc._bridge import Bridge
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._codec import Message, decode_datagram, encode_message
from loopmeter_integrations.osc._framing import Framing
from loopmeter_integrations.osc._table import REPLIES, REQUESTS

GROWTH_BYTES_MAX = 500_000
RESIDENT_GROWTH_BYTES_MAX = 30_000_000  # What the system counts is coarser; a leak of 40 bytes a datagram shows.


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock the test sets forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def run_fast(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(test)


def captures() -> list[bytes]:
    """One good message for every address, and what real senders wrap around them."""
    good: dict[str, tuple[str, list[str | int | float]]] = {
        request.address: (
            "".join(parameter.kind for parameter in request.parameters),
            [{"s": "a", "i": 1, "f": 120.0}[parameter.kind] for parameter in request.parameters],
        )
        for request in REQUESTS.values()
    }
    packets = [encode_message(address, types, values) for address, (types, values) in good.items()]
    loop = encode_message("/loopmeter/loop", "ssfiss", ["a", "drums", 240.0, 1, "Am", "standard"])
    odd = [b"/loopmeter/hello\0\0\0\0,sI\0id7\0", b"#reply\0\0,s\0\0a\0\0\0", b"/a\0\0,[ii]\0\0\0" + b"\0" * 8]
    answers = [encode_reply("/loopmeter/cancelled", ("a", 1))]
    return [*packets, loop, bundle(1, *packets[:5]), bundle(1, bundle(1, loop), packets[0]), *odd, *answers]


def mutated(noise: random.Random, packets: list[bytes]) -> bytes:
    packet = bytearray(noise.choice(packets))
    for _ in range(noise.randrange(5)):
        what, at = noise.randrange(4), noise.randrange(len(packet) + 1)
        if what == 0 and at < len(packet):
            packet[at] = noise.randrange(256)
        elif what == 1:
            packet[at:at] = noise.randbytes(noise.randrange(1, 9))
        elif what == 2:
            del packet[at : at + noise.randrange(1, 9)]
        else:
            packet[at:at] = noise.choice(packets)[: noise.randrange(1, 40)]
        if not packet:
            break
    return bytes(packet)


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Count memory; without the log, whose records pytest keeps."""
    logging.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)


def used_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def fuzz(folder: Path, datagrams: int, used_bytes: Callable[[], int], growth_bytes_max: int) -> None:
    """Every answer is one of the table, memory stays, and the bridge serves on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FastLoop)
    noise, packets, sent = random.Random(7), captures(), 0

    def send(packet: bytes, _: Client) -> None:
        nonlocal sent
        sent += 1
        (message,) = decode_datagram(packet)
        assert isinstance(message, Message), packet
        assert message.address in REPLIES

    gateway = ScriptedGateway()
    async with AsyncLoopmeter("http://scripted", "k", transport=gateway, clock=Clock()) as client:
        bridge = Bridge(client, folder, send)
        before = 0
        for number in range(datagrams):
            transport = "udp" if number % 3 else "tcp"
            sender = Client(transport, "127.0.0.1", 1024 + noise.randrange(20_000))  # type: ignore[arg-type]
            bridge.receive(mutated(noise, packets), sender)
            loop.ahead_s += 0.002
            if number % 100 == 0:
                bridge.forget(sender)
                await asyncio.sleep(0)
            if number % 2000 == 0:
                gateway.sent.clear()
                gateway.forget(but=200)  # More than can run.
                for made in folder.iterdir():
                    made.unlink(missing_ok=True)
            if number == datagrams // 4:
                before = used_bytes()
        assert sent > datagrams // 10
        await _quiet(bridge)
        gateway.forget()
        grown = used_bytes() - before
        print(f"{datagrams} datagrams, {sent} answers: {grown} bytes more than after a quarter")
        assert grown < growth_bytes_max
        heard = sent
        bridge.receive(encode_message("/loopmeter/cancel", "s", ["served"]), Client("udp", "127.0.0.1", 9))
        assert sent == heard + 1
        await bridge.close()


async def _quiet(bridge: Bridge) -> None:
    """Until nothing runs any more."""
    for _ in range(10_000):
        if not bridge.running:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("requests hang")


def test_fuzzed_datagrams_change_nothing(tmp_path: Path) -> None:
    with traced():
        run_fast(fuzz(tmp_path, 6_000, used_bytes, GROWTH_BYTES_MAX))


@pytest.mark.soak
def test_a_million_fuzzed_datagrams_change_nothing(tmp_path: Path) -> None:
    """Without tracemalloc, under which it would take an hour."""
    logging.disable()
    try:
        run_fast(fuzz(tmp_path, 1_000_000, resident_bytes, RESIDENT_GROWTH_BYTES_MAX))
    finally:
        logging.disable(logging.NOTSET)


async def day(folder: Path, minutes: int) -> None:
    """Each simulated minute a controller comes over TCP, another over UDP; both ask, subscribe, and go."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FastLoop)
    async with bridge_and_peer(folder) as (endpoint, steady, gateway):
        before = sockets = 0
        for minute in range(minutes):
            async with connected(endpoint, Framing.SLIP) as tcp, peer_of(endpoint) as udp:
                tcp.ask("/loopmeter/subscribe", "ssf", "s", "heartbeat", 3600.0)
                assert (await tcp.heard())[0] == "/loopmeter/subscribed"
                udp.ask("/loopmeter/subscribe", "s", "beat", 90.0)
                udp.ask_loop(f"take{minute}", "drums", 1)
                while (await udp.heard())[0] != "/loopmeter/ready":
                    pass
                gateway.chunks_allowed = 1
                tcp.ask("/loopmeter/loop", "ssfiss", "left", "drums", 120.0, 1, "Am", "standard")
                while (await tcp.heard())[0] != "/loopmeter/progress":
                    pass
            await gateway.until_sent(f"DELETE /v1/loops/job{2 * minute + 2}")
            await gateway.allow_all()
            for made in folder.glob("*"):
                made.unlink(missing_ok=True)
            gateway.sent.clear()
            gateway.forget()
            loop.ahead_s += 60
            steady.ask("/loopmeter/hello", "h")
            assert (await steady.heard())[0] == "/loopmeter/welcome"
            if minute == minutes // 2:
                before, sockets = used_bytes(), len(os.listdir("/proc/self/fd"))
        grown, sockets_left = used_bytes() - before, len(os.listdir("/proc/self/fd"))
        print(f"{minutes} minutes: {grown} bytes and {sockets_left - sockets} files more than after half of them")
        assert grown < GROWTH_BYTES_MAX
        assert sockets_left <= sockets


def test_half_a_simulated_hour_leaves_nothing_behind(tmp_path: Path) -> None:
    with traced():
        run_fast(day(tmp_path, 30))


@pytest.mark.soak
def test_24_simulated_hours_leave_nothing_behind(tmp_path: Path) -> None:
    with traced():
        run_fast(day(tmp_path, 24 * 60))


@asynchronous
async def test_a_client_that_leaves_while_its_files_are_opened_leaves_none(tmp_path: Path) -> None:
    order = encode_message("/loopmeter/loop", "ssfiss", ["a", "drums", 240.0, 1, "Am", "standard"])
    async with AsyncLoopmeter("http://scripted", "k", transport=ScriptedGateway(), clock=Clock()) as client:
        bridge = Bridge(client, tmp_path, lambda packet, _: None)
        for number in range(40):
            sender = Client("tcp", "127.0.0.1", 1024 + number)
            bridge.receive(order, sender)
            for _ in range(number % 4):
                await asyncio.sleep(0)
            bridge.forget(sender)
        await _quiet(bridge)
        await bridge.close()
        await asyncio.to_thread(gc.collect)  # Behind the threads that still open files.
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    assert list(tmp_path.glob(".*")) == []


@asynchronous
async def test_two_hundred_clients_are_all_served(tmp_path: Path) -> None:
    """150 over UDP, 50 over TCP, all at once, all with the same id; who hears ``busy`` asks again."""
    async with bridge_and_peer(tmp_path) as (endpoint, _peer, _gateway), contextlib.AsyncExitStack() as stack:

        async def over_udp() -> Path:
            peer = await stack.enter_async_context(peer_of(endpoint))
            return await _insist(lambda: peer.ask_loop("same", "drums", 1), peer.heard)

        async def over_tcp() -> Path:
            peer: TcpPeer = await stack.enter_async_context(connected(endpoint, Framing.LENGTH))
            order: list[str | int | float] = ["same", "drums", 120.0, 1, "Am", "standard"]
            return await _insist(lambda: peer.ask("/loopmeter/loop", "ssfiss", *order), peer.heard)

        paths = await asyncio.gather(*(over_udp() for _ in range(150)), *(over_tcp() for _ in range(50)))
    assert len(set(paths)) == 200


async def _insist(ask: Any, heard: Any) -> Path:
    """Ask until it is granted; less and less often, so that asking does not keep a slow machine from the work."""
    for wait_s in (min(0.05 * 1.5**n, 2.0) for n in count()):
        ask()
        while (answer := await heard())[0] not in ("/loopmeter/ready", "/loopmeter/error"):
            pass
        if answer[0] == "/loopmeter/ready":
            break
        assert answer[2] in ("busy", "rate_limited"), answer
        await asyncio.sleep(wait_s)
    return Path(str(answer[2]))


def test_a_gateway_that_is_killed_and_comes_back_loses_no_chunk_and_charges_none_twice(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/loopmeter.db"
    customer = str(admin.create_customer(db, "ada")["customer_id"])
    key = str(admin.create_key(db, customer)["key"])
    admin.grant(db, customer, 10_000)
    serve = ("serve", "--db", db, "--engine", "fake", "--data", str(tmp_path / "data"))
    first = Process(LOOPMETER, *serve, "--port", "0")
    url = first.line().removeprefix("listening on ")
    port = url.rpartition(":")[2].strip("/")
    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=100, key="Am", quality="hifi")
    with running(
        LOOPMETER,
        "bridge",
        "--listen",
        "127.0.0.1:0",
        "--no-advertise",
        "--out",
        str(tmp_path / "loops"),
        LOOPMETER_URL=url,
        LOOPMETER_API_KEY=key,
    ) as bridge:
        found = re.search(r":(\d+)$", bridge.line())
        assert found is not None

        async def ask() -> tuple[object, ...]:
            async with peer_of(("127.0.0.1", int(found[1]))) as peer:
                peer.ask("/loopmeter/loop", "a", "drums", 120.0, 100, "Am", "hifi")
                await peer.heard_until("/loopmeter/progress")
                first.kill()
                with running(LOOPMETER, *serve, "--port", port) as second:
                    await asyncio.to_thread(second.line)
                    ready = (await peer.heard_until("/loopmeter/ready"))[-1]
                    with Loopmeter(url, key) as client:
                        (job,) = await asyncio.to_thread(lambda: client.usage().entries)
                        assert (job.state, job.tokens_charged) == ("completed", job.tokens_quoted)
                        assert ready[6] == job.tokens_charged
                return ready

        ready = asyncio.run(ask())
    with wave.open(str(ready[2])) as wav:
        assert wav.readframes(10**9) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), request))


async def night(folder: Path, monotonic_sleeps: bool) -> None:
    """A laptop is closed while a loop is in the making, a bundle waits, and somebody listens; eight hours later."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FastLoop)
    wall_s = 1.7e9
    heard: asyncio.Queue[Message] = asyncio.Queue()
    gateway, sender = ScriptedGateway(), Client("udp", "127.0.0.1", 9)

    def send(packet: bytes, _: Client) -> None:
        (message,) = decode_datagram(packet)
        assert isinstance(message, Message)
        heard.put_nowait(message)

    async def until(address: str) -> Message:
        while (message := await asyncio.wait_for(heard.get(), 20)).address != address:
            assert message.address != "/loopmeter/error", message
        return message

    async with AsyncLoopmeter("http://scripted", "k", transport=gateway, clock=Clock()) as client:
        bridge = Bridge(client, folder, send, wall_clock=lambda: wall_s)
        gateway.chunks_allowed = 1
        order = encode_message("/loopmeter/loop", "ssfiss", ["a", "drums", 240.0, 1, "Am", "standard"])
        bridge.receive(encode_message("/loopmeter/subscribe", "ssf", ["s", "heartbeat", 3600.0]), sender)
        bridge.receive(order, sender)
        await until("/loopmeter/progress")
        due = round((wall_s + 30 + 2_208_988_800) * 2**32)
        bridge.receive(bundle(due, encode_message("/loopmeter/clock", "s", ["held"])), sender)
        asleep_s = 8 * 3600.0
        wall_s += asleep_s
        loop.ahead_s += 0 if monotonic_sleeps else asleep_s
        assert (await until("/loopmeter/clock")).arguments[0] == "held"
        await gateway.allow_all()
        assert (await until("/loopmeter/ready")).arguments[0] == "a"
        bridge.receive(order, sender)
        await until("/loopmeter/ready")
        await _quiet(bridge)
        while not heard.empty():
            beat = heard.get_nowait().address == "/loopmeter/heartbeat"
            assert monotonic_sleeps or not beat, "the lease has run out"
        await bridge.close()


@pytest.mark.parametrize("monotonic_sleeps", [True, False], ids=["linux", "windows"])
def test_a_machine_that_slept_goes_on_where_it_was(tmp_path: Path, monotonic_sleeps: bool) -> None:
    """Time since the start stands still in Linux while the machine sleeps, and goes on in Windows."""
    run_fast(night(tmp_path, monotonic_sleeps))
