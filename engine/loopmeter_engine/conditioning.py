"""From a score to what the transformer reads: features per latent frame, and one vector for the whole loop.

The same functions serve training and generation, batched, on any device. Times wrap around the loop, so a crop may
start anywhere and run on for as many rounds as it likes. Onsets keep their place inside the 46 ms frame: they are
spread linearly over four slots per frame, from which the exact time can be read back.

Reading order: ``Events``, ``events_of``, ``frame_features``, ``global_features``, ``hits_of``, ``told_of``.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from loopmeter import LAYERS, Layer
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ
from loopmeter_engine.planner.names import GENRES, KIN
from loopmeter_engine.score import DRUMS, FAMILIES, FX_KINDS, MACROS, TONAL_LAYERS, Score

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
PITCH_MIN, PITCHES = 24, 80  # MIDI 24..103; notes outside are folded in by octaves.
SLOTS = 4
GENRE_SLOTS = 32  # Room for genres to come without a change of shape.

NOTE_ROWS = len(TONAL_LAYERS) * PITCHES
ONSET_ROWS = len(TONAL_LAYERS) + len(DRUMS) + len(FX_KINDS)
FX_CHANNELS = 2 * len(FX_KINDS)
CLOCK_CHANNELS = 4  # The last ones: where in beat and bar a frame lies, whatever is played.
FRAME_CHANNELS = 2 * NOTE_ROWS + SLOTS * ONSET_ROWS + FX_CHANNELS + CLOCK_CHANNELS
PARTIAL_CHANNELS = 2 * NOTE_ROWS
RELEASE_FRAMES = 22  # 1.02 s.
AHEAD_FRAMES = 1  # A spectral window hears what begins in it.
_GHOST_VELOCITY = 0.2
_STRUCK: tuple[Layer, ...] = ("chords", "lead")  # Notes that may begin as suddenly as a drum.
_FAMILY_COUNT = sum(len(families) for families in FAMILIES.values())
GLOBAL_CHANNELS = len(LAYERS) + _FAMILY_COUNT + len(LAYERS) * len(MACROS) + GENRE_SLOTS + 2
# Voices of a spectral frame: the notes that sound in it, and the last hits of every drum.
NOTE_VOICES, NOTE_FIELDS = 12, 4  # Layer and pitch as a row, seconds since onset and since release, velocity.
HIT_VOICES, HIT_FIELDS = 2 * len(DRUMS), 2  # Seconds since, velocity.
VOICE_CHANNELS = SLOTS * (NOTE_VOICES * NOTE_FIELDS + HIT_VOICES * HIT_FIELDS)
RING_S = 2.0  # How long a note may ring after its end, and a drum after a hit.
_WINDOW_S = 0.023  # Half of the long window, which hears so much ahead.
_NEVER_S = 1e3
TOLD_CHANNELS = FRAME_CHANNELS + GLOBAL_CHANNELS + 1 + VOICE_CHANNELS


_Rows = list[tuple[float, ...]]


@dataclass(frozen=True)
class Events:
    """A batch of scores as padded tensors, times in seconds. Padding has velocity 0.

    ``notes`` (B, E, 4): row in the piano roll, onset, duration, velocity. ``onsets`` (B, H, 3): row among layers,
    drums and effects, onset, velocity. ``fx`` (B, X, 4): kind, onset, duration, velocity. ``loop_s`` and ``beat_s``
    (B,), ``bar_s`` (B,).
    """

    notes: Tensor
    onsets: Tensor
    fx: Tensor
    loop_s: Tensor
    beat_s: Tensor
    bar_s: Tensor


def events_of(scores: Sequence[Score], device: torch.device | str = "cpu") -> Events:
    """The events of scores, restricted to the layers that each score plays."""
    notes: list[_Rows] = []
    onsets: list[_Rows] = []
    fx: list[_Rows] = []
    for score in scores:
        beat = 60.0 / score.tempo_bpm
        rows_n: _Rows = []
        rows_o: _Rows = []
        rows_f: _Rows = []
        for note in score.notes:
            if note.layer not in score.timbres:
                continue
            layer = TONAL_LAYERS.index(note.layer)
            pitch = note.pitch - PITCH_MIN
            pitch = pitch % 12 if pitch < 0 else pitch if pitch < PITCHES else PITCHES - 12 + (pitch - PITCHES) % 12
            rows_n.append((layer * PITCHES + pitch, note.onset_beats * beat, note.duration_beats * beat, note.velocity))
            rows_o.append((layer, note.onset_beats * beat, note.velocity))
        if "drums" in score.timbres:
            rows_o += [
                (len(TONAL_LAYERS) + DRUMS.index(hit.drum), hit.onset_beats * beat, hit.velocity) for hit in score.hits
            ]
        if "fx" in score.timbres:
            for event in score.fx:
                kind = FX_KINDS.index(event.kind)
                onset = event.onset_beats * beat
                rows_f.append((kind, onset, event.duration_beats * beat, event.velocity))
                rows_o.append((len(TONAL_LAYERS) + len(DRUMS) + kind, onset, event.velocity))
        notes.append(rows_n)
        onsets.append(rows_o)
        fx.append(rows_f)
    per_beat = torch.tensor([60.0 / score.tempo_bpm for score in scores], dtype=torch.float64)
    loop = torch.tensor([score.duration_s for score in scores], dtype=torch.float64)
    bar = per_beat * torch.tensor([score.beats_per_bar for score in scores])
    return Events(
        *(_padded(rows, width).to(device) for rows, width in ((notes, 4), (onsets, 3), (fx, 4))),
        *(value.to(device) for value in (loop, per_beat, bar)),
    )


def _padded(batch: list[_Rows], width: int) -> Tensor:
    longest = max(1, *(len(rows) for rows in batch)) if batch else 1
    out = torch.zeros(len(batch), longest, width, dtype=torch.float64)
    for index, rows in enumerate(batch):
        if rows:
            out[index, : len(rows)] = torch.tensor(rows, dtype=torch.float64)
    return out


def frame_features(events: Events, start_s: Tensor, frames: int) -> Tensor:
    """(B, frames, FRAME_CHANNELS) for the window of latent frames that starts at ``start_s`` (B,) in the loop."""
    batch, device = len(start_s), start_s.device
    start = start_s.double()
    rolls = _coverage(events.notes, events.loop_s, start, frames, NOTE_ROWS, ramp=False)
    fx = _coverage(events.fx, events.loop_s, start, frames, len(FX_KINDS), ramp=False)
    ramp = _coverage(events.fx, events.loop_s, start, frames, len(FX_KINDS), ramp=True)
    fine = _onsets(events.onsets, events.loop_s, start, frames * SLOTS, ONSET_ROWS, SLOTS)
    fine = fine.reshape(batch, frames, SLOTS * ONSET_ROWS)
    notes = events.notes[..., [0, 1, 3]]
    coarse = _onsets(notes, events.loop_s, start, frames, NOTE_ROWS, 1)
    time = start[:, None] + (torch.arange(frames, device=device) + 0.5) * FRAME_S
    phases = [2 * math.pi * time / period[:, None] for period in (events.beat_s, events.bar_s)]
    clock = torch.stack([wave for phase in phases for wave in (phase.sin(), phase.cos())], -1).float()
    return torch.cat([rolls, coarse, fine, fx, ramp, clock], -1)


def partial_rolls(features: Tensor) -> Tensor:
    """(B, T + RELEASE_FRAMES, FRAME_CHANNELS) -> (B, T, PARTIAL_CHANNELS) for the last T frames.

    Which notes sound, and which have sounded within the last second and may still ring: what the decoder must know to
    put partials where they belong.
    """
    sounding = features[..., :NOTE_ROWS]
    ringing = torch.zeros_like(sounding[:, RELEASE_FRAMES:])
    for back in range(1, RELEASE_FRAMES + 1):
        past = sounding[:, RELEASE_FRAMES - back : sounding.shape[1] - back]
        ringing = torch.maximum(ringing, past * 0.9**back)
    now = sounding[:, RELEASE_FRAMES:]
    return torch.cat([now, (ringing - now).clamp(min=0)], -1)


def drum_onsets(features: Tensor, drums: Sequence[str]) -> Tensor:
    """Features (B, T, FRAME_CHANNELS) -> (B, SLOTS T): how loud the loudest of ``drums`` is hit in each slot."""
    fine = features[..., 2 * NOTE_ROWS : 2 * NOTE_ROWS + SLOTS * ONSET_ROWS].reshape(features.shape[0], -1, ONSET_ROWS)
    return fine[..., [len(TONAL_LAYERS) + DRUMS.index(drum) for drum in drums]].amax(-1)


@dataclass(frozen=True)
class Hits:
    """When drums are hit, and notes struck. ``times`` in the loop, ascending, and ``loop``: in samples."""

    times: tuple[float, ...]
    loop: float

    def within(self, first: int, last: int) -> Tensor:
        """Those in samples ``first`` to ``last`` of the loop going round, (h,) int64, ascending."""
        rounds = range(math.floor(first / self.loop), math.floor(last / self.loop) + 1)
        found = [round(index * self.loop + time) for index in rounds for time in self.times]
        return torch.tensor([sample for sample in found if first <= sample < last], dtype=torch.int64)


def hits_of(score: Score, apart: int) -> Hits:
    """The hits of a score that lie ``apart`` samples or more from each other, going round.

    Of those that do not, only the first counts, and a drum before any note. Ghost notes of drums do not count, pads and
    basses neither: a bass that is cut at its onset splatters (log-mel distance of ten tonal loops 3.0 without, 3.6 dB
    with it).
    """
    loop = score.duration_s * SAMPLE_RATE_HZ
    beat = 60.0 / score.tempo_bpm * SAMPLE_RATE_HZ
    drums = [hit.onset_beats for hit in score.hits if hit.velocity >= _GHOST_VELOCITY and "drums" in score.timbres]
    notes = [note.onset_beats for note in score.notes if note.layer in _STRUCK and note.layer in score.timbres]
    times: list[float] = []
    for onsets in (drums, notes):
        for time in sorted({onset * beat % loop for onset in onsets}):
            place = bisect.bisect(times, time)
            before = times[place - 1] - loop * (place == 0) if times else -math.inf
            after = times[place % len(times)] + loop * (place == len(times)) if times else math.inf
            if time - before >= apart and after - time >= apart:
                times.insert(place, time)
    return Hits(tuple(times), loop)


def _rounds(onset: Tensor, extent: Tensor, loop_s: Tensor, start: Tensor, span_s: float) -> tuple[Tensor, Tensor]:
    """Every round of the loop in which an event [onset, onset + extent) may touch [start, start + span_s).

    Gives positions in seconds after ``start`` (B, E, R), and whether each is wanted at all.
    """
    longest = float(extent.max()) if extent.numel() else 0.0
    shortest_loop = float(loop_s.min())
    rounds = math.ceil((span_s + longest) / shortest_loop) + 2
    first = torch.floor((start[:, None] - onset - extent) / loop_s[:, None])  # (B, E)
    index = first[..., None] + torch.arange(rounds, device=start.device)
    position = onset[..., None] + index * loop_s[:, None, None] - start[:, None, None]
    return position, (position < span_s) & (position + extent[..., None] > -1e-9)


def _onsets(events: Tensor, loop_s: Tensor, start: Tensor, cells: int, rows: int, slots: int) -> Tensor:
    """(B, cells, rows): velocity at each onset. With several slots per frame an onset is shared by two neighbours."""
    row, onset, velocity = events[..., 0].long(), events[..., 1], events[..., 2]
    cell_s = FRAME_S / slots
    position, wanted = _rounds(onset, torch.zeros_like(onset), loop_s, start - cell_s, (cells + 2) * cell_s)
    place = (position - cell_s) / cell_s - (0.5 if slots > 1 else 0.0)
    cell = torch.floor(place)
    right = (place - cell) if slots > 1 else torch.zeros_like(place)
    out = torch.zeros(len(start) * cells * rows, dtype=torch.float32, device=start.device)
    value = velocity[..., None] * wanted
    for shift, share in ((0, 1 - right), (1, right)):
        target = cell + shift
        inside = (target >= 0) & (target < cells)
        flat = torch.arange(len(start), device=start.device)[:, None, None] * cells + target.clamp(0, cells - 1).long()
        flat = flat * rows + row[..., None]
        out.scatter_add_(0, flat.flatten(), (value * share * inside).float().flatten())
    return out.reshape(len(start), cells, rows)


def _coverage(events: Tensor, loop_s: Tensor, start: Tensor, frames: int, rows: int, *, ramp: bool) -> Tensor:
    """(B, frames, rows): the share of each frame in which a row sounds, times velocity.

    With ``ramp``: how far each event has come, 0 to 1, at the frame's middle. Steps at fractional frames are written
    as differences and summed up.
    """
    row, onset, duration, velocity = events[..., 0].long(), events[..., 1], events[..., 2], events[..., 3]
    position, wanted = _rounds(onset, duration, loop_s, start, frames * FRAME_S)
    value = velocity[..., None] * wanted
    base = torch.arange(len(start), device=start.device)[:, None, None]
    if ramp:
        time = (torch.arange(frames, device=start.device) + 0.5) * FRAME_S
        since = time[:, None, None, None] - position  # (F, B, E, R)
        progress = since / duration.clamp(min=1e-6)[..., None]
        level = (progress * ((progress >= 0) & (progress < 1)) * value).sum(-1)  # (F, B, E)
        out = torch.zeros(len(start), frames, rows, device=start.device)
        return out.scatter_add_(2, row[:, None].expand(-1, frames, -1), level.permute(1, 0, 2).float())
    out = torch.zeros(len(start) * (frames + 2) * rows, dtype=torch.float32, device=start.device)
    for edge, sign in ((position, 1.0), (position + duration[..., None], -1.0)):
        place = (edge / FRAME_S).clamp(0, frames)
        cell = torch.floor(place)
        late = place - cell
        for shift, share in ((0, 1 - late), (1, late)):
            flat = (base * (frames + 2) + cell.long() + shift) * rows + row[..., None]
            out.scatter_add_(0, flat.flatten(), (sign * value * share).float().flatten())
    return out.reshape(len(start), frames + 2, rows).cumsum(1)[:, :frames]


def global_features(scores: Sequence[Score]) -> Tensor:
    """(B, GLOBAL_CHANNELS): which layers play, on what, in which genre, how fast."""
    out = torch.zeros(len(scores), GLOBAL_CHANNELS)
    for index, score in enumerate(scores):
        row: list[float] = [float(layer in score.timbres) for layer in LAYERS]
        for layer in LAYERS:
            timbre = score.timbres.get(layer)
            row += [float(timbre is not None and timbre.family == family) for family in FAMILIES[layer]]
        for layer in LAYERS:
            timbre = score.timbres.get(layer)
            row += [0.0 if timbre is None else 2 * getattr(timbre, macro) - 1 for macro in MACROS]
        genre = [0.0] * GENRE_SLOTS
        known = KIN.get(score.genre, score.genre)
        if known in GENRES:
            genre[GENRES.index(known)] = 1.0
        row += [*genre, math.log2(score.tempo_bpm / 120.0), score.beats_per_bar / 4 - 1]
        out[index] = torch.tensor(row)
    return out


def frame_voices(events: Events, start_s: Tensor, frames: int) -> Tensor:
    """(B, frames, VOICE_CHANNELS): who sounds in each spectral frame of the window that starts at ``start_s`` (B,).

    For each of ``SLOTS`` frames ``NOTE_VOICES`` notes, those that are held before those that ring; then for each drum
    its last two hits. Times are seconds; where no voice is, the velocity is 0.
    """
    start, device = start_s.double(), start_s.device
    span_s = frames * FRAME_S
    time = (torch.arange(frames * SLOTS, dtype=torch.float64, device=device) + 0.5) * FRAME_S / SLOTS

    def since(rows: Tensor, duration: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of every round of every event that may sound: seconds since it (B, 4 T, M), what it is, and whether."""
        onset = rows[..., 1] - _WINDOW_S
        extent = duration + RING_S + _WINDOW_S
        position, wanted = _rounds(onset, extent, events.loop_s, start, span_s)
        wanted = (wanted & (rows[..., 3:] > 0)).flatten(1)
        some = wanted.any(0)
        position = (position + _WINDOW_S).flatten(1)[:, some]
        repeats = wanted.shape[1] // rows.shape[1]
        what = torch.cat([rows, duration[..., None]], -1).repeat_interleave(repeats, 1)[:, some]
        ago = time[None, :, None] - position[:, None]
        sounds = wanted[:, None, some] & (ago > -_WINDOW_S) & (ago < what[:, None, :, 4] + RING_S)
        return ago, what, sounds

    ago, what, sounds = since(events.notes, events.notes[..., 2])
    over = (ago - what[:, None, :, 2]).clamp(min=0)
    order = over + 1e-3 * ago + 1e-9 * what[:, None, :, 0]  # The row decides within a chord, whatever the window.
    notes = _least(torch.where(sounds, order, _NEVER_S), NOTE_VOICES)
    fields = [what[:, None, :, 0].expand_as(ago), ago, ago - what[:, None, :, 2], what[:, None, :, 3].expand_as(ago)]
    picked = torch.stack([_at(field, notes) for field in fields], -1)
    found = [(picked * (notes[0] < _NEVER_S)[..., None]).flatten(2)]

    first = len(TONAL_LAYERS)
    onsets = events.onsets[..., [0, 1, 2, 2]]
    ago, what, sounds = since(onsets, torch.zeros_like(onsets[..., 0]))
    for drum in range(len(DRUMS)):
        struck = what[..., 0] == first + drum
        some = struck.any(0).nonzero()[:, 0]
        its_ago = torch.where(sounds[..., some] & struck[:, None, some], ago[..., some], _NEVER_S)
        hits = _least(its_ago, HIT_VOICES // len(DRUMS))
        velocity = _at(what[:, None, some, 3].expand_as(its_ago), hits) * (hits[0] < _NEVER_S)
        found.append(torch.stack([hits[0].clamp(max=RING_S), velocity], -1).flatten(2))
    return torch.cat(found, -1).float().reshape(len(start), frames, -1)


def _least(order: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` least of (B, S, M) along M, padded to so many, and where they are."""
    short = count - order.shape[-1]
    if short > 0:
        order = torch.nn.functional.pad(order, (0, short), value=_NEVER_S)
    value, index = order.topk(count, largest=False)
    return value, index


def _at(values: Tensor, picked: tuple[Tensor, Tensor]) -> Tensor:
    """(B, S, M) -> (B, S, count), 0 beyond M."""
    short = int(picked[1].shape[-1]) - values.shape[-1]
    if short > 0:
        values = torch.nn.functional.pad(values, (0, short))
    return values.gather(-1, picked[1])


def told_of(features: Tensor, voices: Tensor, style: Tensor, trust: Tensor | float = 1.0) -> Tensor:
    """(B, T, TOLD_CHANNELS): all that the decoder is told of a frame.

    ``features`` (B, T, FRAME_CHANNELS) and ``voices`` (B, T, VOICE_CHANNELS) of the same frames; ``style``
    (B, GLOBAL_CHANNELS), zeros where the sound itself tells the timbre; ``trust`` (B, T, 1) or one number: how far the
    sound follows the score, 0 where it is known and the score is not.
    """
    batch, frames, _ = features.shape
    trust = torch.as_tensor(trust, dtype=features.dtype, device=features.device).expand(batch, frames, 1)
    return torch.cat([features, style[:, None].to(features.dtype).expand(-1, frames, -1), trust, voices], -1)


def instrument_of(style: Tensor, layer: Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``global_features`` (..., GLOBAL_CHANNELS): whether a layer plays (..., 1), its family, its macros."""
    index = LAYERS.index(layer)
    family = len(LAYERS) + sum(len(FAMILIES[each]) for each in LAYERS[:index])
    macros = len(LAYERS) + _FAMILY_COUNT + index * len(MACROS)
    return (
        style[..., index : index + 1],
        style[..., family : family + len(FAMILIES[layer])],
        style[..., macros : macros + len(MACROS)],
    )


def restrict(events: Events, full: Tensor, active: Tensor) -> tuple[Events, Tensor]:
    """Events and global features of whole scores, cut down to the layers with ``active`` (B, 6) of 0 or 1.

    Equal to starting from scores with fewer timbres; for training, where it must not touch Python objects.
    """
    tonal = torch.tensor([LAYERS.index(layer) for layer in TONAL_LAYERS], device=active.device)
    drums, fx = LAYERS.index("drums"), LAYERS.index("fx")
    by_onset_row = torch.cat(
        [
            tonal,
            torch.full((len(DRUMS),), drums, device=active.device),
            torch.full((len(FX_KINDS),), fx, device=active.device),
        ]
    )
    notes, onsets, effects = events.notes.clone(), events.onsets.clone(), events.fx.clone()
    note_layer = tonal[(notes[..., 0].long() // PITCHES)]
    notes[..., 3] *= active.gather(1, note_layer)
    onsets[..., 2] *= active.gather(1, by_onset_row[onsets[..., 0].long()])
    effects[..., 3] *= active[:, fx : fx + 1]
    owner = [*range(len(LAYERS))]
    for index, layer in enumerate(LAYERS):
        owner += [index] * len(FAMILIES[layer])
    for index in range(len(LAYERS)):
        owner += [index] * len(MACROS)
    mask = active[:, torch.tensor(owner, device=active.device)].to(full.dtype)
    shown = torch.cat([full[:, : len(owner)] * mask, full[:, len(owner) :]], -1)
    return Events(notes, onsets, effects, events.loop_s, events.beat_s, events.bar_s), shown
