"""Sound from magnitudes: consistent with them, equal however it is cut, and without echoes before attacks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from loopmeter_engine.model.autoencoder import (
    LONG_FFT,
    LONG_HOP,
    SHORT_FFT,
    SHORT_HOP,
    SUNG_BINS,
    stft,
)
from loopmeter_engine.phase import AHEAD, LAG_SAMPLES, LEAD_SAMPLES, Guide, Vocoder
from loopmeter_engine.seam import seam_ratio

RATE = 44_100
SEGMENT = 32


def _magnitudes(pcm: Tensor) -> tuple[Tensor, Tensor]:
    long = stft(pcm, LONG_FFT, LONG_HOP, torch.hann_window(LONG_FFT)).abs()
    short = stft(pcm[:1], SHORT_FFT, SHORT_HOP, torch.hann_window(SHORT_FFT)).abs()[0]
    return long, short


def _sound(pcm: Tensor, **told: Any) -> Tensor:
    """What the vocoder makes of the magnitudes of (c, N); see ``_sound_of``."""
    return _sound_of(*_magnitudes(pcm), **told)


def _sound_of(
    long: Tensor,
    short: Tensor,
    cuts: tuple[int, ...] = (),
    iterations: int = 12,
    sung: Tensor | None = None,
    hits: tuple[int, ...] = (),
) -> Tensor:
    """Sound of magnitudes handed over in pieces that end at ``cuts``, with what is ``sung`` and ``hits`` told of."""
    vocoder = Vocoder(iterations)
    if sung is None:
        sung = torch.zeros(*long.shape[:2], SUNG_BINS, dtype=torch.complex64)
    drums = torch.tensor(hits, dtype=torch.int64)
    state, parts, given, kept = vocoder.init_state(len(long)), [], 0, 0
    for end in [*cuts, long.shape[1]]:
        new_long, new_short, new_sung = long[:, given:end], short[4 * given : 4 * end], sung[:, given:end]
        given = end
        while given - kept >= SEGMENT + AHEAD:
            generator = torch.Generator().manual_seed(kept)
            guide = Guide(new_sung, drums)
            part, state = vocoder.step(new_long, new_short, guide, state, SEGMENT, generator)
            new_long, new_short, new_sung = new_long[:, :0], new_short[:0], new_sung[:, :0]
            parts.append(part)
            kept += SEGMENT
        state.long = torch.cat([state.long, new_long], 1)
        state.short = torch.cat([state.short, new_short])
        state.sung = torch.cat([state.sung, torch.view_as_real(new_sung)], 1)
    sound = torch.cat(parts, 1)
    assert sound.shape[1] == LONG_HOP * kept - LAG_SAMPLES
    return sound[:, LEAD_SAMPLES:]


def _tone(frequency_hz: float, frames: int = 200) -> Tensor:
    time = torch.arange(frames * LONG_HOP) / RATE
    return 0.3 * torch.sin(2 * math.pi * frequency_hz * time)[None]


def _sung(frequency_hz: float, pcm: Tensor) -> Tensor:
    """(1, n, SUNG_BINS): the phases of a tone's lobe, at the middle of every frame of (c, N)."""
    middle_s = (torch.arange(pcm.shape[1] // LONG_HOP, dtype=torch.float64) + 0.5) * LONG_HOP / RATE
    angle = 2 * math.pi * (frequency_hz * middle_s % 1) - math.pi / 2  # A sine.
    place = round(frequency_hz * LONG_FFT / RATE)
    told = torch.zeros(1, len(middle_s), SUNG_BINS, dtype=torch.complex64)
    told[0, :, max(0, place - 2) : place + 3] = torch.polar(torch.ones_like(angle), angle)[:, None]
    return told


def _distance(found: Tensor, wanted: Tensor) -> float:
    """Spectral convergence: relative error of long-window magnitudes, away from the ends."""
    count = found.shape[1] // LONG_HOP * LONG_HOP
    a, b = _magnitudes(found[:, :count])[0], _magnitudes(wanted[:, :count])[0]
    inside = slice(8, -8)
    return float((a[:, inside] - b[:, inside]).norm() / b[:, inside].norm())


@pytest.mark.parametrize("cuts", [(40,), (7, 50, 51, 99, 160)])
def test_any_split_gives_the_same_samples(cuts: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pcm = _tone(331.7).repeat(2, 1) + 0.05 * torch.randn(2, 200 * LONG_HOP)
    told = {"sung": _sung(331.7, pcm).expand(2, -1, -1), "hits": (20_000, 51_000)}
    assert (_sound(pcm, cuts=cuts, **told) - _sound(pcm, **told)).abs().max() < 1e-6


@pytest.mark.parametrize("frequency_hz", [55.0, 440.0, 3520.0])
def test_a_steady_tone_comes_back_clean(frequency_hz: float) -> None:
    pcm = _tone(frequency_hz)
    assert _distance(_sound(pcm), pcm) < 0.05


def _pitch_hz(sound: Tensor) -> float:
    """The strongest frequency of (c, N), to a fraction of a hertz."""
    size = 2**18
    window = torch.hann_window(sound.shape[1])
    return float(torch.fft.rfft(sound[0] * window, size).abs().argmax()) * RATE / size


@pytest.mark.parametrize("note", [28, 33, 45, 57])
def test_a_low_note_that_the_score_tells_is_in_tune_where_its_magnitudes_are_not(note: int) -> None:
    """Magnitudes of a tone 60 cents sharp, with errors as a codec makes them, come out at the note's own pitch."""
    torch.manual_seed(4)
    asked_hz = 440.0 * 2 ** ((note - 69) / 12)
    pcm = _tone(asked_hz * 2 ** (60 / 1200))
    long, short = _magnitudes(pcm)
    long = long * torch.exp(0.3 * torch.randn(long.shape))
    found_hz = _pitch_hz(_sound_of(long, short, sung=_sung(asked_hz, pcm)))
    assert abs(1200 * math.log2(found_hz / asked_hz)) < 5


def test_a_tone_of_which_nothing_is_told_keeps_its_pitch() -> None:
    pcm = _tone(331.7)
    found_hz = _pitch_hz(_sound(pcm, sung=_sung(440.0, pcm)))
    assert abs(1200 * math.log2(found_hz / 331.7)) < 5


def test_what_is_told_of_phases_is_heard_to_the_sample() -> None:
    """A low tone that begins anew comes back as the wave that it was; untold, only its spectrum does."""
    time = torch.arange(200 * LONG_HOP) / RATE
    begun = 100 * LONG_HOP / RATE + 0.0031
    pcm = 0.3 * torch.sin(2 * math.pi * 55.0 * torch.where(time < begun, time, time - begun))[None]
    told = torch.where(
        (torch.arange(200) + 0.5)[None, :, None] * LONG_HOP / RATE < begun,
        _sung(55.0, pcm),
        _sung(55.0, pcm) * torch.tensor(-2j * math.pi * 55.0 * begun).exp(),
    )
    wrong = {}
    for name, sung in (("told", told), ("untold", None)):
        sound = _sound(pcm, sung=sung)
        inside = slice(20 * LONG_HOP, sound.shape[1] - 20 * LONG_HOP)
        truth = pcm[:, : sound.shape[1]]
        wrong[name] = float((sound - truth)[:, inside].norm() / truth[:, inside].norm())
    assert wrong["told"] < 0.15 < 0.5 < wrong["untold"]


def test_a_chord_with_noise_comes_back_near() -> None:
    torch.manual_seed(1)
    pcm = sum(_tone(frequency) for frequency in (220.0, 277.2, 329.6)) / 2 + 0.02 * torch.randn(1, 200 * LONG_HOP)
    assert _distance(_sound(pcm), pcm) < 0.15  # Noise is never the same twice; real loops come to 0.05 to 0.13.


def test_iterations_help() -> None:
    torch.manual_seed(2)
    pcm = 0.1 * torch.randn(1, 200 * LONG_HOP)
    assert _distance(_sound(pcm, iterations=16), pcm) < 0.8 * _distance(_sound(pcm, iterations=0), pcm)


def test_attacks_have_no_echo_before_them() -> None:
    """A hit out of silence: up to 6 ms before it, half a short window, what sounds is 30 dB below the hit."""
    torch.manual_seed(3)
    at = 100 * LONG_HOP + 137
    pcm = torch.zeros(1, 200 * LONG_HOP)
    decay = torch.exp(-torch.arange(6000) / 1500)
    pcm[0, at : at + 6000] = 0.5 * torch.randn(6000) * decay
    sound = _sound(pcm)[0]
    window = round(0.02 * RATE)
    guard = SHORT_FFT // 2
    before = sound[at - window - guard : at - guard].square().mean()
    after = sound[at : at + window].square().mean()
    assert 10 * math.log10(float(after / before)) > 30


def _hit(at: int) -> Tensor:
    """(1, N): a burst of noise at sample ``at``, over a tone 40 dB below it."""
    torch.manual_seed(3)
    pcm = 0.01 * _tone(220.0)
    pcm[0, at : at + 6000] += 0.5 * torch.randn(6000) * torch.exp(-torch.arange(6000) / 1500)
    return pcm


def _before_over_after_db(sound: Tensor, at: int) -> float:
    window = round(0.01 * RATE)
    before, after = sound[0, at - window : at], sound[0, at : at + 2 * window]
    return 10 * math.log10(float(before.square().mean() / after.square().mean()))


def test_a_hit_that_the_score_knows_starts_at_its_sample() -> None:
    """What lies in the 10 ms before comes near to the truth, where without the score it is far above."""
    at = 100 * LONG_HOP + 137
    pcm = _hit(at)
    truth = _before_over_after_db(pcm, at)
    told = _before_over_after_db(_sound(pcm, hits=(at + LEAD_SAMPLES,)), at)
    untold = _before_over_after_db(_sound(pcm), at)
    assert told < truth + 6 < untold


def test_bands_that_nothing_louder_follows_keep_their_level() -> None:
    """Short windows that tell a steady tone half as loud as the long ones do are not believed."""
    long, short = _magnitudes(_tone(441.0))
    assert _distance(_sound_of(long, 0.3 * short), _tone(441.0)) < 0.05


def test_a_hit_told_of_where_none_sounds_leaves_a_tone_alone() -> None:
    pcm = _tone(441.0)
    assert _distance(_sound(pcm, hits=(50_000,)), pcm) < 0.05


def test_a_note_struck_over_a_held_one_does_not_begin_with_a_click() -> None:
    at = 100 * LONG_HOP + 137
    pcm = 0.3 * _tone(220.0)
    since = torch.arange(pcm.shape[1]) - at
    pcm += _tone(659.3).roll(at, 1) * (since / 220).clamp(0, 1) * torch.exp(-since.clamp(min=0) / 8000)
    told = _sound(pcm, hits=(at + LEAD_SAMPLES,))
    surprise, truth = (seam_ratio(sound.roll(-at - 16, 1).numpy()) for sound in (told, pcm))
    assert surprise < 2 * truth
