"""What a live session costs: a pure function of the frames that were delivered, fixed when the session begins.

A session is priced like a loop, minute by minute: the first minute at the price of a loop of 60 s, each later one at
what a second minute adds to that. Within a minute tokens accrue by frames, rounded down. In the book ``standard``
that is 800 tokens over the first 60 s and 10 per second from then on.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

WARNING_S = 15  # How long before its end a session is warned, and a hold is renewed.
_MINUTE_S = 60


class LiveTerms(BaseModel):
    """Prices and format of one session. Stored with it, and never worked out again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_minute_tokens: int
    minute_tokens: int
    max_tokens: int | None
    sample_rate_hz: int
    channels: int
    bits: int
    chunk_frames: int

    def due(self, frames: int) -> int:
        """What ``frames`` delivered frames cost in all."""
        minute_frames = _MINUTE_S * self.sample_rate_hz
        if frames <= minute_frames:
            return self.first_minute_tokens * frames // minute_frames
        return self.first_minute_tokens + self.minute_tokens * (frames - minute_frames) // minute_frames

    def hold_due(self, frames: int) -> int:
        """What should be held once ``frames`` are delivered: whole minutes, ``WARNING_S`` ahead, within the cap."""
        minutes = -(-(frames + WARNING_S * self.sample_rate_hz) // (_MINUTE_S * self.sample_rate_hz))
        wanted = self.due(minutes * _MINUTE_S * self.sample_rate_hz)
        return wanted if self.max_tokens is None else min(wanted, self.max_tokens)

    def seconds_left(self, frames: int, tokens: int) -> float:
        """How much longer ``tokens`` last after ``frames`` frames: whole chunks, in seconds of sound."""
        chunks, limit = 0, self.due(frames) + tokens
        while chunks * self.chunk_frames < 2 * WARNING_S * self.sample_rate_hz:
            if self.due(frames + (chunks + 1) * self.chunk_frames) > limit:
                break
            chunks += 1
        return round(chunks * self.chunk_frames / self.sample_rate_hz, 3)
