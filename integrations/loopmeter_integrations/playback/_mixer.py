"""Loops to sound, to the frame: decks, gain, starts and stops on the beat. Pure: beats in, frames out, no device.

Reading order: ``Sound``, the commands, the events, ``Mixer``, ``_Voice``.

A loop is cyclic, so what sounds before its first frame is its own end. A change on a boundary therefore fades *up to*
it: the new loop comes in from its own tail and is at full level when its first frame falls on the boundary, which keeps
the attack of a downbeat sharp and the seam as inaudible as the loop's own.

A voice follows the clock: its speed is the clock's tempo over its own, and what is left of an offset, from two devices
that count seconds differently, is worked off a little at a time. At its own tempo and rate it is copied, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loopmeter_integrations.clocks._clock import next_boundary

Frames = npt.NDArray[np.float32]

CHANNELS = 2
DECKS_MAX = 8
FADE_S = 0.005
FADE_S_MAX = 30.0
GAIN_MAX = 4.0

_OFFSET_S = 0.00025  # Below this an offset is left alone.
_SETTLED_S = 0.00002  # Down to this it is worked off.
_PULL_S = 0.5  # How fast: an offset is halved in about a third of a second.
_PULL_MAX = 0.005  # By at most half a percent of speed, a twelfth of a semitone.
_JUMP_S = 0.01  # Beyond this the clock has jumped, or a block was lost, and the voice jumps after it.
_SAME_SPEED = 1e-5
_LATE_S = 0.02  # A boundary that has just passed, by a clock that is not quite even, still counts.
_VOICES_MAX = 8


@dataclass(frozen=True, eq=False, slots=True)
class Sound:
    """A loop in memory: ``frames`` (frames, 2) float32 at the mixer's rate, ``beats`` long."""

    name: str
    frames: Frames
    beats: float


@dataclass(frozen=True, slots=True)
class Play:
    """Begin a loop on a deck at the next multiple of ``quantum_beats``; 0 is at once. What plays there makes room."""

    deck: int
    sound: Sound
    quantum_beats: float
    fade_s: float = FADE_S
    token: object = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End what plays on a deck at the next multiple of ``quantum_beats``; 0 is at once."""

    deck: int
    quantum_beats: float
    fade_s: float = FADE_S
    token: object = None


@dataclass(frozen=True, slots=True)
class Gain:
    """Change a deck's gain, a factor of 0 to ``GAIN_MAX``, over ``ramp_s``."""

    deck: int
    gain: float
    ramp_s: float = FADE_S


Change = Play | Stop
Command = Change | Gain


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The change will happen at ``beat``. Comes again if the clock jumps."""

    change: Change
    beat: float


@dataclass(frozen=True, slots=True)
class Happened:
    """The change is certain: ``frame``, counted from the mixer's first, is the first of the new loop, or of silence.

    It may lie ahead by the fade, which comes before it.
    """

    change: Change
    beat: float
    frame: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The change will not happen: another one for the same deck came before it."""

    change: Change


Event = Scheduled | Happened | Replaced


class Mixer:
    """Mix decks block by block. Not for several threads at once."""

    def __init__(self, rate_hz: int, decks: int = DECKS_MAX) -> None:
        self.rate_hz = rate_hz
        self.frame = 0
        self._decks = [_Deck(rate_hz) for _ in range(decks)]
        self._open = 1.0  # 1 while the clock runs; silence when it stands still.

    def apply(self, command: Command) -> list[Event]:
        """Take a command; it counts from the next block on."""
        deck = self._decks[command.deck]
        if isinstance(command, Gain):
            deck.set_gain(command.gain, command.ramp_s)
            return []
        replaced: list[Event] = [Replaced(deck.pending)] if deck.pending is not None else []
        deck.pending, deck.pending_beat = command, None
        return replaced

    def playing(self, deck: int) -> str | None:
        """The name of the loop that plays on a deck, or ``None``."""
        return self._decks[deck].playing

    def render(self, count: int, beat: float, tempo_bpm: float) -> tuple[Frames, list[Event]]:
        """The next ``count`` frames (count, 2), whose first is at ``beat``, and what happens in them."""
        mix = np.zeros((count, CHANNELS), np.float32)
        events: list[Event] = []
        beats_per_frame = tempo_bpm / 60 / self.rate_hz
        for deck in self._decks:
            deck.render(mix, self.frame, beat, beats_per_frame, events)
        self._gate(mix, tempo_bpm > 0)
        self.frame += count
        return mix, events

    def _gate(self, mix: Frames, running: bool) -> None:
        """Fade out when the clock stops, fade in when it goes on."""
        target = 1.0 if running else 0.0
        if self._open == target == 1.0:
            return
        step = 1 / max(1, round(FADE_S * self.rate_hz))
        ramp = _ramp(self._open, target, step, len(mix))
        mix *= _eased(ramp)[:, None]
        self._open = float(ramp[-1]) if len(mix) else self._open


class _Deck:
    """What sounds in one place: the voice that plays, and those that it replaced and that still fade."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._voices: list[_Voice] = []
        self._gain = 1.0
        self._gain_target = 1.0
        self._gain_step = 0.0
        self.pending: Change | None = None
        self.pending_beat: float | None = None
        self._taken = -1  # Frame and beat of the last change's boundary.
        self._taken_beat = 0.0

    @property
    def playing(self) -> str | None:
        return next((voice.sound.name for voice in self._voices if voice.stays), None)

    def set_gain(self, gain: float, ramp_s: float) -> None:
        self._gain_target = gain
        self._gain_step = abs(gain - self._gain) / max(1, round(ramp_s * self._rate_hz))

    def render(self, mix: Frames, frame: int, beat: float, beats_per_frame: float, events: list[Event]) -> None:
        if beats_per_frame > 0:
            self._follow(frame, beat, beats_per_frame)
            self._begin(len(mix), frame, beat, beats_per_frame, events)
        if not self._voices and self._gain == self._gain_target:
            return
        sound = np.zeros_like(mix)
        for voice in self._voices:
            voice.add(sound, frame, beats_per_frame)
        self._voices = [voice for voice in self._voices if not voice.is_over(frame + len(mix))]
        if self._gain != 1.0 or self._gain_target != 1.0:
            ramp = _ramp(self._gain, self._gain_target, self._gain_step, len(mix))
            sound *= ramp[:, None]
            self._gain = float(ramp[-1])
            if abs(self._gain - self._gain_target) < 1e-6:
                self._gain = self._gain_target
        mix += sound

    def _follow(self, frame: int, beat: float, beats_per_frame: float) -> None:
        """Keep the voices with the clock; one that is far off fades into itself at the right place."""
        for voice in list(self._voices):
            if voice.stays and voice.has_begun(frame) and voice.pull(beat, beats_per_frame):
                fade = round(FADE_S * self._rate_hz)
                voice.fade_out(frame, frame + fade)
                again = _Voice(voice.sound, self._rate_hz, voice.start_beat, frame, frame + fade)
                again.place(beat)
                self._voices.append(again)
        del self._voices[:-_VOICES_MAX]

    def _begin(self, count: int, frame: int, beat: float, beats_per_frame: float, events: list[Event]) -> None:
        change = self.pending
        if change is None:
            return
        late = _LATE_S * self._rate_hz * beats_per_frame
        if self.pending_beat is None or not -late <= self.pending_beat - beat <= 2 * change.quantum_beats:
            self.pending_beat = next_boundary(beat, change.quantum_beats) if change.quantum_beats else beat
            # The change before may be fading up to this very boundary; then it is taken.
            if change.quantum_beats and frame <= self._taken and abs(self.pending_beat - self._taken_beat) < 1e-6:
                self.pending_beat += change.quantum_beats
            events.append(Scheduled(change, self.pending_beat))
        boundary = frame + math.ceil((self.pending_beat - beat) / beats_per_frame - 1e-6)
        fade = max(1, round(change.fade_s * self._rate_hz))
        begin = max(frame, boundary - fade)
        if begin >= frame + count:
            return
        end = boundary if boundary > begin else begin + fade  # At once: there is no time to fade before it.
        for voice in self._voices:
            if voice.stays:
                voice.fade_out(begin, end)
        if isinstance(change, Play):
            voice = _Voice(change.sound, self._rate_hz, self.pending_beat, begin, end)
            voice.place(self.pending_beat - (boundary - begin) * beats_per_frame)
            self._voices.append(voice)
        happened = max(frame, boundary) if isinstance(change, Play) else end
        events.append(Happened(change, self.pending_beat, happened))
        self._taken, self._taken_beat = boundary, self.pending_beat
        self.pending = self.pending_beat = None


class _Voice:
    """One loop from ``begin`` on, fading in until ``end``. ``start_beat`` is where its first frame belongs."""

    def __init__(self, sound: Sound, rate_hz: int, start_beat: float, begin: int, end: int) -> None:
        self.sound = sound
        self.start_beat = start_beat
        self.stays = True
        self._rate_hz = rate_hz
        self._length = len(sound.frames)
        self._begin, self._end = begin, end
        self._out_begin, self._out_end = 0, 0
        self._pulling = False
        self._speed_factor = 1.0
        self._frames_per_beat = self._length / sound.beats
        self._position = 0.0

    def place(self, beat: float) -> None:
        """Go to where the loop is at ``beat``, to the nearest frame, so that it can be copied from there."""
        self._position = float(round((beat - self.start_beat) * self._frames_per_beat) % self._length)

    def has_begun(self, frame: int) -> bool:
        return frame >= self._end

    def is_over(self, frame: int) -> bool:
        return not self.stays and frame >= self._out_end

    def fade_out(self, begin: int, end: int) -> None:
        self.stays = False
        self._out_begin, self._out_end = begin, end

    def pull(self, beat: float, beats_per_frame: float) -> bool:
        """Set the speed so that an offset from the clock shrinks; ``True`` if it is too large for that."""
        target = (beat - self.start_beat) * self._frames_per_beat
        offset = (target - self._position + self._length / 2) % self._length - self._length / 2
        if abs(offset) > _JUMP_S * self._rate_hz:
            return True
        self._pulling = abs(offset) > (_SETTLED_S if self._pulling else _OFFSET_S) * self._rate_hz
        pull = offset / (_PULL_S * self._rate_hz) if self._pulling else 0.0
        self._speed_factor = 1 + max(-_PULL_MAX, min(_PULL_MAX, pull))
        return False

    def add(self, mix: Frames, frame: int, beats_per_frame: float) -> None:
        """Add what it sounds like from ``frame`` on."""
        skip = max(0, self._begin - frame)
        count = len(mix) - skip
        if count <= 0:
            return
        speed = beats_per_frame * self._frames_per_beat * self._speed_factor
        if abs(speed - 1) < _SAME_SPEED:
            speed = 1.0
        sound = self._take(count, speed)
        level = self._level(frame + skip, count)
        mix[skip:] += sound if level is None else sound * level[:, None]

    def _take(self, count: int, speed: float) -> Frames:
        position = self._position
        self._position = (position + count * speed) % self._length
        if speed == 1.0 and position == int(position):
            return self.sound.frames[(int(position) + np.arange(count)) % self._length]
        return _interpolated(self.sound.frames, position + speed * np.arange(count))

    def _level(self, frame: int, count: int) -> npt.NDArray[np.float32] | None:
        """The fades; ``None`` is full level."""
        if self.stays and frame >= self._end:
            return None
        frames = frame + np.arange(count)
        level = _eased((frames - self._begin + 1) / (self._end - self._begin + 1))
        if not self.stays:
            level = level * _eased((self._out_end - frames) / (self._out_end - self._out_begin + 1))
        return level


def _eased(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """From 0 to 1 on half a cosine: a corner would be a click. What fades out beside it adds up to 1."""
    level: npt.NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * np.clip(x, 0, 1))).astype(np.float32)
    return level


def _interpolated(frames: Frames, positions: npt.NDArray[np.floating]) -> Frames:
    """Between frames, cyclic, by cubic Hermite (Catmull-Rom) through the four nearest."""
    whole = np.floor(positions).astype(np.int64)
    x = (positions - whole).astype(np.float32)[:, None]
    before, at, after, later = (frames[(whole + step) % len(frames)] for step in (-1, 0, 1, 2))
    curve = at + 0.5 * x * (
        after - before + x * (2 * before - 5 * at + 4 * after - later + x * (3 * (at - after) + later - before))
    )
    found: Frames = curve.astype(np.float32)
    return found


def _ramp(start: float, target: float, step: float, count: int) -> npt.NDArray[np.float32]:
    steps = start + np.sign(target - start) * step * np.arange(1, count + 1)
    ramp: npt.NDArray[np.float32] = np.clip(steps, min(start, target), max(start, target)).astype(np.float32)
    return ramp
