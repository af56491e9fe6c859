"""What a fake gateway makes: lengths and prices as the real one counts them, a tone, and an empty score."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from loopmeter._models import LoopRequest, PriceBook, QuoteLine, ResolvedRequest

SAMPLE_RATE_HZ = 44_100
CHUNK_FRAMES = 32_768
FIRST_CHUNK_FRAMES = 22_528
DURATION_S_MAX = 300
STANDARD = PriceBook(
    name="standard", version="1", included_s=60, base_tokens=800, extra_tokens_per_s=10, hifi_percent=30
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request takes. ``frames`` is exact, as everywhere."""

    request: ResolvedRequest
    frames: int
    channels: int
    bits: int
    chunk_frames: tuple[int, ...]
    lines: tuple[QuoteLine, ...]

    @property
    def tokens(self) -> int:
        return sum(line.tokens for line in self.lines)

    def due(self, chunks: int) -> int:
        """What is charged in all once ``chunks`` chunks are delivered."""
        return self.tokens * sum(self.chunk_frames[:chunks]) // self.frames


def plan(request: LoopRequest, book: PriceBook) -> Plan:
    """Length, chunks and price of a request. What it leaves open becomes 120 bpm, 4 bars, C."""
    fields = request.model_dump(exclude={"quote_id"})
    bars = sum(section.bars for section in request.sections) if request.sections is not None else 4
    filled = {"tempo_bpm": 120.0, "bars": bars, "key": "C"}
    fields |= {name: value for name, value in filled.items() if fields[name] is None}
    resolved = ResolvedRequest.model_validate(fields)
    assert resolved.tempo_bpm is not None and resolved.bars is not None
    frames = round(resolved.bars * resolved.beats_per_bar * 60.0 / resolved.tempo_bpm * SAMPLE_RATE_HZ)
    first = min(FIRST_CHUNK_FRAMES, frames)
    whole, rest = divmod(frames - first, CHUNK_FRAMES)
    channels, bits = (2, 24) if resolved.quality == "hifi" else (1, 16)
    return Plan(
        request=resolved,
        frames=frames,
        channels=channels,
        bits=bits,
        chunk_frames=(first, *[CHUNK_FRAMES] * whole, *([rest] if rest else [])),
        lines=_lines(book, frames, resolved.quality == "hifi"),
    )


def _lines(book: PriceBook, frames: int, hifi: bool) -> tuple[QuoteLine, ...]:
    """The price by ``book``, without its hours and plans; rounded half up."""
    extra_s = -(-max(0, frames - book.included_s * SAMPLE_RATE_HZ) // SAMPLE_RATE_HZ)
    lines = [QuoteLine(text=f"first {book.included_s} s", tokens=book.base_tokens)]
    if extra_s:
        text = f"{extra_s} started s above {book.included_s} s, {book.extra_tokens_per_s} tokens each"
        lines.append(QuoteLine(text=text, tokens=book.extra_tokens_per_s * extra_s))
    if hifi and book.hifi_percent:
        tokens = sum(line.tokens for line in lines)
        lines.append(QuoteLine(text=f"hifi, +{book.hifi_percent} %", tokens=(tokens * book.hifi_percent + 50) // 100))
    return tuple(lines)


def sound(planned: Plan) -> bytes:
    """All PCM of a plan: a triangle at -18 dB whose pitch is drawn from the request, equal on every machine."""
    digest = hashlib.sha256(planned.request.model_dump_json().encode()).digest()
    quarter = 25 + digest[0] % 76  # A quarter of the period in frames: 109 to 441 Hz.
    peak = 1 << (planned.bits - 4)
    rising = [peak * step // quarter for step in range(quarter)]
    wave = [*rising, *(peak - value for value in rising)]
    cycle = b"".join(
        value.to_bytes(planned.bits // 8, "little", signed=True) * planned.channels
        for value in [*wave, *(-value for value in wave)]
    )
    size = planned.frames * planned.channels * planned.bits // 8
    return (cycle * (size // len(cycle) + 1))[:size]


def midi(planned: Plan) -> bytes:
    """A Standard MIDI File of the right tempo and length, without notes."""
    assert planned.request.tempo_bpm is not None and planned.request.bars is not None
    tempo_us = round(60_000_000 / planned.request.tempo_bpm)
    ticks = planned.request.bars * planned.request.beats_per_bar * 480
    track = b"\x00\xff\x51\x03" + tempo_us.to_bytes(3, "big") + _variable_length(ticks) + b"\xff\x2f\x00"
    head = b"MThd" + b"".join(number.to_bytes(2, "big") for number in (0, 6, 0, 1, 480))
    return head + b"MTrk" + len(track).to_bytes(4, "big") + track


def _variable_length(number: int) -> bytes:
    """Seven bits a byte, the highest first, all but the last with the high bit set."""
    found = [number & 0x7F]
    while number := number >> 7:
        found.append(number & 0x7F | 0x80)
    return bytes(reversed(found))
