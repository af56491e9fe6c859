"""Writes small SoundFont 2 files: two presets of one sine, by the tables of the specification (7)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE_HZ = 22_050
HZ = RATE_HZ / 50  # 441 Hz: fifty frames to a turn, so that loops of whole turns are exact.
FRAMES, LOOP = 11_025, (5000, 10_000)
START = 16  # Of the sample: what lies before it must not be heard.


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def _generators(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<Hh", number, value) for number, value in pairs)


def write_soundfont(path: Path, *, version: int = 2) -> Path:
    """Preset (0, 0) "Sine": keys 0 to 59 quieter by 10 dB, keys 60 to 127 an octave up with a falling envelope.

    Preset (0, 1) "Shifted": the same instrument, seven semitones higher, keys 40 to 80 only. Both zones of the
    instrument loop, which a global zone says.
    """
    turns = np.arange(FRAMES) / 50
    sine = (20_000 * np.sin(2 * np.pi * turns)).astype("<i2")
    pcm = np.concatenate([np.full(START, 30_000, "<i2"), sine, np.zeros(46, "<i2")])
    # Global: looped. Low: quieter, to the left. High: coarse tuning, decay 1 s to -20 dB, exclusive class 3.
    zones = (
        ((54, 1),),
        ((43, 59 << 8), (17, -250), (48, 250), (58, 69), (53, 0)),
        ((43, 60 | 127 << 8), (51, 12), (36, 0), (37, 200), (57, 3), (58, 69), (53, 0)),
    )
    presets = (((41, 0),), ((51, 7), (43, 40 | 80 << 8), (41, 0)))
    bags = np.cumsum([0, *(len(zone) for zone in zones)])
    heads = np.cumsum([0, *(len(preset) for preset in presets)])
    tables = (
        _chunk(b"phdr", b"".join(
            struct.pack("<20sHHHIII", name, number, 0, number, 0, 0, 0)
            for number, name in enumerate((b"Sine", b"Shifted", b"EOP"))
        )),
        _chunk(b"pbag", b"".join(struct.pack("<HH", head, 0) for head in heads)),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", b"".join(_generators(*preset) for preset in presets) + bytes(4)),
        _chunk(b"inst", struct.pack("<20sH", b"Sine", 0) + struct.pack("<20sH", b"EOI", len(zones))),
        _chunk(b"ibag", b"".join(struct.pack("<HH", bag, 0) for bag in bags)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", b"".join(_generators(*zone) for zone in zones) + bytes(4)),
        _chunk(b"shdr", struct.pack(
            "<20s5IBbHH", b"Sine", START, START + FRAMES, START + LOOP[0], START + LOOP[1], RATE_HZ, 69, 0, 0, 1
        ) + struct.pack("<20s5IBbHH", b"EOS", *[0] * 9)),
    )  # fmt: skip
    body = b"sfbk" + _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", version, 1)))
    body += _list(b"sdta", _chunk(b"smpl", pcm.tobytes())) + _list(b"pdta", *tables)
    path.write_bytes(_chunk(b"RIFF", body))
    return path
