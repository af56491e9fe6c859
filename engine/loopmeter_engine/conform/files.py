"""``conform`` for a user's file: what ``loopmeter conform`` does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import soundfile

from loopmeter_engine.conform.place import CannotConform, ConformReport, conform

DURATION_S_MAX = 1800.0


def conform_file(
    source: Path,
    target: Path,
    *,
    tempo_bpm: float,
    bars: int,
    beats_per_bar: int = 4,
    played_bpm: float | None = None,
    first_beat_s: float | None = None,
) -> ConformReport:
    """Read ``source`` (whatever libsndfile reads), write ``target`` as a WAV file of 24 bit, whole or not at all.

    The other arguments are those of ``conform``.

    Raises:
        CannotConform: it is no sound file, too long, or has no such beats.
        OSError: a file cannot be read or written.
    """
    source.stat()
    try:
        if (seconds := soundfile.info(source).duration) > DURATION_S_MAX:
            raise CannotConform(f"expected at most {DURATION_S_MAX:g} s, found {seconds:.0f} s; cut the file first")
        sound, sample_rate_hz = soundfile.read(source, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CannotConform(f"expected a sound file such as WAV, FLAC or Ogg, found {source} ({error})") from error
    loop, report = conform(
        sound.T,
        sample_rate_hz,
        tempo_bpm=tempo_bpm,
        bars=bars,
        beats_per_bar=beats_per_bar,
        played_bpm=played_bpm,
        first_beat_s=first_beat_s,
    )
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(descriptor)
    try:
        soundfile.write(temporary, loop.T, sample_rate_hz, subtype="PCM_24", format="WAV")
        os.chmod(temporary, 0o644)  # As in _wav.py: mkstemp gives 0600.
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return report
