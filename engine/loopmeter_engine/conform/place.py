"""Put the beats of a sound on an exact grid, cut it to the frame, join its ends, and say what was done.

Reading order: ``conform``, ``ConformReport``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loopmeter_engine.conform.beats import TEMPO_OFF_MAX, Beats, find_beats, steady_beats
from loopmeter_engine.conform.splice import Anchor, Sound, splice
from loopmeter_engine.seam import seam_ratio

LEAD_S = 0.002  # Attacks come so long after their beat, so that the loop is cut in front of them.
AUDIBLE_PERCENT = 5.0  # A beat that is stretched by more is heard to be.
STRETCH_PERCENT_MAX = 15.0
PULSE_MIN = 1.7  # Noise has up to 1.4 and a texture of percussion 1.6; loops that people clap to begin at 1.8.
_JOIN_S = 0.03
_EARLY_S = 0.01  # The loop begins with an attack that is no earlier than its beat by more.
_APART_S = 0.05  # Attacks nearer than this to a beat move with it.


class CannotConform(ValueError):
    """The sound has no such beats. The message says expected, found, and what to do."""


@dataclass(frozen=True, slots=True)
class ConformReport:
    """What was asked, heard and done. Percentages are of the length of a beat.

    ``measured_bpm`` is the tempo of what came in (``played_bpm``, where that was told), ``conformed_bpm`` of what went
    out; None where no beats stand out in it, as in a texture that was placed by ``played_bpm``.
    ``correction_percent`` is the mean stretch (positive: made longer), ``correction_percent_max`` the largest of any
    beat, and ``audible`` whether that is above ``AUDIBLE_PERCENT``. ``beats_heard`` of ``beats`` had an attack.
    ``pulse`` is how far the beats stand out (1: not at all; see ``beats.py``).
    ``attacks_kept`` is the share of attacks that are, bit by bit, what they were. ``seam_ratio`` as in ``seam.py``.
    """

    asked_bpm: float
    measured_bpm: float
    conformed_bpm: float | None
    correction_percent: float
    correction_percent_max: float
    audible: bool
    beats: int
    beats_heard: int
    pulse: float
    attacks_kept: float
    seam_ratio: float
    frames: int


def conform(
    sound: NDArray[np.floating],
    sample_rate_hz: int,
    *,
    tempo_bpm: float,
    bars: int,
    beats_per_bar: int = 4,
    played_bpm: float | None = None,
    first_beat_s: float | None = None,
) -> tuple[Sound, ConformReport]:
    """The first ``bars`` bars of ``sound``, (channels, frames) in [-1, 1], as an exact loop, and a report.

    The first beat that is heard becomes the first of the loop, or the one nearest to ``first_beat_s``. A sound that
    keeps ``played_bpm``, from ``first_beat_s`` (0) on, is not listened to for beats: it needs none that stand out.
    Gives (channels, frames) with ``round(bars * beats_per_bar * 60 / tempo_bpm * sample_rate_hz)`` frames.

    Raises:
        CannotConform: no beats, too few, or at a tempo too far from the asked one.
    """
    if sound.ndim != 2 or sound.shape[1] == 0:
        raise CannotConform(f"expected (channels, frames), found {sound.shape}")
    wave = np.asarray(sound, np.float64)
    count = bars * beats_per_bar
    beat_frames = 60.0 / tempo_bpm * sample_rate_hz
    if played_bpm is None:
        found = _clear(find_beats(wave.mean(axis=0), sample_rate_hz, tempo_bpm, beats_per_bar), beat_frames)
    else:
        found = steady_beats(wave.mean(axis=0), sample_rate_hz, played_bpm, first_beat_s or 0.0)
    if first_beat_s is not None:
        found = _from(found, first_beat_s * sample_rate_hz, sample_rate_hz)
    wave, beats, struck, heard = _enough(wave, found, count)
    stretch = 100.0 * (beat_frames / np.diff(beats) - 1.0)
    if np.abs(stretch).max() > STRETCH_PERCENT_MAX:
        worst = int(np.abs(stretch).argmax())
        raise CannotConform(
            f"expected beats within {STRETCH_PERCENT_MAX:g} % of {tempo_bpm:g} bpm, found beat {worst + 1} at "
            f"{60.0 * sample_rate_hz / np.diff(beats)[worst]:.1f} bpm; give the tempo that it was played at"
        )
    frames = round(count * beat_frames)
    lead = round(LEAD_S * sample_rate_hz)
    struck[[0, -1]] = _ends(beats, struck, _EARLY_S * sample_rate_hz)
    anchors = _anchors(beats, struck, found.attacks, beat_frames, lead, round(_APART_S * sample_rate_hz))
    out = _joined(wave, splice(wave, sample_rate_hz, anchors, frames), anchors[0], sample_rate_hz)
    report = ConformReport(
        asked_bpm=tempo_bpm,
        measured_bpm=played_bpm or float(60.0 * sample_rate_hz * count / (struck[-1] - struck[0])),
        conformed_bpm=_tempo_of(out, sample_rate_hz, tempo_bpm, 0.0 if played_bpm is None else PULSE_MIN),
        correction_percent=float(100.0 * (count * beat_frames / (beats[-1] - beats[0]) - 1.0)),
        correction_percent_max=float(np.abs(stretch).max()),
        audible=bool(np.abs(stretch).max() > AUDIBLE_PERCENT),
        beats=count,
        beats_heard=heard,
        pulse=found.pulse,
        attacks_kept=_attacks_kept(wave, out, anchors, sample_rate_hz),
        seam_ratio=seam_ratio(out),
        frames=frames,
    )
    return out, report


def _clear(found: Beats, beat_frames: float) -> Beats:
    """The beats, if they are some and near the asked tempo."""
    steady = "; if it keeps a steady tempo all the same, say which (--played-bpm)"
    if len(found.frames) < 2:
        raise CannotConform(f"expected a sound with beats, found none that rises above the rest{steady}")
    if found.pulse < PULSE_MIN:
        raise CannotConform(
            f"expected beats that stand out, found the sound rising {found.pulse:.1f} times as much on them as "
            f"elsewhere, which is no more than in noise; expected {PULSE_MIN:g} at least{steady}"
        )
    off = found.period_frames / beat_frames - 1.0
    if abs(off) > TEMPO_OFF_MAX:
        raise CannotConform(f"expected beats near the asked tempo, found them {100 * off:+.1f} % longer or shorter")
    return found


def _from(found: Beats, first: float, sample_rate_hz: int) -> Beats:
    """The beats from the one nearest to frame ``first`` on."""
    away = np.abs(found.frames - first)
    begin = int(away.argmin()) if len(away) else 0
    if len(away) < 2 or away[begin] > 0.5 * found.period_frames:
        heard = f"the nearest at {found.frames[begin] / sample_rate_hz:.2f} s" if len(away) else "no beats"
        raise CannotConform(
            f"expected a beat near {first / sample_rate_hz:.2f} s, found {heard}; name another first beat"
        )
    return replace(found, frames=found.frames[begin:], heard=found.heard[begin:], struck=found.struck[begin:])


def _enough(wave: Sound, found: Beats, count: int) -> tuple[Sound, NDArray[np.float64], NDArray[np.float64], int]:
    """The sound, ``count + 1`` beats in it (the last one ends the loop), their attacks, and how many were heard."""
    beats, struck, heard = found.frames, found.struck.copy(), int(found.heard[:count].sum())
    total = wave.shape[1]
    if len(beats) == count and abs(total / (count * found.period_frames) - 1.0) < 0.25 / count:
        # A loop already: what follows its end is its start, what precedes its start is its end.
        head = round(float(beats[0]) + found.period_frames)
        again = np.concatenate([wave, wave[:, :head]], axis=1)
        return again, np.append(beats, beats[0] + total), np.append(struck, struck[0] + total), heard
    if len(beats) == count and total - beats[-1] > 0.5 * found.period_frames:
        end = beats[-1] + np.diff(beats)[-3:].mean()
        beats, struck = np.append(beats, end), np.append(struck, end)
    if len(beats) < count + 1:
        raise CannotConform(
            f"expected at least {count} beats and the sound of the last, found {len(beats)} in "
            f"{total} frames; ask for fewer bars"
        )
    return wave, beats[: count + 1], struck[: count + 1], heard


def _ends(beats: NDArray[np.float64], struck: NDArray[np.float64], early: float) -> NDArray[np.float64]:
    """Where the first beat and the last are struck: an attack that is too early to be theirs is another's."""
    ends = [0, -1]
    return np.where(struck[ends] < beats[ends] - early, beats[ends], struck[ends])


def _anchors(
    beats: NDArray[np.float64],
    struck: NDArray[np.float64],
    attacks: NDArray[np.int64],
    beat_frames: float,
    lead: int,
    apart: int,
) -> list[Anchor]:
    """Attacks of beats as early or late as they are in the sound; others where the stretch of their beat puts them."""
    grid = np.arange(len(beats)) * beat_frames + lead
    late = struck - beats
    late[[0, -1]] = np.maximum(late[[0, -1]], 0.0)  # Or the loop would begin behind its first attack.
    on_beat = {Anchor(round(float(t)), round(float(s))) for t, s in zip(grid + late, struck, strict=True)}
    between = {
        Anchor(round(float(np.interp(attack, beats, grid))), int(attack))
        for attack in attacks
        if beats[0] < attack < beats[-1] and np.abs(struck - attack).min() >= apart
    }
    kept: list[Anchor] = []
    for anchor in sorted(on_beat | between):
        if anchor in on_beat or anchor.target - kept[-1].target >= apart:
            kept.append(anchor)
    return kept


def _joined(wave: Sound, out: Sound, first: Anchor, sample_rate_hz: int) -> Sound:
    """The end fades into what led to the start, or into silence where the sound began with its first beat."""
    size = min(round(_JOIN_S * sample_rate_hz), out.shape[1] // 2)
    start = first.source - first.target
    lead_in = np.zeros((out.shape[0], size))
    known = min(max(start, 0), size)
    if known:
        lead_in[:, size - known :] = wave[:, start - known : start]
    rise = np.clip((np.arange(size) + 0.5 - (size - max(known, size // 3))) / max(known, size // 3), 0.0, 1.0)
    out[:, -size:] = out[:, -size:] * (1.0 - rise) + lead_in * rise
    return out


def _tempo_of(out: Sound, sample_rate_hz: int, tempo_bpm: float, pulse_min: float) -> float | None:
    """The tempo that is heard in the loop and the beat after it, if its beats stand out enough."""
    mono = out.mean(axis=0)
    beats = find_beats(np.concatenate([mono, mono[: sample_rate_hz // 4]]), sample_rate_hz, tempo_bpm)
    heard = len(beats.frames) > 1 and beats.pulse >= pulse_min
    return 60.0 * sample_rate_hz / beats.period_frames if heard else None


def _attacks_kept(wave: Sound, out: Sound, anchors: list[Anchor], sample_rate_hz: int) -> float:
    """The share of anchors whose next 10 ms were copied, not blended."""
    size = round(0.010 * sample_rate_hz)
    inside = [a for a in anchors[:-1] if a.target + size <= out.shape[1] and 0 <= a.source <= wave.shape[1] - size]
    same = sum(
        bool(np.array_equal(out[:, a.target : a.target + size], wave[:, a.source : a.source + size])) for a in inside
    )
    return same / max(1, len(inside))
