"""A note in the folder of an open session, for the script action of Ardour that brings the loop in, and its answer.

Ardour imports through its window only; ``integrations/ardour/loopmeter.lua`` runs there. The action takes the note away
before it acts and answers once, so a loop comes in once, whoever brings it in.
"""

from __future__ import annotations

from pathlib import Path

from loopmeter_integrations.osc._files import AtomicFile

ACTION = "Loopmeter: bring in the loop"
_DONE = "done"


class Note:
    """The note for the session in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answer = folder / "loopmeter-answer.txt"
        self._note = folder / "loopmeter-note.txt"

    def leave(self, wav: Path, track: str, frame: int) -> None:
        """Raises ``OSError``."""
        self._answer.unlink(missing_ok=True)
        with AtomicFile(self._folder) as file:
            file.write(f"sound={wav}\ntrack={track}\nframe={frame}\n".encode())
            file.commit(self._note.name)

    def answer(self) -> str | None:
        """What went wrong, empty if the loop is in; ``None`` as long as nobody has answered."""
        try:
            said = self._answer.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        self._answer.unlink()
        return "" if said == _DONE else said or "nothing was said"

    def take_back(self) -> None:
        """Nobody has brought the loop in, and nobody will."""
        self._note.unlink(missing_ok=True)
