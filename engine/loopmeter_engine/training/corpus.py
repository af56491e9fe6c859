"""The training material: rendered on many cores into a folder, and served from there in batches on one device.

A clip is the events of a score, captions of it, and its stems as 16 bit samples. Mixing happens per batch, with a
random choice of layers, so that one rendering serves as many loops. New shards may appear while training runs.

    python -m loopmeter_engine.training.corpus DIR --minutes 6 --processes 16 --first-seed 1000 --bundle .cache/bundle

With a bundle (``make_bundle.py``) recorded instruments play some of the stems. Seeds below ``HELDOUT_SEEDS`` are for
testing: they get those patches and one-shots that all others never do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from loopmeter import LAYERS
from loopmeter_engine.conditioning import Events, events_of, frame_features, frame_voices, global_features, restrict
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ
from loopmeter_engine.planner.variety import training_score
from loopmeter_engine.text.captions import caption
from loopmeter_engine.text.encoder import TextEncoder
from loopmeter_engine.training.synth.bundle import Bundle, BundleUnusable
from loopmeter_engine.training.synth.render import render_stems
from loopmeter_engine.training.synth.tape import play_on_tape

HELDOUT_SEEDS = 1000  # Seeds below this are never trained on.
SHARD_CLIPS = 12
DRUMS_ALONE = 0.2  # Drums lose most in a mix, and are asked for most on their own.
_CAPTIONS = 4  # Wordings kept per clip.


def render_worker(
    folder: Path,
    first_seed: int,
    stride: int,
    deadline: float,
    clips_max: int,
    bundle_folder: Path | None = None,
    tape_share: float = 0.0,
) -> None:
    """Render every ``stride``-th seed into shards until ``deadline`` (``time.time()`` clock) or ``clips_max``.

    A shard is an array file (samples and events of its clips) and, written last, an index with captions.
    """
    torch.set_num_threads(1)
    bundle = None if bundle_folder is None else Bundle(bundle_folder)
    seed = first_seed
    while time.time() < deadline and seed < first_seed + stride * clips_max:
        clips: list[dict[str, object]] = []
        arrays: dict[str, np.ndarray] = {}
        name = f"shard-{seed:08d}"
        for number in range(SHARD_CLIPS):
            score = training_score(seed)
            stems = render_stems(score, seed, bundle, held_out=seed < HELDOUT_SEEDS)
            rng = np.random.default_rng([seed, 0x7A9E])
            if rng.random() < tape_share:
                stems = play_on_tape(stems, rng)
            layers = [layer for layer in LAYERS if layer in stems]
            pcm = np.stack([stems[layer] for layer in layers])
            arrays[f"{number}_stems"] = (pcm * 32767).clip(-32768, 32767).astype(np.int16)
            events = events_of([score])
            arrays |= {f"{number}_{part}": getattr(events, part)[0].numpy() for part in ("notes", "onsets", "fx")}
            arrays[f"{number}_times"] = np.array([float(events.loop_s), float(events.beat_s), float(events.bar_s)])
            arrays[f"{number}_style"] = global_features([score])[0].numpy()
            captions = [caption(score, np.random.default_rng((seed, n))) for n in range(_CAPTIONS)]
            clips.append({"seed": seed, "layers": layers, "captions": captions})
            seed += stride
        np.savez(folder / f"{name}.tmp.npz", **arrays)  # type: ignore[arg-type]  # savez takes any names.
        (folder / f"{name}.tmp.npz").rename(folder / f"{name}.npz")
        (folder / f"{name}.tmp").write_text(json.dumps(clips))
        (folder / f"{name}.tmp").rename(folder / f"{name}.json")


@dataclass
class Clip:
    stems: Tensor  # (layers, 2, N) int16 on the device
    layers: list[int]  # The layers of the stems, as places in LAYERS.
    notes: Tensor
    onsets: Tensor
    fx: Tensor
    times_s: tuple[float, float, float]  # loop, beat, bar
    full: Tensor  # (GLOBAL_CHANNELS,)
    text: Tensor  # (captions, 384)


@dataclass
class Batch:
    pcm: Tensor  # (B, 2, samples)
    features: Tensor | None  # (B, T + 2 margin, FRAME_CHANNELS)
    style: Tensor | None  # (B, GLOBAL_CHANNELS)
    text: Tensor | None  # (B, 384)
    heard: Tensor | None = None  # (B, 2, samples): other layers of the same clips, silence where there are none
    is_heard: Tensor | None = None  # (B,) bool
    voices: Tensor | None = None  # (B, T + 2 margin, VOICE_CHANNELS), where asked for


class Corpus:
    """Clips of a folder on a device. ``rng`` state is part of a training checkpoint."""

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        *,
        seed: int = 0,
        encoder: TextEncoder | None = None,
        clips_max: int = 100_000,
    ) -> None:
        self.folder, self.device, self.encoder, self.clips_max = folder, device, encoder, clips_max
        self.rng = np.random.default_rng(seed)
        self.clips: list[Clip] = []
        self.loaded: set[str] = set()

    def refresh(self, at_most: int = 10_000) -> int:
        """Load shards that appeared since, up to ``clips_max`` in all; returns the number of clips."""
        for index_path in sorted(self.folder.glob("shard-*.json")):
            if index_path.name in self.loaded:
                continue
            if at_most <= 0 or len(self.clips) >= self.clips_max:
                break
            at_most -= 1
            self.loaded.add(index_path.name)
            self._load(index_path)
        return len(self.clips)

    def _load(self, index_path: Path) -> None:
        entries = json.loads(index_path.read_text())
        if self.encoder is None:
            vectors = torch.zeros(len(entries), 1, 384, device=self.device)
        else:
            lines = [line for entry in entries for line in entry["captions"]]
            vectors = self.encoder.encode(lines).reshape(len(entries), _CAPTIONS, -1).to(self.device)
        with np.load(index_path.with_suffix(".npz")) as arrays:
            for number, entry in enumerate(entries):
                part = {
                    name: torch.from_numpy(arrays[f"{number}_{name}"]).to(self.device)
                    for name in ("stems", "notes", "onsets", "fx", "style")
                }
                loop_s, beat_s, bar_s = (float(value) for value in arrays[f"{number}_times"])
                layers = [LAYERS.index(layer) for layer in entry["layers"]]
                self.clips.append(
                    Clip(
                        part["stems"],
                        layers,
                        part["notes"],
                        part["onsets"],
                        part["fx"],
                        (loop_s, beat_s, bar_s),
                        part["style"],
                        vectors[number],
                    )
                )

    def batch(
        self,
        size: int,
        frames: int,
        *,
        margin: int = 0,
        score_margin: int | None = None,
        heard_share: float = 0.0,
        alone_share: float = 0.0,
        voices: bool = False,
    ) -> Batch:
        """``size`` random crops of ``frames + 2 margin`` latent frames, anywhere in a loop, in any choice of layers.

        With ``score_margin`` also the conditions of the inner ``frames``, ``score_margin`` more on both sides. In
        ``heard_share`` of those crops that leave layers out, these come as ``heard``. ``alone_share`` of the crops have
        one layer. With ``voices`` also who sounds in each spectral frame.
        """
        picked = [self.clips[int(self.rng.integers(len(self.clips)))] for _ in range(size)]
        samples = (frames + 2 * margin) * FRAME_SAMPLES
        steps = torch.arange(samples, device=self.device)
        pcm, actives, starts, heard = [], [], [], []
        for clip in picked:
            frames_in_loop = clip.stems.shape[-1]
            start = int(self.rng.integers(frames_in_loop))
            present = keep = clip.layers
            if len(present) > 1 and alone_share and self.rng.random() < alone_share:
                keep = [int(self.rng.choice(present))]
            elif len(present) > 1 and LAYERS.index("drums") in present and self.rng.random() < DRUMS_ALONE:
                keep = [LAYERS.index("drums")]
            elif len(present) > 1 and self.rng.random() < 0.45:
                count = int(self.rng.integers(1, len(present)))
                keep = sorted(int(index) for index in self.rng.choice(present, count, replace=False))
            rows = torch.tensor([present.index(index) for index in keep], device=self.device)
            chosen = clip.stems.index_select(0, rows).index_select(2, (start + steps) % frames_in_loop)
            pcm.append(chosen.float().sum(0))
            others = [place for place, index in enumerate(present) if index not in keep]
            if others and self.rng.random() < heard_share:
                rows = torch.tensor(others, device=self.device)
                along = clip.stems.index_select(0, rows).index_select(2, (start + steps) % frames_in_loop)
                heard.append(along.float().sum(0))
            else:
                heard.append(torch.zeros_like(pcm[-1]))
            active = torch.zeros(len(LAYERS))
            active[keep] = 1
            actives.append(active)
            starts.append((start + margin * FRAME_SAMPLES) / SAMPLE_RATE_HZ)
        stereo = torch.stack(pcm) / 32768
        if score_margin is None:
            return Batch(stereo, None, None, None)
        times = torch.tensor([clip.times_s for clip in picked], dtype=torch.float64).to(self.device)
        events = Events(
            pad_sequence([clip.notes for clip in picked], True),
            pad_sequence([clip.onsets for clip in picked], True),
            pad_sequence([clip.fx for clip in picked], True),
            times[:, 0], times[:, 1], times[:, 2],
        )  # fmt: skip
        active = torch.stack(actives).to(self.device)
        events, style = restrict(events, torch.stack([clip.full for clip in picked]), active.double())
        begin = (
            torch.tensor(starts, dtype=torch.float64).to(self.device) - score_margin * FRAME_SAMPLES / SAMPLE_RATE_HZ
        )
        features = frame_features(events, begin, frames + 2 * score_margin)
        text = torch.stack([clip.text[int(self.rng.integers(len(clip.text)))] for clip in picked])
        along = torch.stack(heard) / 32768
        sounding = frame_voices(events, begin, frames + 2 * score_margin) if voices else None
        return Batch(stereo, features, style.float(), text, along, along.abs().amax((1, 2)) > 0, sounding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clips", type=int, default=100_000, help="stop after about so many")
    parser.add_argument("--first-seed", type=int, default=HELDOUT_SEEDS)
    parser.add_argument("--tape", type=float, default=0.0, help="share of the clips that sound as from an old tape")
    parser.add_argument("--bundle", type=Path, help="recorded instruments to play some of the stems")
    args = parser.parse_args()
    if args.bundle is not None:
        try:
            Bundle(args.bundle)
        except BundleUnusable as error:
            parser.error(str(error))
    args.folder.mkdir(parents=True, exist_ok=True)
    deadline, clips_each = time.time() + 60 * args.minutes, args.clips // args.processes
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=render_worker,
            args=(args.folder, args.first_seed + n, args.processes, deadline, clips_each, args.bundle, args.tape),
        )
        for n in range(args.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
