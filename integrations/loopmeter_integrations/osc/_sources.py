"""Files as a request's material: from the bridge's folder, and nowhere else. Blocking; call it from a worker thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loopmeter import midi_base64, sound_base64
from loopmeter_integrations.osc._addresses import BadArguments


@dataclass(frozen=True, slots=True)
class Material:
    """An option that names a file, and the field of ``LoopRequest`` that takes its contents.

    ``read_base64`` makes sound smaller that a request could not carry. It raises ``InvalidRequest``.
    """

    option: str
    field: str
    kind: str
    endings: tuple[str, ...]
    read_base64: Callable[[Path], str]

    def find(self, folder: Path, named: str) -> Path:
        """The file that ``named``, a path from ``folder`` on or an absolute one, means.

        What lies outside is answered like what is not there: nobody learns which files this machine has.

        Raises:
            BadArguments: there is no such file in the folder.
        """
        try:
            path = (folder / named).resolve(strict=True)
            found = path.is_relative_to(folder) and path.suffix.lower() in self.endings and path.is_file()
        except (OSError, ValueError, RuntimeError):  # ValueError: a NUL; RuntimeError: links in a circle.
            found = False
        if found:
            return path
        raise BadArguments(
            f"{self.option}: expected the id of a loop of yours, or a {self.kind} file in the folder of the bridge, "
            f"found the string {named[:80]!r}"
        )


_SOUND = ("WAV, FLAC or Ogg", (".wav", ".flac", ".ogg"))
SOURCE = Material("source", "source_audio_base64", *_SOUND, partial(sound_base64, field="source"))
REFERENCE = Material("reference", "reference_audio_base64", *_SOUND, partial(sound_base64, field="reference"))
MIDI = Material("midi", "midi_base64", "MIDI", (".mid", ".midi"), midi_base64)
MATERIALS = (SOURCE, REFERENCE, MIDI)
