"""Train the autoencoder: spectra in, spectra out.

    python -m loopmeter_engine.training.train_autoencoder CORPUS OUT --minutes 15

Latents are normalised over each batch and get noise before they are decoded: the decoder must bear the errors that
the transformer will make, and values that cannot be heard are not worth their room.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from loopmeter_engine.conditioning import RELEASE_FRAMES, partial_rolls
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    SAMPLE_RATE_HZ,
    SHORT_BINS,
    SHORT_COLUMNS,
    SHORT_FFT,
    SUBFRAMES,
    Autoencoder,
)
from loopmeter_engine.training.corpus import Batch, Corpus
from loopmeter_engine.training.run import Average, Budget, Log, learning_rate, load_checkpoint, save_checkpoint

MARGIN = 6  # Latent frames on each side that the encoder may look into.
LATENT_NOISE = 0.1  # Largest standard deviation of noise on unit-variance latents.
DROP_SCORE = 0.1  # A recording has no score: the decoder must do without, too.
TABLE_RATE = 10.0  # Of the table of partials: each row is met seldom and has far to go.
SIDE_WEIGHT, SHORT_WEIGHT = 0.4, 0.3


def loss_weights(device: torch.device) -> Tensor:
    """(SPECTRAL_CHANNELS,) of mean near 1: as dense as hearing is, after the mel scale.

    Unweighted, the many high bins outvote the few low ones where most harmonics lie. Weights alone did not make the
    codec learn pitch, though: see docs/training-log.md.
    """
    long = 1 / (1 + torch.arange(LONG_BINS) * SAMPLE_RATE_HZ / LONG_FFT / 700)
    short = 1 / (1 + torch.arange(SHORT_BINS) * SAMPLE_RATE_HZ / SHORT_FFT / 700)
    long, short = long / long.mean(), short / short.mean()
    return torch.cat([long, SIDE_WEIGHT * long, SHORT_WEIGHT * short.repeat(SHORT_COLUMNS)]).to(device)


def reconstruct(model: Autoencoder, batch: Batch, *, learn_scale: bool) -> tuple[Tensor, Tensor]:
    """(spectra out, spectra wanted) of the frames inside the margins, as far as the decoder's look-ahead allows."""
    stereo = batch.pcm
    assert batch.features is not None
    with torch.no_grad():
        wanted = model.encoder.spectra(stereo)
    with torch.set_grad_enabled(learn_scale), torch.autocast(stereo.device.type, torch.bfloat16):
        raw = model.encoder(wanted)
    raw = raw.float()
    mean, std = model.mean, model.std
    if learn_scale:
        mean, std = raw.mean((0, 1)), raw.std((0, 1)) + 1e-4
        model.mean.lerp_(mean.detach(), 0.02)
        model.std.lerp_(std.detach(), 0.02)
    latents = ((raw - mean) / std)[:, MARGIN:]
    latents = latents + LATENT_NOISE * torch.rand_like(latents[:, :1, :1]) * torch.randn_like(latents)
    lookahead = model.config.lookahead
    rolls = partial_rolls(batch.features)[:, : latents.shape[1] - lookahead]
    rolls = rolls * (torch.rand_like(rolls[:, :1, :1]) >= DROP_SCORE)
    with torch.autocast(stereo.device.type, torch.bfloat16):
        out = model.decoder.decode(latents, rolls)
    begin = MARGIN * SUBFRAMES
    kept = wanted.shape[1] - 2 * begin
    return out[:, :kept].float(), wanted[:, begin : begin + kept]


@torch.no_grad()
def settle_scale(model: Autoencoder, corpus: Corpus, batches: int, size: int, frames: int) -> None:
    """Fix the latents' mean and standard deviation from many batches."""
    found = []
    for _ in range(batches):
        stereo = corpus.batch(size, frames, margin=MARGIN).pcm
        found.append(model.encoder(model.encoder.spectra(stereo))[:, MARGIN:-MARGIN].float())
    every = torch.cat(found)
    model.mean.copy_(every.mean((0, 1)))
    model.std.copy_(every.std((0, 1)) + 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--frames", type=int, default=16, help="latent frames per crop, without margins")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--clips", type=int, default=100_000, help="how many clips to keep on the device")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder, and so the latents")
    parser.add_argument("--start", type=Path, help="a finished checkpoint to take the weights from")
    parser.add_argument("--log-every", type=int, default=50)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    corpus = Corpus(args.corpus, device, seed=1, clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    model = Autoencoder().to(device)
    table = [model.decoder.partials.weight]
    others = [value for name, value in model.named_parameters() if name != "decoder.partials.weight"]
    groups = [{"params": others, "scale": 1.0}, {"params": table, "scale": TABLE_RATE, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, args.rate, (0.9, 0.95), weight_decay=0.01)
    if args.start:
        found = torch.load(args.start, map_location=device, weights_only=True)["model"]
        lacking = model.load_state_dict(found, strict=False)  # It may be from before the table of partials.
        assert not lacking.unexpected_keys and all("partials" in k or "gate" in k for k in lacking.missing_keys), (
            lacking
        )
    if args.decoder_only:
        model.encoder.requires_grad_(False)
    weights = loss_weights(device)
    average = Average(model, 0.998)
    parts = {"model": model, "optimiser": optimiser, "average": average}
    path = args.out / "autoencoder.resume.pt"
    step, spent_s = load_checkpoint(path, parts, corpus.rng, device) if path.exists() else (0, 0.0)
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    while not budget.over:
        for group in optimiser.param_groups:
            group["lr"] = group["scale"] * learning_rate(args.rate, step, budget.fraction, warm_up_steps=50)
        batch = corpus.batch(args.batch, args.frames, margin=MARGIN, score_margin=RELEASE_FRAMES)
        out, wanted = reconstruct(model, batch, learn_scale=not args.decoder_only)
        error = out - wanted
        loss = ((error.abs() + 2 * error.square()) * weights).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it.
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model)
        log.add(step, budget, loss=loss, absolute=error.abs().mean(), tonal=error[..., 4:140].abs().mean())
        step += 1
        if step % 50 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, parts, step, budget, corpus.rng)
    save_checkpoint(path, parts, step, budget, corpus.rng)
    average.copy_to(model)
    if not args.decoder_only:
        settle_scale(model, corpus, 20, args.batch, args.frames)
    finished = args.out / "autoencoder.pt"
    torch.save({"model": model.state_dict()}, finished.with_suffix(".tmp"))
    finished.with_suffix(".tmp").rename(finished)
    print(f"{finished}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
