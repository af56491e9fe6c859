"""A ready loop as clips of a Live set. Works on Live's objects, and on anything that behaves like them.

``create_audio_clip`` came with Live 12.0.5: an absolute path, on an audio track, into an empty slot.
"""

AUDIO_TRACK, MIDI_TRACK = "Loopmeter", "Loopmeter MIDI"


class CannotPlace(Exception):
    """The loop cannot become a clip here. The message says why and what to do."""


def place_audio(song, path, name, tempo_bpm, beats):
    """Put the WAV file into the first empty slot of "Loopmeter", looping over all its beats. Gives the clip."""
    slot = _empty_slot(song, _track(song, AUDIO_TRACK, midi=False))
    if not hasattr(slot, "create_audio_clip"):
        raise CannotPlace(f"expected Live 12.0.5 or newer, which can make audio clips; drag {path} into the set")
    slot.create_audio_clip(path)
    clip = slot.clip
    clip.name = name
    # Warped in whole beats, so that the clip follows the set's tempo. At the loop's own tempo nothing is stretched.
    clip.warping = True
    clip.warp_mode = 0 if abs(song.tempo - tempo_bpm) > 0.01 else 3  # Beats; Re-Pitch leaves samples untouched.
    _loop_over(clip, beats)
    return clip


def place_midi(song, notes, name, beats):
    """Put notes, as ``midi.notes_of`` gives them, into the first empty slot of "Loopmeter MIDI". Gives the clip."""
    slot = _empty_slot(song, _track(song, MIDI_TRACK, midi=True))
    slot.create_clip(float(beats))
    clip = slot.clip
    clip.name = name
    inside = [note for note in notes if note[1] < beats]
    clip.set_notes(
        tuple((pitch, start, min(length, beats - start), vel, False) for pitch, start, length, vel in inside)
    )
    _loop_over(clip, beats)
    return clip


def beats_of(frames, sample_rate_hz, tempo_bpm):
    """How many whole beats a loop has."""
    return round(frames / float(sample_rate_hz) * tempo_bpm / 60.0)


def _loop_over(clip, beats):
    clip.looping = True
    # Live refuses an end that is not behind the start: widen first, then set the start.
    clip.loop_end = float(beats)
    clip.loop_start = 0.0
    clip.end_marker = float(beats)
    clip.start_marker = 0.0


def _track(song, name, midi):
    for track in song.tracks:
        if track.name == name and track.has_midi_input == midi:
            return track
    made = song.create_midi_track(-1) if midi else song.create_audio_track(-1)
    made.name = name
    return made


def _empty_slot(song, track):
    for slot in track.clip_slots:
        if not slot.has_clip:
            return slot
    song.create_scene(-1)
    return track.clip_slots[len(track.clip_slots) - 1]
