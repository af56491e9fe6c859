"""Sound that a request brings along: to go on from it, to make a part of it anew, to vary it, to play along with it.

What stays of the source is copied from it, sample by sample; the network is told of it as latents. Reading order:
``Source``, ``read_source``, ``Knowledge``, ``Splice``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.conform.beats import Beats, find_beats
from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engines.audio_in import decode_audio
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ, Autoencoder
from loopmeter_engine.model.transformer import BLOCK_FRAMES, context_features, latent_statistics
from loopmeter_engine.score import Score

TASKS = frozenset({"continue", "repaint", "cover", "lego"})
LENGTH_OFF_MAX = 2  # Frames that a loop's length may be off by rounding.
FOLLOW_DEFAULT = 0.5
FOLLOW_MAX = 0.95  # The time of the flow at which the closest variation begins: something is left to do.
REFERENCE_S_MAX = 30.0
_USUAL_TEMPO_BPM = 115.0
_WHOLE_WITHIN = 0.007
_TEMPO_GUESSES_BPM = (60.0, 75.0, 93.0, 116.0, 145.0, 180.0)  # Each is looked for 12 % around.
_REFERENCE_SAMPLES = round(REFERENCE_S_MAX * SAMPLE_RATE_HZ)
HISTORY_BLOCKS_MAX = 8  # 5.9 s.
FADE_IN_SAMPLES = 441  # 10 ms: what comes next may begin with an attack.
FADE_OUT_SAMPLES = 2048
_ORDER, _FITTED = 32, 4096  # Of the linear prediction that carries a sound on where it ends.
_GROWTH_MAX = 64.0  # Of one of its oscillations from there to its own end.


@dataclass(frozen=True)
class Source:
    """``sound`` (2, n). Frames ``first`` to ``last`` of the loop's ``frames`` are made anew.

    What is continued lies before the loop, its last sample just before the loop's first; any other source is as long
    as the loop. ``follow`` 0..1: how closely a variation keeps to its source.
    """

    task: str
    sound: NDArray[np.float32]
    frames: int
    first: int
    last: int
    follow: float = 0.0

    @property
    def keeps(self) -> bool:
        """Whether some of the source stays as it is, in the loop or before it."""
        return self.task == "continue" or (self.task == "repaint" and self.last - self.first < self.frames)

    @property
    def has_context(self) -> bool:
        """Whether the network is told frames of it, beyond where it begins."""
        return self.keeps or self.task == "lego"

    @property
    def stays(self) -> NDArray[np.float32]:
        """(2, n): what is kept of it, the end first."""
        if self.task == "continue":
            return self.sound
        return np.concatenate([self.sound[:, self.last :], self.sound[:, : self.first]], axis=1)

    def knows(self, block: int) -> bool:
        """Whether every frame of a stream's block is the source's."""
        return bool(self.known_latents(block * BLOCK_FRAMES, BLOCK_FRAMES).all())

    def known_latents(self, first: int, count: int) -> NDArray[np.bool_]:
        """Which of a stream's latent frames lie wholly in what stays. Frame 0 begins a block before the loop."""
        if not self.keeps:
            return np.zeros(count, np.bool_)
        begin = (np.arange(first, first + count) - BLOCK_FRAMES) * FRAME_SAMPLES
        if self.task == "continue":
            return np.asarray((begin < 0) & (begin >= -self.sound.shape[1]))
        inside = begin % self.frames
        before, after = inside + FRAME_SAMPLES <= self.first, inside >= self.last
        # A frame after the gap may reach over the loop's end, into what comes before the gap.
        return np.asarray(before | (after & (inside + FRAME_SAMPLES <= self.frames + self.first)))

    @property
    def blocks_before(self) -> int:
        """How many blocks before the stream's first are heard, so that it goes on from them."""
        if self.task != "continue":
            return 0
        return int(min(HISTORY_BLOCKS_MAX, self.sound.shape[1] // (BLOCK_FRAMES * FRAME_SAMPLES))) - 1

    def score_of(self, score: Score) -> Score:
        """The score of what is made anew alone: of what stays, nobody wrote one."""
        if self.task != "repaint":
            return score
        per_beat = 60.0 / score.tempo_bpm * SAMPLE_RATE_HZ
        first, last = self.first / per_beat - 1e-6, self.last / per_beat - 1e-6
        return replace(
            score,
            notes=tuple(note for note in score.notes if first <= note.onset_beats < last),
            hits=tuple(hit for hit in score.hits if first <= hit.onset_beats < last),
            fx=tuple(event for event in score.fx if first <= event.onset_beats < last),
        )


def read_source(request: LoopRequest, frames: int) -> Source | None:
    """What a resolved request of ``frames`` brings along; None without a task that needs it.

    Raises:
        InvalidRequest: no sound, sound of another length than the loop's, or a part that is not in it.
    """
    task = request.task or "text2music"
    if request.track is not None:
        raise InvalidRequest("track", f"expected layers, found track {request.track!r}; name layers such as ['bass']")
    if task not in TASKS:
        if request.source_audio_base64 is not None:
            raise InvalidRequest("source_audio_base64", "expected a task for the source, found none; name one of "
                                 + ", ".join(sorted(TASKS)))  # fmt: skip
        return None
    if request.source_audio_base64 is None:
        raise InvalidRequest("source_audio_base64", f"expected a WAV, FLAC or Ogg file to {task}, found none; send one")
    sound = decode_audio("source_audio_base64", request.source_audio_base64, SAMPLE_RATE_HZ)
    length = sound.shape[1]
    if task == "continue":
        _refuse_short("source_audio_base64", length)
        return Source(task, sound, frames, 0, frames)
    if abs(length - frames) > LENGTH_OFF_MAX:
        raise InvalidRequest(
            "source_audio_base64",
            f"expected a loop of {frames} frames ({_size(request)}), found {length} at {SAMPLE_RATE_HZ} Hz; "
            "give the loop's own tempo and bars, or cut it",
        )
    sound = np.pad(sound[:, :frames], ((0, 0), (0, max(0, frames - length))), mode="edge")
    if task == "repaint":
        return Source(task, sound, frames, *_asked_part(request, frames))
    follow = FOLLOW_DEFAULT if request.cover_strength is None else request.cover_strength
    return Source(task, sound, frames, 0, frames, follow if task == "cover" else 0.0)


def read_reference(request: LoopRequest) -> NDArray[np.float32] | None:
    """(2, frames) of the sound whose timbre and mix is wanted. Raises ``InvalidRequest``."""
    if request.reference_audio_base64 is None:
        return None
    sound = decode_audio("reference_audio_base64", request.reference_audio_base64, SAMPLE_RATE_HZ)
    _refuse_short("reference_audio_base64", sound.shape[1])
    return sound[:, :_REFERENCE_SAMPLES]


def with_measured_tempo(request: LoopRequest) -> LoopRequest:
    """The request with the tempo, and the bars, that its sound has, where it leaves them open.

    A loop of known bars says its tempo exactly. One of unknown bars is taken for the power of two that makes the
    tempo most usual. Of a beginning to go on from, and of a reference, the beats are measured.

    Raises:
        InvalidRequest: the sound cannot be read.
    """
    if request.tempo_bpm is not None and (request.bars is not None or request.task in (None, "text2music", "continue")):
        return request
    field = "source_audio_base64" if request.source_audio_base64 is not None else "reference_audio_base64"
    data = getattr(request, field)
    if data is None:
        return request
    sound = decode_audio(field, data, SAMPLE_RATE_HZ)
    if field == "reference_audio_base64" or request.task == "continue":
        tempo = measured_tempo(sound.mean(axis=0).astype(np.float64), SAMPLE_RATE_HZ)
        return request if tempo is None else request.model_copy(update={"tempo_bpm": tempo})
    minutes = sound.shape[1] / SAMPLE_RATE_HZ / 60
    bars = request.bars
    if bars is None and request.tempo_bpm is not None:
        bars = round(minutes * request.tempo_bpm / request.beats_per_bar)
    elif bars is None:
        choices = [2**power for power in range(9)]
        bars = min(choices, key=lambda n: abs(math.log(n * request.beats_per_bar / minutes / _USUAL_TEMPO_BPM)))
    tempo_bpm = request.tempo_bpm or bars * request.beats_per_bar / minutes
    if not (1 <= bars <= 256 and 40 <= tempo_bpm <= 240):
        raise InvalidRequest(
            field,
            f"expected a loop of {bars} bars at 40 to 240 bpm, found {60 * minutes:.2f} s, which is {tempo_bpm:.1f} "
            "bpm; say its bars and its tempo",
        )
    return request.model_copy(update={"tempo_bpm": tempo_bpm, "bars": bars})


def measured_tempo(mono: NDArray[np.float64], sample_rate_hz: int) -> float | None:
    """The tempo of a sound in bpm, None where no beats are heard. Of two octaves it takes the one nearer to usual,
    and a whole number where one is near: music from programs has one, and a few beats say no more."""
    found = [
        beats for guess in _TEMPO_GUESSES_BPM if len((beats := find_beats(mono, sample_rate_hz, guess)).frames) > 2
    ]
    if not found:
        return None

    def likely(beats: Beats) -> float:
        tempo = 60 * sample_rate_hz / beats.period_frames
        return float(beats.heard.mean()) * math.exp(-0.5 * (math.log2(tempo / _USUAL_TEMPO_BPM) / 0.9) ** 2)

    tempo = 60 * sample_rate_hz / max(found, key=likely).period_frames
    whole = round(tempo)
    tempo = float(whole) if abs(tempo - whole) < _WHOLE_WITHIN * tempo else round(tempo, 2)
    return min(240.0, max(40.0, tempo))


def _refuse_short(field: str, frames: int) -> None:
    if frames < BLOCK_FRAMES * FRAME_SAMPLES:
        least, found = BLOCK_FRAMES * FRAME_SAMPLES / SAMPLE_RATE_HZ, frames / SAMPLE_RATE_HZ
        raise InvalidRequest(field, f"expected at least {least:.2f} s of sound, found {found:.2f} s")


def _asked_part(request: LoopRequest, frames: int) -> tuple[int, int]:
    assert request.tempo_bpm is not None and request.bars is not None
    beats = request.bars * request.beats_per_bar
    start = request.repaint_from_beat or 0.0
    end = float(beats) if request.repaint_to_beat is None else request.repaint_to_beat
    if not start < end <= beats:
        raise InvalidRequest(
            "repaint_to_beat", f"expected beats from {start:g} up to at most {beats}, found {start:g} to {end:g}"
        )
    per_beat = 60.0 / request.tempo_bpm * SAMPLE_RATE_HZ
    return round(start * per_beat), min(frames, round(end * per_beat))


def _size(request: LoopRequest) -> str:
    return f"{request.bars} bars of {request.beats_per_bar} at {request.tempo_bpm:g} bpm"


class Knowledge:
    """A source and a reference as the network is told of them. Latent frame 0 begins a block before the loop."""

    def __init__(self, autoencoder: Autoencoder, source: Source | None, reference: NDArray[np.float32] | None) -> None:
        self.source, self._device = source, autoencoder.mean.device
        self.latents: Tensor | None = None
        self.statistics: Tensor | None = None
        self.tells_timbre = reference is not None
        if source is not None:
            self.latents = _encoded(autoencoder, _along_stream(source))
        reference = _reference(source, reference)
        if reference is not None:
            self.statistics = latent_statistics(_encoded(autoencoder, reference))

    @property
    def begin(self) -> float:
        """The time of the flow at which denoising begins: later, the closer a variation follows its source."""
        return FOLLOW_MAX * self.source.follow if self.source is not None else 0.0

    def block(self, number: int) -> tuple[Tensor, Tensor] | None:
        """Latents (1, 16, latent) of a block of the source, and which of them stay, (1, 16, 1) bool."""
        if self.source is None or self.latents is None or self.source.task == "lego":
            return None
        stays = self.source.known_latents(number * BLOCK_FRAMES, BLOCK_FRAMES)
        return self._cut(number * BLOCK_FRAMES, BLOCK_FRAMES), torch.from_numpy(stays)[None, :, None].to(self._device)

    def known(self, first: int, count: int) -> Tensor | None:
        """(1, count, 1) of 0 or 1: of which frames the sound is known, and with it no score."""
        if self.source is None or not self.source.keeps:
            return None
        known = self.source.known_latents(first, count)
        return torch.from_numpy(known).float()[None, :, None].to(self._device)

    def trust(self, first: int, count: int) -> Tensor | float:
        """(1, count, 1) or one number, 0..1: how far what is heard follows the score, and not the source."""
        if self.source is not None and self.source.task == "cover":
            return 1 - self.source.follow
        known = self.known(first, count)
        return 1.0 if known is None else 1 - known

    def context(self, first: int, count: int) -> Tensor | None:
        """(1, count, .) as the conditioner takes it, of a stream's latent frames from ``first`` on."""
        if self.source is None or not self.source.has_context:
            return None
        latents, none = self._cut(first, count), torch.zeros(1, count, device=self._device)
        if self.source.task == "lego":
            return context_features(torch.zeros_like(latents), none, latents, none + 1)
        known = self.known(first, count)
        assert known is not None
        return context_features(latents, known[..., 0], torch.zeros_like(latents), none)

    def _cut(self, first: int, count: int) -> Tensor:
        assert self.latents is not None
        assert self.source is not None
        first += BLOCK_FRAMES * (1 + self.source.blocks_before)
        return self.latents[:, first : first + count]


def encoded_frames(source: Source | None, reference: NDArray[np.float32] | None) -> list[int]:
    """How many latent frames are encoded: of the source, then of what tells the timbre."""
    told = _reference(source, reference)
    return [*([_latent_frames(source)] if source is not None else []),
            *([told.shape[1] // FRAME_SAMPLES] if told is not None else [])]  # fmt: skip


def _reference(source: Source | None, reference: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The sound that tells the timbre: the one that was sent for it, else what stays of the source."""
    if reference is None and source is not None and source.keeps:
        stays = source.stays[:, -_REFERENCE_SAMPLES:]
        return stays if stays.shape[1] >= BLOCK_FRAMES * FRAME_SAMPLES else None
    return reference


def _latent_frames(source: Source) -> int:
    """The stream's with what is heard before it, and a block more on both sides."""
    return (math.ceil(source.frames / (FRAME_SAMPLES * BLOCK_FRAMES)) + source.blocks_before + 4) * BLOCK_FRAMES


def _along_stream(source: Source) -> NDArray[np.float32]:
    """The source where a stream's frames lie, from a block before them on: round and round, or up to the loop."""
    count = _latent_frames(source) * FRAME_SAMPLES
    at = np.arange(count) - (2 + source.blocks_before) * BLOCK_FRAMES * FRAME_SAMPLES
    if source.task != "continue":
        return source.sound[:, at % source.frames]
    length = source.sound.shape[1]
    inside = (at < 0) & (at >= -length)
    return np.asarray(source.sound[:, np.where(inside, at + length, 0)] * inside)


@torch.inference_mode()
def _encoded(autoencoder: Autoencoder, sound: NDArray[np.float32]) -> Tensor:
    """Latents (1, T, latent) of (2, n), cut to whole frames."""
    whole = sound.shape[1] // FRAME_SAMPLES * FRAME_SAMPLES
    return autoencoder.encode(
        torch.from_numpy(np.ascontiguousarray(sound[:, :whole]))[None].to(autoencoder.mean.device)
    )


class Splice:
    """Puts what was made anew between what stays. ``channels`` 1: the source's two in their mean."""

    def __init__(self, source: Source, channels: int, device: torch.device) -> None:
        sound = source.sound.mean(axis=0, keepdims=True) if channels == 1 else source.sound
        self._old = torch.from_numpy(self._carried_on(source, sound)).to(device)
        inside = np.zeros(source.frames)
        inside[source.first : source.last] = 1.0
        shortest = (source.last - source.first) // 2
        fade_in, fade_out = min(FADE_IN_SAMPLES, shortest), min(FADE_OUT_SAMPLES, shortest)
        inside[source.first : source.first + fade_in] = (np.arange(fade_in) + 0.5) / fade_in
        inside[source.last - fade_out : source.last] = 1 - (np.arange(fade_out) + 0.5) / fade_out
        inside = (1 - np.cos(inside * np.pi)) / 2  # A fade that ends at a slope is a click under a bass.
        self._new_gain = torch.from_numpy(np.sin(inside * np.pi / 2)).float().to(device)
        self._old_gain = torch.from_numpy(np.cos(inside * np.pi / 2)).float().to(device)
        outside = np.ones(source.frames, np.bool_)
        outside[source.first : source.last] = False
        self._stays = torch.from_numpy(outside).to(device)

    def __call__(self, begin: int, made: Tensor) -> Tensor:
        """``made`` (channels, n) from frame ``begin`` of the loop on, with the source in its place."""
        part = slice(begin, begin + made.shape[1])
        old = self._old[:, part]
        mixed = made * self._new_gain[part] + old * self._old_gain[part]
        return torch.where(self._stays[part], old, mixed)

    @staticmethod
    def _carried_on(source: Source, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """The source over the loop. What is continued runs on a little at the start, and into its own at the end."""
        if source.task != "continue":
            return sound
        whole = np.zeros((len(sound), source.frames), np.float32)
        after, before = min(FADE_IN_SAMPLES, source.frames // 2), min(FADE_OUT_SAMPLES, source.frames // 2)
        for channel, old in zip(whole, sound, strict=True):
            channel[:after] = predicted(old, after)
            channel[-before:] = predicted(old[::-1], before)[::-1]
        return whole


def predicted(sound: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` samples that carry ``sound`` (n,) on, by linear prediction of order 32 (covariance method)."""
    fitted = sound[-_FITTED:].astype(np.float64)
    if len(fitted) <= 2 * _ORDER or not fitted.any():
        return np.zeros(count, np.float32)
    past = np.lib.stride_tricks.sliding_window_view(fitted[:-1], _ORDER)
    gram = past.T @ past
    gram[np.diag_indices(_ORDER)] *= 1 + 1e-9
    taps = np.linalg.solve(gram + 1e-12 * np.eye(_ORDER), past.T @ fitted[_ORDER:])
    # A sound whose last moments grow has poles outside of the unit circle. Silence may grow on, a loud sound may not.
    growth = np.clip(1 / np.abs(fitted).max(), 1, _GROWTH_MAX)
    poles = np.roots(np.concatenate([[1.0], -taps[::-1]]))
    poles /= np.maximum(1, np.abs(poles) / growth ** (1 / count))
    taps = -np.poly(poles).real[:0:-1]
    line = np.concatenate([fitted[-_ORDER:], np.zeros(count)])
    for index in range(_ORDER, len(line)):
        line[index] = taps @ line[index - _ORDER : index]
    return line[_ORDER:].astype(np.float32)
