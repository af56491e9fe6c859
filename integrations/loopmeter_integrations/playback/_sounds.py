"""WAV files to sounds: read, made stereo, brought to the rate of the output. Blocking; call it from a worker thread."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from loopmeter import LoopmeterError
from loopmeter_integrations.playback._mixer import CHANNELS, Frames, Sound

SOUND_S_MAX = 600.0


class UnreadableSound(LoopmeterError):
    """The file is not a WAV file that can be played. The message says why."""


def read_sound(path: Path, beats: float, rate_hz: int) -> Sound:
    """The loop in a PCM WAV file of 16 or 24 bit, one or two channels, ``beats`` long. Raises ``UnreadableSound``."""
    try:
        with wave.open(str(path)) as file:
            channels, width, own_rate_hz, count = file.getparams()[:4]
            if width not in (2, 3) or channels not in (1, 2) or not 0 < count <= SOUND_S_MAX * own_rate_hz:
                raise UnreadableSound(
                    f"expected PCM of 16 or 24 bit, 1 or 2 channels, at most {SOUND_S_MAX:g} s in {path}, "
                    f"found {8 * width} bit, {channels} channels, {count} frames"
                )
            pcm = file.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise UnreadableSound(f"expected a WAV file at {path}, found: {error}") from error
    frames = _floats(pcm, width).reshape(-1, channels)
    return Sound(path.name, _at_rate(np.repeat(frames, CHANNELS // channels, axis=1), own_rate_hz, rate_hz), beats)


def _floats(pcm: bytes, width: int) -> Frames:
    """Little-endian PCM as float32, full scale at 1."""
    if width == 2:
        return (np.frombuffer(pcm, "<i2") / 2**15).astype(np.float32)
    padded = np.zeros((len(pcm) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(pcm, np.uint8).reshape(-1, 3)
    return (padded.reshape(-1).view("<i4") / 2**31).astype(np.float32)


def _at_rate(frames: Frames, from_hz: int, to_hz: int) -> Frames:
    return frames if from_hz == to_hz else of_length(frames, round(len(frames) * to_hz / from_hz))


def of_length(frames: Frames, count: int) -> Frames:
    """A loop in ``count`` frames, seam included: it is periodic, so its spectrum is exact, and is cut or padded."""
    spectrum = np.fft.rfft(frames, axis=0)
    bins = min(len(spectrum), count // 2 + 1)
    return (np.fft.irfft(spectrum[:bins], count, axis=0) * (count / len(frames))).astype(np.float32)
