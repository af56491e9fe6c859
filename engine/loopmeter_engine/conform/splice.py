"""Move points of a sound in time without touching their attacks: everything is copied, only joints are blended.

Between two fixed points some frames must be left out or repeated. That is done in jumps of at most ``JUMP_S``, each
where the sound before and after it is most alike (as in SOLA; Roucos and Wilgus 1985), far from attacks. So pitch and
attacks stay what they were, bit by bit; what changes is a few crossfades of 15 ms per beat.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]  # (channels, frames)

JUMP_S = 0.012
FADE_S = 0.015
FREE_S = 0.004  # What a jump may be longer or shorter: two periods of 500 Hz, one of 125 Hz either way.
ATTACK_BEFORE_S = 0.004
ATTACK_AFTER_S = 0.03


class Anchor(NamedTuple):
    """What is at ``source`` comes out at ``target``; both are frames."""

    target: int
    source: int


class _Joint(NamedTuple):
    """From ``target`` on, for ``fade`` frames, the offset (source minus target) turns from ``before`` to ``after``."""

    target: int
    fade: int
    before: int
    after: int
    likeness: float  # The correlation of both sides, -1 to 1.


def splice(sound: Sound, sample_rate_hz: int, anchors: Sequence[Anchor], frames: int) -> Sound:
    """``frames`` frames of ``sound``, (channels, frames), with each anchor in its place. Silence outside the sound.

    ``anchors`` are in order, both in target and source. Before the first and after the last the sound runs on as it is.
    """
    mono = sound.mean(axis=0)
    joints: list[_Joint] = []
    for left, right in itertools.pairwise(anchors):
        joints += _joints(mono, sample_rate_hz, left, right)
    out = np.zeros((sound.shape[0], frames))
    begin, offset = 0, anchors[0].source - anchors[0].target
    for joint in joints:
        assert joint.before == offset and joint.target >= begin
        _copy(sound, out, begin, joint.target, offset)
        _blend(sound, out, joint)
        begin, offset = joint.target + joint.fade, joint.after
    _copy(sound, out, begin, frames, offset)
    return out


def _joints(mono: NDArray[np.float64], sample_rate_hz: int, left: Anchor, right: Anchor) -> list[_Joint]:
    """Where to jump between two anchors, as evenly as the sound allows."""
    offset, end = left.source - left.target, right.source - right.target
    jump = end - offset
    if jump == 0:
        return []
    first = left.target + round(ATTACK_AFTER_S * sample_rate_hz)
    last = right.target - round(ATTACK_BEFORE_S * sample_rate_hz)
    if last - first < 0.006 * sample_rate_hz:  # Two attacks that close: the joint takes what room there is.
        first, last = left.target + 1, right.target
    room = max(1, (last - first) // max(1, round(FADE_S * sample_rate_hz)))
    count = min(room, 1 + -(-abs(jump) // round(JUMP_S * sample_rate_hz)))
    edges = np.linspace(first, last, count + 1).astype(int)
    joints = []
    for number in range(count):
        start, stop = int(edges[number]), int(edges[number + 1])
        fade = max(1, min(round(FADE_S * sample_rate_hz), stop - start))
        # Every jump but the last may be a little longer or shorter, so that it meets the sound in its own phase. What
        # is left over is done last, just before the next attack, which covers it.
        wanted = [end]
        if number < count - 1:
            middle = offset + (end - offset) // (count - number)
            slack = round(FREE_S * sample_rate_hz)
            wanted = list(range(middle - slack, middle + slack + 1, max(1, slack // 16)))
        joints.append(max((_best(mono, start, stop, fade, offset, after) for after in wanted), key=_likeness))
        offset = joints[-1].after
    return joints


def _likeness(joint: _Joint) -> float:
    return joint.likeness


def _best(mono: NDArray[np.float64], first: int, last: int, fade: int, before: int, after: int) -> _Joint:
    """The crossfade within ``first .. last`` whose two sides are most alike."""
    old, new = _read(mono[None], first + before, last + before)[0], _read(mono[None], first + after, last + after)[0]
    sums = np.zeros((3, last - first + 1))
    np.cumsum([old * new, old * old, new * new], axis=1, out=sums[:, 1:])
    products, old_power, new_power = sums[:, fade:] - sums[:, :-fade]
    power = np.sqrt(np.maximum(old_power * new_power, 0.0))
    loudest = float(power.max(initial=0.0)) + 1e-12
    likeness = products / (power + 1e-6 * loudest)
    # Silence is the best place of all, whatever it correlates with; then likeness decides.
    place = int((likeness - 0.3 * power / loudest).argmax())
    return _Joint(first + place, fade, before, after, float(np.clip(likeness[place], -1.0, 1.0)))


def _blend(sound: Sound, out: Sound, joint: _Joint) -> None:
    """Crossfade with constant power for what the two sides have in common."""
    stop = min(joint.target + joint.fade, out.shape[1])
    if stop <= joint.target:
        return
    rise = (np.arange(joint.fade) + 0.5) / joint.fade
    power = rise**2 + (1 - rise) ** 2 + 2 * rise * (1 - rise) * max(joint.likeness, 0.0)
    gain = 1.0 / np.sqrt(power)
    old = _read(sound, joint.target + joint.before, stop + joint.before)
    new = _read(sound, joint.target + joint.after, stop + joint.after)
    keep = stop - joint.target
    out[:, joint.target : stop] = (old * (1 - rise[:keep]) + new * rise[:keep]) * gain[:keep]


def _copy(sound: Sound, out: Sound, start: int, stop: int, offset: int) -> None:
    stop = min(stop, out.shape[1])
    if stop > start:
        out[:, start:stop] = _read(sound, start + offset, stop + offset)


def _read(sound: Sound, start: int, stop: int) -> Sound:
    """Frames ``start .. stop - 1``, silence outside of the sound."""
    if start >= 0 and stop <= sound.shape[1]:
        return sound[:, start:stop]
    inside = sound[:, max(start, 0) : max(stop, 0)]
    left = min(max(-start, 0), stop - start)
    return np.pad(inside, ((0, 0), (left, stop - start - left - inside.shape[1])))
