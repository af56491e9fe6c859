"""WAV files that carry what a game engine or a DAW asks of a loop: where it loops, how fast it is, in which key. Pure.

Behind the sound stand three chunks that readers skip if they do not know them, so the header stays the plain 44 bytes:
``smpl`` (loop points, read by Godot, Unreal, FMOD and samplers), ``acid`` (beats, tempo, root: read by DAWs), and
``LIST INFO`` (title, software, comment). Layouts: Microsoft's "Multimedia Data Standards Update" of 1994 for ``smpl``
and ``INFO``; ``acid`` is undocumented by its maker and follows libsndfile's reader.
"""

from __future__ import annotations

import re
import struct

from loopmeter._wav import wav_bytes

_NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_ACID_ONE_SHOT = 0x01
_ACID_ROOT_IS_SET = 0x02
_ACID_STRETCHES = 0x04
_MIDDLE_C = 60


def game_wav(
    pcm: bytes,
    sample_rate_hz: int,
    channels: int,
    bits: int,
    *,
    loops: bool,
    tempo_bpm: float | None = None,
    beats: int | None = None,
    beats_per_bar: int = 4,
    key: str | None = None,
    title: str = "",
    comment: str = "",
) -> bytes:
    """A whole WAV file. ``loops``: it repeats from its first frame to its last, for ever; else it is a one-shot.

    Raises:
        ValueError: as ``wav_bytes``.
    """
    plain = wav_bytes(pcm, sample_rate_hz, channels, bits)
    frames = len(pcm) * 8 // (channels * bits)
    root = root_note(key)
    chunks = [_smpl(frames, sample_rate_hz, root)] if loops else []
    if tempo_bpm is not None and beats is not None:
        chunks.append(_acid(loops, root, tempo_bpm, beats, beats_per_bar))
    chunks.append(_info({b"INAM": title, b"ICMT": comment, b"ISFT": "loopmeter"}))
    extra = b"".join(chunks)
    return plain[:4] + struct.pack("<I", len(plain) - 8 + len(extra)) + plain[8:] + extra


def root_note(key: str | None) -> int | None:
    """The MIDI number of a key's root in the octave of middle C; ``None`` if no key is known."""
    match = re.match(r"^([A-Ga-g])([#b♯♭]?)", key or "")
    return None if match is None else _MIDDLE_C + (_NOTES[match[1].upper()] + _ACCIDENTALS[match[2]]) % 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _smpl(frames: int, sample_rate_hz: int, root: int | None) -> bytes:
    period_ns = round(1e9 / sample_rate_hz)
    head = struct.pack("<9I", 0, 0, period_ns, root if root is not None else _MIDDLE_C, 0, 0, 0, 1, 0)
    # The end is the last frame that is played, not the one behind it. Play count 0 is for ever.
    return _chunk(b"smpl", head + struct.pack("<6I", 0, 0, 0, max(0, frames - 1), 0, 0))


def _acid(loops: bool, root: int | None, tempo_bpm: float, beats: int, beats_per_bar: int) -> bytes:
    flags = (_ACID_STRETCHES if loops else _ACID_ONE_SHOT) | (_ACID_ROOT_IS_SET if root is not None else 0)
    note = root if root is not None else _MIDDLE_C
    return _chunk(b"acid", struct.pack("<IHHfIHHf", flags, note, 0x8000, 0.0, beats, 4, beats_per_bar, tempo_bpm))


def _info(texts: dict[bytes, str]) -> bytes:
    entries = [_chunk(name, text.encode("ascii", "replace") + b"\0") for name, text in texts.items() if text]
    return _chunk(b"LIST", b"INFO" + b"".join(entries))
