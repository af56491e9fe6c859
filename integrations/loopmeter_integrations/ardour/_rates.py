"""A loop at the rate of a session: as it is where they agree, else over its spectrum, which keeps the seam."""

from __future__ import annotations

from loopmeter import Loop, wav_bytes
from loopmeter_integrations.ardour._session import SessionError

LOOP_RATE_HZ = 44_100


def check_rate(session_hz: int) -> None:
    """Raises ``SessionError`` where a loop would have to change its rate, and what that takes is missing."""
    if session_hz == LOOP_RATE_HZ:
        return
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise SessionError(
            f"expected a session at {LOOP_RATE_HZ} Hz, or numpy to bring the loop to another rate, found "
            f"{session_hz} Hz and no numpy; pip install 'loopmeter[play]'"
        ) from error


def wav_at_rate(loop: Loop, rate_hz: int) -> bytes:
    """The loop as a WAV file at ``rate_hz``, of 24 bit if it had to change; its length is its beats' to the frame."""
    job = loop.job
    if rate_hz == job.sample_rate_hz:
        return loop.wav
    import numpy as np

    from loopmeter_integrations.playback._sounds import of_length

    request = job.request
    assert request.bars is not None and request.tempo_bpm is not None  # Nothing is left open in a job.
    count = round(request.bars * request.beats_per_bar * 60 / request.tempo_bpm * rate_hz)
    sound = np.clip(of_length(loop.ndarray(), count), -1, 1)
    pcm = np.round(sound * (2**23 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
    return wav_bytes(pcm.tobytes(), rate_hz, job.channels, 24)
