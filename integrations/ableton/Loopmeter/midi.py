"""The notes of a Standard MIDI File, in beats: what a MIDI clip is made from."""

import struct


def notes_of(data):
    """``[(pitch, start_beats, length_beats, velocity)]`` of all tracks, by start.

    Raises:
        ValueError: it is not a Standard MIDI File with ticks per quarter.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise ValueError("expected a Standard MIDI File, found other bytes")
    ticks = struct.unpack(">H", data[12:14])[0]
    if not 0 < ticks < 0x8000:
        raise ValueError("expected a MIDI file with ticks per quarter, found frames per second")
    at, notes = 8 + struct.unpack(">I", data[4:8])[0], []
    while at + 8 <= len(data):
        length = struct.unpack(">I", data[at + 4 : at + 8])[0]
        if data[at : at + 4] == b"MTrk":
            notes += _track(data[at + 8 : at + 8 + length], ticks)
        at += 8 + length
    return sorted(notes, key=lambda note: (note[1], note[0]))


def _track(data, ticks):
    notes, sounding, now, at, status = [], {}, 0, 0, 0
    while at < len(data):
        delta, at = _length(data, at)
        now += delta
        if data[at] & 0x80:
            status, at = data[at], at + 1
        if status == 0xFF or status in (0xF0, 0xF7):
            at += status == 0xFF  # The kind of a meta event.
            length, at = _length(data, at)
            at += length
            continue
        count = 1 if status & 0xF0 in (0xC0, 0xD0) else 2
        if status & 0xF0 in (0x80, 0x90):
            pitch, velocity = data[at], data[at + 1]
            key = status & 0x0F, pitch
            # A note that sounds when it is struck again, or let go, ends.
            if key in sounding:
                start, struck = sounding.pop(key)
                notes.append((pitch, start / ticks, max(now - start, 1) / ticks, struck))
            if status & 0xF0 == 0x90 and velocity:
                sounding[key] = now, velocity
        at += count
    return notes


def _length(data, at):
    value = 0
    while True:
        byte, at = data[at], at + 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at
