"""Sound that comes with a request: base64 of a WAV, FLAC or Ogg file, to (2, frames) at the engine's rate. Bounded."""

from __future__ import annotations

import base64
import binascii
import io
import math

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from loopmeter_engine.contract import InvalidRequest

DURATION_S_MAX = 600.0


def decode_audio(field: str, data_base64: str, sample_rate_hz: int) -> NDArray[np.float32]:
    """(2, frames) in [-1, 1] at ``sample_rate_hz``. Mono goes to both sides; of more channels, the first two are taken.

    Raises:
        InvalidRequest: ``field`` holds no sound, or too much.
    """
    try:
        file = io.BytesIO(base64.b64decode(data_base64, validate=True))
        with soundfile.SoundFile(file) as sound:
            if not 0 < sound.frames <= DURATION_S_MAX * sound.samplerate:
                seconds = sound.frames / sound.samplerate
                raise InvalidRequest(field, f"expected up to {DURATION_S_MAX:g} s of sound, found {seconds:.1f} s")
            wave, rate = sound.read(dtype="float32", always_2d=True), sound.samplerate
    except (binascii.Error, soundfile.LibsndfileError, RuntimeError) as error:
        raise InvalidRequest(
            field, f"expected a WAV, FLAC or Ogg file in base64, found {len(data_base64)} characters of something else"
        ) from error
    sides = np.ascontiguousarray(np.repeat(wave, 2, axis=1).T if wave.shape[1] == 1 else wave[:, :2].T)
    if rate != sample_rate_hz:
        common = math.gcd(rate, sample_rate_hz)
        sides = scipy.signal.resample_poly(sides, sample_rate_hz // common, rate // common, axis=1)
    return np.asarray(sides, np.float32)
