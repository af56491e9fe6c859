"""OSC in byte streams: both framings, split anywhere; connections that vanish, flood, or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.tcp_client import SimpleTCPClient
from tests.integrations.osc_peer import asynchronous, bridge_and_peer

from loopmeter_integrations.osc import BridgeSettings, parse_networks
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._codec import Message, decode_datagram, encode_message
from loopmeter_integrations.osc._framing import PACKET_BYTES_MAX, BadFrame, Deframer, Framing, frame, framing_of
from loopmeter_integrations.osc._tcp import UNREAD_BYTES_MAX, Connections

FRAMINGS = pytest.mark.parametrize("framing", list(Framing), ids=lambda framing: framing.value)


@given(packets=st.lists(st.binary(min_size=1, max_size=60), max_size=5), cuts=st.data())
@FRAMINGS
def test_any_packets_split_anywhere_come_out_whole(framing: Framing, packets: list[bytes], cuts: st.DataObject) -> None:
    stream = b"".join(frame(packet, framing) for packet in packets)
    points = sorted(cuts.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    deframer = Deframer(framing)
    pieces = [stream[start:stop] for start, stop in zip([0, *points], [*points, len(stream)], strict=True)]
    assert [packet for piece in pieces for packet in deframer.receive(piece)] == packets


@given(noise=st.lists(st.binary(max_size=200), max_size=8))
@FRAMINGS
def test_noise_is_packets_or_a_bad_frame(framing: Framing, noise: list[bytes]) -> None:
    deframer = Deframer(framing)
    try:
        for piece in noise:
            deframer.receive(piece)
    except BadFrame as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("first", "framing"),
    [
        (0x00, Framing.LENGTH),
        (0xC0, Framing.SLIP),
        (ord("/"), Framing.SLIP),
        (ord("#"), Framing.SLIP),
        (ord("G"), None),
    ],
)
def test_the_first_byte_tells_the_framing(first: int, framing: Framing | None) -> None:
    assert framing_of(first) is framing


@FRAMINGS
def test_what_is_too_large_is_refused_before_it_is_kept(framing: Framing) -> None:
    deframer = Deframer(framing)
    with pytest.raises(BadFrame, match=f"at most {PACKET_BYTES_MAX} bytes"):
        deframer.receive(frame(b"/" * (PACKET_BYTES_MAX + 1), framing))


class TcpPeer:
    """A connection to the bridge; ``heard`` gives the next answer as ``(address, *arguments)``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, framing: Framing) -> None:
        self.reader, self.writer, self.framing = reader, writer, framing
        self._deframer = Deframer(framing)
        self._heard: list[bytes] = []

    def ask(self, address: str, types: str, *values: str | int | float) -> None:
        self.writer.write(frame(encode_message(address, types, values), self.framing))

    async def heard(self) -> tuple[object, ...]:
        while not self._heard:
            data = await asyncio.wait_for(self.reader.read(65_536), 20)
            assert data, "the bridge hung up"
            self._heard = self._deframer.receive(data)
        (message,) = decode_datagram(self._heard.pop(0))
        assert isinstance(message, Message)
        return (message.address, *message.arguments)


@contextlib.asynccontextmanager
async def connected(endpoint: tuple[str, int], framing: Framing) -> AsyncIterator[TcpPeer]:
    reader, writer = await asyncio.open_connection(*endpoint)
    try:
        yield TcpPeer(reader, writer, framing)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@FRAMINGS
@asynchronous
async def test_a_loop_over_a_connection(tmp_path: Path, framing: Framing) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, _peer, _gateway), connected(endpoint, framing) as peer:
        peer.ask("/loopmeter/loop", "ssfiss", "a", "drums", 120.0, 1, "Am", "standard")
        answers = [await peer.heard() for _ in range(6)]
    assert [answer[0] for answer in answers] == [
        "/loopmeter/accepted",
        *["/loopmeter/progress"] * 4,
        "/loopmeter/ready",
    ]


@asynchronous
async def test_python_osc_is_understood_in_slip_and_understands_the_answer(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, _peer, _gateway):

        def ask() -> list[bytes]:
            with SimpleTCPClient(*endpoint, mode="1.1") as client:
                client.send_message("/loopmeter/hello", "h")
                return list(client.receive(timeout=20))

        (answer,) = await asyncio.to_thread(ask)
        (message,) = decode_datagram(answer)
        assert isinstance(message, Message)
        assert (message.address, message.arguments[0]) == ("/loopmeter/welcome", "h")


@asynchronous
async def test_a_connection_that_ends_takes_its_loops_along(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, other, gateway):
        gateway.chunks_allowed = 1
        async with connected(endpoint, Framing.LENGTH) as peer:
            peer.ask("/loopmeter/loop", "ssfiss", "a", "drums", 120.0, 1, "Am", "standard")
            assert (await peer.heard())[0] == "/loopmeter/accepted"
            peer.writer.transport.abort()
            await gateway.until_sent("DELETE /v1/loops/job1")
            other.ask("/loopmeter/hello", "h")
            assert (await other.heard())[0] == "/loopmeter/welcome"
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_a_loop_whose_answers_go_elsewhere_outlives_its_connection(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, listener, gateway):
        gateway.chunks_allowed = 1
        async with connected(endpoint, Framing.LENGTH) as peer:
            options: list[str | int | float] = ["a", "drums", 120.0, 1, "Am", "standard", "reply_port", listener.port]
            peer.ask("/loopmeter/loop", "ssfisssi", *options)
            await listener.heard_until("/loopmeter/progress")
            peer.writer.transport.abort()
            await gateway.allow_all()
            await listener.heard_until("/loopmeter/ready")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GIOP" * 100,
        b"\x7fELF" * 10,
        b"\xff" * 5000,
        b"\0\xff\xff\xff",
        b"\xc0\xdb\x00\xc0",
        b"\0\0\0\x04\xde\xad\xbe\xef",
    ],
    ids=["text", "binary", "noise", "16 MB announced", "bad escape", "no OSC inside"],
)
@asynchronous
async def test_garbage_ends_one_connection_at_most(tmp_path: Path, garbage: bytes) -> None:
    async with (
        bridge_and_peer(tmp_path) as (endpoint, udp, _gateway),
        connected(endpoint, Framing.LENGTH) as mad,
        connected(endpoint, Framing.SLIP) as good,
    ):
        mad.writer.write(garbage)
        mad.writer.write_eof()
        with pytest.raises((AssertionError, ConnectionError)):
            await mad.heard()
        good.ask("/loopmeter/hello", "s", "h")
        udp.ask("/loopmeter/hello", "u")
        assert (await good.heard())[:2] == ("/loopmeter/welcome", "h")
        assert (await udp.heard())[:2] == ("/loopmeter/welcome", "u")


class FullPipe(asyncio.Transport):
    """A connection whose other end has stopped reading: what is written stays."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.unread_bytes = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread_bytes += len(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Nobody:
    def receive(self, packet: bytes, sender: Client) -> None:
        return None

    def forget(self, client: Client) -> None:
        return None


@asynchronous
async def test_a_client_that_never_reads_is_cut_off() -> None:
    connections, pipe = Connections(Nobody(), lambda _: True), FullPipe()
    connection = connections.accept()
    connection.connection_made(pipe)
    connection.data_received(b"\0\0\0\0")
    for _ in range(3 * UNREAD_BYTES_MAX // 1000):
        connections.send(b"/" * 1000, Client("tcp", "127.0.0.1", 5))
    assert pipe.aborted
    assert pipe.unread_bytes < UNREAD_BYTES_MAX + 2000


@asynchronous
async def test_connections_are_bounded_and_places_are_given_back() -> None:
    connections = Connections(Nobody(), lambda _: True, connections_max=0)
    refused = FullPipe()
    connections.accept().connection_made(refused)
    assert refused.aborted
    assert len(connections) == 0


@asynchronous
async def test_who_is_not_on_the_allow_list_is_not_heard(tmp_path: Path) -> None:
    settings = BridgeSettings(allow=parse_networks(["192.168.1.0/24"]))
    async with bridge_and_peer(tmp_path, settings=settings) as (endpoint, peer, gateway):
        peer.ask("/loopmeter/hello", "h")
        async with connected(endpoint, Framing.LENGTH) as stranger:
            stranger.ask("/loopmeter/hello", "s", "h")
            with pytest.raises((AssertionError, ConnectionError)):
                await stranger.heard()
            assert gateway.sent == []


@pytest.mark.parametrize(
    ("networks", "host", "allowed"),
    [
        ([], "8.8.8.8", True),
        (["192.168.1.0/24"], "192.168.1.77", True),
        (["192.168.1.0/24"], "192.168.2.77", False),
        (["192.168.1.5", "10.0.0.0/8"], "10.1.2.3", True),
        (["192.168.1.0/24"], "::ffff:192.168.1.7", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["192.168.1.0/24"], "::1", False),
    ],
)
def test_the_allow_list(networks: list[str], host: str, allowed: bool) -> None:
    assert BridgeSettings(allow=parse_networks(networks)).allows(host) is allowed
