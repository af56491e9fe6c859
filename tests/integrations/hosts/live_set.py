"""A stand-in of the part of Live's object model that the remote script touches, with Live's own refusals."""

from __future__ import annotations

from pathlib import Path


class Clip:
    def __init__(self, beats: float, path: str | None = None) -> None:
        self.file_path = path
        self.name = ""
        self.warping = False
        self.warp_mode = 0
        self.looping = False
        self.start_marker = 0.0
        self.end_marker = beats
        self.notes: tuple[tuple[object, ...], ...] = ()
        self._loop_start = 0.0
        self._loop_end = beats

    @property
    def loop_start(self) -> float:
        return self._loop_start

    @loop_start.setter
    def loop_start(self, beats: float) -> None:
        if beats >= self._loop_end:
            raise RuntimeError("Invalid loop start")
        self._loop_start = beats

    @property
    def loop_end(self) -> float:
        return self._loop_end

    @loop_end.setter
    def loop_end(self, beats: float) -> None:
        if beats <= self._loop_start:
            raise RuntimeError("Invalid loop end")
        self._loop_end = beats

    def set_notes(self, notes: tuple[tuple[object, ...], ...]) -> None:
        for pitch, start, length, velocity, muted in notes:
            assert isinstance(pitch, int) and isinstance(velocity, int) and muted is False
            assert isinstance(start, float) and isinstance(length, float) and length > 0
        self.notes = notes


class OldClipSlot:
    """A slot before Live 12.0.5, which could not make audio clips."""

    def __init__(self, *, midi: bool) -> None:
        self.clip: Clip | None = None
        self._midi = midi

    @property
    def has_clip(self) -> bool:
        return self.clip is not None

    def create_clip(self, beats: float) -> None:
        if not self._midi or self.has_clip:
            raise RuntimeError("Clips can only be created in empty slots of MIDI tracks")
        self.clip = Clip(beats)


class ClipSlot(OldClipSlot):
    def create_audio_clip(self, path: str) -> None:
        if self._midi or self.has_clip or not Path(path).is_absolute() or not Path(path).is_file():
            raise RuntimeError("Audio clips need an absolute path and an empty slot of an audio track")
        self.clip = Clip(7.93, path)  # Live guesses the length until it is told.


class Track:
    def __init__(self, slot: type[OldClipSlot], *, midi: bool, scenes: int) -> None:
        self.name = ""
        self.has_midi_input = midi
        self.slot = slot
        self.clip_slots = [slot(midi=midi) for _ in range(scenes)]


class Song:
    def __init__(self, tempo: float, slot: type[OldClipSlot] = ClipSlot, scenes: int = 1) -> None:
        self.tempo = tempo
        self.signature_numerator = 4
        self.signature_denominator = 4
        self.tracks: list[Track] = []
        self._slot = slot
        self._scenes = scenes

    def create_audio_track(self, index: int) -> Track:
        return self._add(midi=False)

    def create_midi_track(self, index: int) -> Track:
        return self._add(midi=True)

    def create_scene(self, index: int) -> None:
        self._scenes += 1
        for track in self.tracks:
            track.clip_slots.append(track.slot(midi=track.has_midi_input))

    def _add(self, *, midi: bool) -> Track:
        self.tracks.append(Track(self._slot, midi=midi, scenes=self._scenes))
        return self.tracks[-1]


class Live:
    """What Live hands to a script: the song, a log and a status line."""

    def __init__(self, song: Song) -> None:
        self._song = song
        self.said: list[str] = []

    def song(self) -> Song:
        return self._song

    def log_message(self, message: str) -> None:
        self.said.append(message)

    def show_message(self, message: str) -> None:
        assert len(message) < 2000
