"""Files as a request's material: from the bridge's folder, and nowhere else, in the form that requests carry.

Sound that is too long for a request as it is travels as FLAC, and if that is too long, too, as Ogg Vorbis; both need
soundfile, of ``loopmeter[play]``. Blocking; call it from a worker thread.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from loopmeter_integrations.osc._addresses import BadArguments

FILE_BYTES_MAX = 2**28
_SMALLER = (("FLAC", "PCM_16"), ("OGG", "VORBIS"))
_BLOCK_FRAMES = 2**16  # libsndfile's Vorbis encoder keeps a block on its stack.


@dataclass(frozen=True, slots=True)
class Material:
    """An option that names a file, and the field of ``LoopRequest`` that takes at most ``bytes_max`` of it."""

    option: str
    field: str
    bytes_max: int
    kind: str
    endings: tuple[str, ...]

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

    def read_base64(self, path: Path) -> str:
        """The file in base64, made smaller if a request could not carry it.

        Raises:
            BadArguments: it is too long, or no sound.
            OSError: it cannot be read.
        """
        size = path.stat().st_size
        most = self.bytes_max if self is MIDI else FILE_BYTES_MAX
        if size > most:
            raise BadArguments(f"{self.option}: expected at most {most} bytes, found {size} in {path.name}")
        data = path.read_bytes() if size <= self.bytes_max else self._smaller(path)
        return base64.b64encode(data).decode()

    def _smaller(self, path: Path) -> bytes:
        try:
            import soundfile
        except ImportError as error:
            raise BadArguments(
                f"{self.option}: expected at most {self.bytes_max} bytes, or soundfile to make it smaller, found "
                f"{path.stat().st_size} bytes and no soundfile; pip install 'loopmeter[play]', or convert it to Ogg"
            ) from error
        try:
            sound, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise BadArguments(f"{self.option}: expected a sound file, found in {path.name}: {error}") from error
        for container, subtype in _SMALLER:
            packed = io.BytesIO()
            with soundfile.SoundFile(packed, "w", rate_hz, sound.shape[1], subtype, format=container) as file:
                for first in range(0, len(sound), _BLOCK_FRAMES):
                    file.write(sound[first : first + _BLOCK_FRAMES])
            if packed.getbuffer().nbytes <= self.bytes_max:
                return packed.getvalue()
        raise BadArguments(
            f"{self.option}: expected sound that fits {self.bytes_max} bytes as Ogg Vorbis, found "
            f"{len(sound) / rate_hz:.0f} s of it; send a shorter part"
        )


_SOUND = ("WAV, FLAC or Ogg", (".wav", ".flac", ".ogg"))
SOURCE = Material("source", "source_audio_base64", 6_000_000 // 4 * 3, *_SOUND)
REFERENCE = Material("reference", "reference_audio_base64", 6_000_000 // 4 * 3, *_SOUND)
MIDI = Material("midi", "midi_base64", 400_000 // 4 * 3, "MIDI", (".mid", ".midi"))
MATERIALS = (SOURCE, REFERENCE, MIDI)
