"""The network between bridge and gateway falls silent, refuses, and comes back; the one to a client loses what is told.

The gateway is a real one in its own process. Between it and the bridge lies a ``Wire``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.e2e.gateway_process import GatewayProcess, running
from tests.integrations.osc_peer import Peer, asynchronous, bridge_and_peer, peer_of

from loopmeter import AsyncLoopmeter, LoopRequest, Timeout
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all
from loopmeter_integrations.osc import serve_osc
from loopmeter_integrations.osc._codec import encode_message
from loopmeter_integrations.osc._nearby import NearbyTransport

BARS = 30  # A minute: 5 MB, 82 chunks.
PRICE_TOKENS = 800
TOKENS = 100_000
HASTY = Timeout(connect_s=1.5, read_s=1.5)


class Wire:
    """A TCP proxy on loopback. Who was connected when it fell silent hears nothing any more, not even an end.

    It falls silent by itself after ``bytes_left`` bytes to the client. ``tried`` says that somebody has called since.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.port = 0
        self._era = 0
        self._silent = False
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.bytes_left: int | None = None
        self.fell_silent = asyncio.Event()
        self.tried = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        await self.listen()
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            await self.refuse()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def listen(self) -> None:
        self._silent, self.bytes_left = False, None
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def fall_silent(self) -> None:
        self._silent, self._era = True, self._era + 1
        self.fell_silent.set()

    async def refuse(self) -> None:
        self.fall_silent()
        if self._server is not None:
            self._server.close()
            self._server = None
        self.tried.set()  # A call that is refused tells nobody here.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        era = self._era
        if self._silent:
            era = -1
            self.tried.set()
        upstream, to_gateway = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(to_gateway)
        await asyncio.gather(self._pump(reader, to_gateway, era), self._pump(upstream, writer, era, down=True))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, era: int, *, down: bool = False
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if down and self.bytes_left is not None and era == self._era:
                    self.bytes_left -= len(data)
                    if self.bytes_left < 0:
                        self.fall_silent()
                if era == self._era:
                    writer.write(data)
                    await writer.drain()
            writer.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    yield from running(GatewayProcess(tmp_path_factory.mktemp("gateway"), level=True))


@contextlib.asynccontextmanager
async def bridge_behind(
    wire: Wire, gateway: GatewayProcess, out: Path, *, patience_s: float, max_retries: int
) -> AsyncIterator[tuple[AsyncLoopmeter, tuple[str, int]]]:
    """A bridge whose gateway is behind the wire, and a client that asks the gateway itself."""
    key = await asyncio.to_thread(gateway.customer, out.name, TOKENS)
    async with (
        wire.running() as url,
        AsyncLoopmeter(gateway.url, key) as auditor,
        AsyncLoopmeter(
            url,
            key,
            timeout=HASTY,
            patience_s=patience_s,
            max_retries=max_retries,
            transport=NearbyTransport(url, key, HASTY),
        ) as client,
        serve_osc(client, ("127.0.0.1", 0), out) as endpoint,
    ):
        yield auditor, endpoint


def wire_to(gateway: GatewayProcess) -> Wire:
    return Wire(int(gateway.url.rpartition(":")[2]))


def ask(peer: Peer, own_id: str, seed: int) -> None:
    peer.ask_loop(own_id, "drums", BARS, "seed", seed)


def sound(seed: int) -> bytes:
    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=BARS, key="Am", seed=seed)
    return b"".join(chunk.pcm for chunk in make_all(FakeEngine(), request))


def read(path: object) -> bytes:
    with wave.open(str(path)) as wav:
        return wav.readframes(10**9)


async def ready(peer: Peer) -> tuple[object, object]:
    """The id and the path of the next loop that is ready."""
    answer = (await peer.heard_until("/loopmeter/ready"))[-1]
    return answer[1], answer[2]


async def errors(peer: Peer, count: int) -> dict[object, object]:
    """The codes of the next errors, by id, whatever comes between."""
    found: dict[object, object] = {}
    while len(found) < count:
        answer = await peer.heard()
        if answer[0] == "/loopmeter/error":
            found[answer[1]] = answer[2]
    return found


def connections_to(port: int) -> int:
    """How many connections to a port this machine has open (proc(5), net/tcp: 01 is established)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize("how", ["silent", "refused"])
@asynchronous
async def test_a_network_that_comes_back_loses_nothing_and_charges_nothing_twice(
    how: str, gateway: GatewayProcess, tmp_path: Path
) -> None:
    wire = wire_to(gateway)
    async with (
        bridge_behind(wire, gateway, tmp_path, patience_s=60, max_retries=100) as (auditor, endpoint),
        peer_of(endpoint) as one,
        peer_of(endpoint) as other,
    ):
        wire.bytes_left = 2_000_000  # Three loops are 16 MB.
        ask(one, "1", 1)
        ask(one, "2", 2)
        ask(other, "3", 3)
        await wire.fell_silent.wait()
        if how == "refused":
            await wire.refuse()
        ask(other, "4", 4)
        await wire.tried.wait()  # The bridge has noticed, and asks in vain.
        await wire.listen()
        paths = dict([await ready(peer) for peer in (one, one, other, other)])
        found = {str(own_id): read(path) for own_id, path in paths.items()}

        assert found == {str(seed): sound(seed) for seed in (1, 2, 3, 4)}
        entries = (await auditor.usage()).entries
        assert [(entry.state, entry.tokens_charged) for entry in entries] == [("completed", PRICE_TOKENS)] * 4
        assert (await auditor.balance()).posted == TOKENS - 4 * PRICE_TOKENS


@pytest.mark.parametrize("how", ["silent", "refused"])
@asynchronous
async def test_a_network_that_stays_away_is_told_to_everybody_and_leaves_nothing_behind(
    how: str, gateway: GatewayProcess, tmp_path: Path
) -> None:
    wire = wire_to(gateway)
    async with (
        bridge_behind(wire, gateway, tmp_path, patience_s=0.5, max_retries=0) as (_, endpoint),
        peer_of(endpoint) as peer,
        peer_of(endpoint) as other,
    ):
        wire.bytes_left = 1_000_000
        ask(peer, "making", 1)
        await wire.fell_silent.wait()
        if how == "refused":
            await wire.refuse()
        ask(other, "new", 2)
        other.ask("/loopmeter/balance", "b")

        assert await errors(peer, 1) == {"making": "unreachable"}
        assert await errors(other, 2) == {"new": "unreachable", "b": "unreachable"}
        assert connections_to(wire.port) == 0
        await wire.listen()
        ask(peer, "making", 1)  # Its id is free again.
        assert read((await ready(peer))[1]) == sound(1)
        assert connections_to(wire.port) <= 2  # Good ones, kept for the next order.
        assert len(list(tmp_path.glob(".*"))) <= 2  # Those are open for it, too.
    assert list(tmp_path.glob(".*")) == []


@asynchronous
async def test_clients_whose_answers_are_lost_get_their_loops_and_delay_nobody(tmp_path: Path) -> None:
    """One has closed its port, which the system tells the bridge; another's is full, which nobody tells."""
    order = encode_message("/loopmeter/loop", "ssfiss", ["gone", "drums", 120.0, BARS, "Am", "standard"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        full.bind(("127.0.0.1", 0))
        async with bridge_and_peer(tmp_path) as (endpoint, peer, _):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.sendto(order, endpoint)
            peer.ask_loop("deaf", "drums", BARS, "reply_port", full.getsockname()[1])
            peer.ask_loop("heard", "drums", BARS)
            await peer.heard_until("/loopmeter/ready")
            peer.ask("/loopmeter/subscribe", "s", "heartbeat", 60.0)
            while (await peer.heard_until("/loopmeter/heartbeat"))[-1][3] != 0:
                pass
    whole = sound(0)
    assert {path.name.partition("-")[0]: read(path) for path in tmp_path.glob("*.wav")} == dict.fromkeys(
        ("gone", "deaf", "heard"), whole
    )
