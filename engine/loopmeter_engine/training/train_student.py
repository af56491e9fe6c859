"""Distil the transformer: one step without guidance that lands where its teacher comes in many steps with it.

    python -m loopmeter_engine.training.train_student CORPUS OUT --autoencoder OUT/autoencoder.pt --minutes 30

The student is the shipped transformer with low-rank differences (``model/low_rank.py``); without them it is the
teacher. From the same noise and the same past the student must come in one step to the teacher's latents, and what the
decoder makes of its latents must be near the spectra of the sound itself: distance in latents alone rewards blur, and
latents do not say what is heard. In half of the batches the past is what the student itself made, as it will be.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from loopmeter_engine.conditioning import RELEASE_FRAMES, partial_rolls
from loopmeter_engine.model.autoencoder import SUBFRAMES, Autoencoder
from loopmeter_engine.model.flow import schedule, solve
from loopmeter_engine.model.low_rank import settle, tune, without_differences
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer
from loopmeter_engine.text.encoder import TextEncoder
from loopmeter_engine.training.corpus import Batch, Corpus
from loopmeter_engine.training.run import (
    Average,
    Budget,
    Log,
    descend,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    save_whole,
)
from loopmeter_engine.training.train_autoencoder import MARGIN, loss_weights
from loopmeter_engine.training.train_transformer import (
    CONTEXT_NOISE,
    DROP_TEXT,
    FRAMES,
    make_context,
    make_reference,
    without_score,
)
from loopmeter_engine.weights_io import WEIGHTS, load_transformer

RANK = 16
TUNED = ("qkv", "out", "up", "down", "modulation", "middle")
SOLVER, STEPS, GUIDANCE = "ab2", 4, 1.75  # The teacher's.
SPECTRA_WEIGHT = 2.0  # Of the error of spectra against that of latents.


class Conditions:
    """What a batch tells the network, with and without style and words."""

    def __init__(self, model: Transformer, autoencoder: Autoencoder, batch: Batch, data: Tensor) -> None:
        assert batch.features is not None and batch.style is not None and batch.text is not None
        ahead, device = model.config.ahead, data.device
        context, is_known = make_context(autoencoder, batch, data, ahead)
        beyond = RELEASE_FRAMES - ahead
        self.features = without_score(batch.features[:, beyond:-beyond], is_known)
        self.context, reference = context, make_reference(data)
        size = len(data)
        keep_style = 1 - reference.any(1).float()
        keep_text = (torch.rand(size, device=device) >= DROP_TEXT).float()
        none = torch.zeros(size, device=device)
        self._globals = [
            (batch.style, batch.text, keep_style, keep_text, reference),
            (batch.style, batch.text, none, none, reference),
        ]

    def told(self, model: Transformer) -> tuple[Tensor, Tensor]:
        """Score (B, T, width) and global vector (B, condition) with all that is known."""
        known = model.conditioner.globals(*self._globals[0])
        score: Tensor = model.conditioner(self.features, known, self.context)
        return score, known

    def both(self, model: Transformer) -> tuple[Tensor, Tensor]:
        """The same for 2 B rows: with style and words, and without."""
        known = torch.cat([model.conditioner.globals(*each) for each in self._globals])
        features, context = self.features.repeat(2, 1, 1), self.context.repeat(2, 1, 1)
        score: Tensor = model.conditioner(features, known, context)
        return score, known


@torch.no_grad()
def taught(model: Transformer, told: Conditions, past: Tensor, noise: Tensor) -> Tensor:
    """The teacher's latents (B, T, latent) from ``noise``, after ``past``."""
    with without_differences(model):
        score, known = told.both(model)
        times = schedule(STEPS)

        def velocity(x: Tensor, step: int) -> Tensor:
            at = torch.full((2 * len(x), x.shape[1] // BLOCK_FRAMES), times[step], device=x.device)
            found: Tensor = model(past.repeat(2, 1, 1), x.repeat(2, 1, 1), at, score, known).float()
            with_, without = found.chunk(2)
            return without + GUIDANCE * (with_ - without)

        return solve(velocity, noise, times, SOLVER)


def in_one_step(model: Transformer, told: Conditions, past: Tensor, noise: Tensor) -> Tensor:
    """The student's latents (B, T, latent)."""
    score, known = told.told(model)
    at = torch.zeros(len(noise), noise.shape[1] // BLOCK_FRAMES, device=noise.device)
    velocity: Tensor = model(past, noise, at, score, known)
    return noise + velocity.float()


def spectra_error(
    autoencoder: Autoencoder, latents: Tensor, features: Tensor, wanted: Tensor, weights: Tensor
) -> Tensor:
    """Mean distance of decoded latents (B, T, latent) from ``wanted`` (B, 4 T, SPECTRAL_CHANNELS), weighed."""
    count = latents.shape[1] - autoencoder.config.lookahead
    rolls = partial_rolls(features)[:, :count]
    out = autoencoder.decoder.decode(latents, rolls).float()
    return ((out - wanted[:, : SUBFRAMES * count]).abs() * weights).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--teacher", type=Path, default=WEIGHTS / "transformer.safetensors")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--clips", type=int, default=100_000, help="how many clips to keep on the device")
    parser.add_argument("--log-every", type=int, default=25)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(5)
    autoencoder = Autoencoder().to(device).requires_grad_(False)
    autoencoder.load_state_dict(torch.load(args.autoencoder, map_location=device, weights_only=True)["model"])
    corpus = Corpus(args.corpus, device, seed=7, encoder=TextEncoder.load(device=device), clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    model = load_transformer(args.teacher).to(device)
    tune(model.layers, RANK, TUNED)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, args.rate, (0.9, 0.98), weight_decay=0.0)
    average = Average(model, 0.995)
    parts = {"model": model, "optimiser": optimiser, "average": average}
    path = args.out / "student.resume.pt"
    step, spent_s = load_checkpoint(path, parts, corpus.rng, device) if path.exists() else (0, 0.0)
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    weights = loss_weights(device)
    while not budget.over:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(args.rate, step, budget.fraction, warm_up_steps=30)
        batch = corpus.batch(args.batch, FRAMES, margin=MARGIN, score_margin=RELEASE_FRAMES, heard_share=0.4)
        assert batch.features is not None
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            wanted = autoencoder.encoder.spectra(batch.pcm.float())
            data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN]
            told = Conditions(model, autoencoder, batch, data)
            noise = torch.randn_like(data)
            past = data + CONTEXT_NOISE * torch.rand(args.batch, 1, 1, device=device) * torch.randn_like(data)
            target = taught(model, told, past, noise)
            if torch.rand(()) < 0.5:
                past = in_one_step(model, told, past, torch.randn_like(data))
        with torch.autocast(device.type, torch.bfloat16):
            made = in_one_step(model, told, past, noise)
            inner = wanted[:, SUBFRAMES * MARGIN : -SUBFRAMES * MARGIN]
            spectra = spectra_error(autoencoder, made, batch.features, inner, weights)
        latents = (made - target).square().mean()
        loss = latents + SPECTRA_WEIGHT * spectra
        descend(loss, optimiser, trained)
        average.update(model)
        log.add(step, budget, latents=latents, spectra=spectra, teacher=(target - data).square().mean())
        step += 1
        if step % 100 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, parts, step, budget, corpus.rng)
    save_checkpoint(path, parts, step, budget, corpus.rng)
    average.copy_to(model)
    finished = args.out / "student.pt"
    save_whole({"differences": settle(model)}, finished)
    print(f"{finished}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
