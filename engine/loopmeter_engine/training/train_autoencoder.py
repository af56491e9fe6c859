"""Train the autoencoder: spectra in, spectra out.

    python -m loopmeter_engine.training.train_autoencoder CORPUS OUT --minutes 15
    python -m loopmeter_engine.training.train_autoencoder CORPUS OUT2 --minutes 30 --start OUT/autoencoder.pt \
      --decoder-only --adversarial --unscored 0.25

Latents are normalised over each batch and get noise before they are decoded: the decoder must bear the errors that
the transformer will make, and values that cannot be heard are not worth their room. The second stage (``critic.py``)
sharpens the decoder and leaves the latents as they are.

Reading order: ``loss_weights``, ``low_hits``, ``reconstruct``, ``Training``, ``main``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from loopmeter_engine.conditioning import RELEASE_FRAMES, drum_onsets, partial_rolls
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
from loopmeter_engine.model.low_rank import settle, tune
from loopmeter_engine.training.corpus import Batch, Corpus
from loopmeter_engine.training.critic import BANDS_SHARE, Adversary, BandDistance, share_of
from loopmeter_engine.training.run import (
    Average,
    Budget,
    Log,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    save_whole,
)

MARGIN = 6  # Latent frames on each side that the encoder may look into.
LATENT_NOISE = 0.1  # Largest standard deviation of noise on unit-variance latents.
DROP_SCORE = 0.1  # A recording has no score: the decoder must do without, too.
TABLE_RATE = 10.0  # Of the table of partials: each row is met seldom and has far to go.
SIDE_WEIGHT, SHORT_WEIGHT = 0.4, 0.3
LOW_DRUMS = ("kick", "snare", "tom_low", "tom_high")
HIT_WEIGHT, HIT_BINS = 4.0, 24  # How much more the long window's lowest bins (500 Hz) count around hits.
HIT_REACH = 3  # Spectral frames before and after a hit whose long window it touches.


def loss_weights(device: torch.device) -> Tensor:
    """(SPECTRAL_CHANNELS,) of mean near 1: as dense as hearing is, after the mel scale.

    Unweighted, the many high bins outvote the few low ones where most harmonics lie. Weights alone did not make the
    codec learn pitch, though: see docs/training-log.md.
    """
    long = 1 / (1 + torch.arange(LONG_BINS) * SAMPLE_RATE_HZ / LONG_FFT / 700)
    short = 1 / (1 + torch.arange(SHORT_BINS) * SAMPLE_RATE_HZ / SHORT_FFT / 700)
    long, short = long / long.mean(), short / short.mean()
    return torch.cat([long, SIDE_WEIGHT * long, SHORT_WEIGHT * short.repeat(SHORT_COLUMNS)]).to(device)


def low_hits(features: Tensor) -> Tensor:
    """Features (B, T, FRAME_CHANNELS) -> (B, 4 T, 1) of 0 or 1: the spectral frames around hits of low drums."""
    hits = (drum_onsets(features, LOW_DRUMS) > 0).float()
    return F.max_pool1d(hits[:, None], 2 * HIT_REACH + 1, 1, HIT_REACH)[:, 0, :, None]


def reconstruct(
    model: Autoencoder, batch: Batch, *, learn_scale: bool, unscored: float = DROP_SCORE
) -> tuple[Tensor, Tensor]:
    """(spectra out, spectra wanted) of the frames inside the margins, as far as the decoder's look-ahead allows.

    ``unscored`` of the crops are decoded without their notes.
    """
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
    rolls = rolls * (torch.rand_like(rolls[:, :1, :1]) >= unscored)
    with torch.autocast(stereo.device.type, torch.bfloat16):
        out = model.decoder.decode(latents, rolls)
    begin = MARGIN * SUBFRAMES
    kept = wanted.shape[1] - 2 * begin
    return out[:, :kept].float(), wanted[:, begin : begin + kept]


class Training:
    """What learns, and one step of it. ``parts`` decide the next step and belong into a checkpoint."""

    def __init__(
        self,
        model: Autoencoder,
        rate: float,
        *,
        decoder_only: bool = False,
        bands: bool = False,
        adversarial: bool = False,
        unscored: float = DROP_SCORE,
        rank: int = 0,
    ) -> None:
        self.model, self.learn_scale, self.unscored = model, not decoder_only, unscored
        if decoder_only:
            model.encoder.requires_grad_(False)
        if rank:
            tune(model.decoder, rank)
        device = model.mean.device
        table = [] if rank else [model.decoder.partials.weight]
        others = [value for name, value in model.named_parameters() if rank or name != "decoder.partials.weight"]
        groups: list[dict[str, Any]] = [{"params": others, "scale": 1.0}]
        if table:
            groups.append({"params": table, "scale": TABLE_RATE, "weight_decay": 0.0})
        self.optimiser = torch.optim.AdamW(groups, rate, (0.9, 0.95), weight_decay=0.01)
        self.average = Average(model, 0.998)
        self.bands = BandDistance().to(device) if bands or adversarial else None
        self.adversary = Adversary(device) if adversarial else None
        self.parts: dict[str, Any] = {"model": model, "optimiser": self.optimiser, "average": self.average}
        if self.adversary:
            self.parts |= self.adversary.parts
        self._weights = loss_weights(device)
        self._low = torch.zeros_like(self._weights)
        self._low[:HIT_BINS] = HIT_WEIGHT

    def step(self, batch: Batch, step: int, rate: float) -> dict[str, Tensor]:
        """Learn from one batch; losses to be logged."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["scale"] * rate
        out, wanted = reconstruct(self.model, batch, learn_scale=self.learn_scale, unscored=self.unscored)
        assert batch.features is not None
        frames = batch.features[:, RELEASE_FRAMES : RELEASE_FRAMES + out.shape[1] // SUBFRAMES]
        error = out - wanted
        weights = self._weights * (1 + self._low * low_hits(frames))
        loss = ((error.abs() + 2 * error.square()) * weights).mean()
        losses = {"loss": loss, "absolute": error.abs().mean(), "tonal": error[..., 4:140].abs().mean()}
        self.optimiser.zero_grad()
        if self.bands is None:
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it.
        else:
            (plain,) = torch.autograd.grad(loss, out, retain_graph=True)
            leaf = out.detach().requires_grad_()
            losses["bands"] = self.bands(leaf, wanted)
            told = share_of(losses["bands"], leaf, BANDS_SHARE)
            if self.adversary is not None:
                more, said = self.adversary.gradient(out, wanted, step)
                told, losses = told + more, losses | said
            out.backward(plain + plain.norm() * told)  # type: ignore[no-untyped-call]  # The same.
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.model)
        return losses


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


def load_start(model: Autoencoder, path: Path) -> None:
    """The weights of a finished checkpoint, which may be from before the table of partials."""
    found = torch.load(path, map_location=model.mean.device, weights_only=True)["model"]
    lacking = model.load_state_dict(found, strict=False)
    assert not lacking.unexpected_keys and all("partials" in k or "gate" in k for k in lacking.missing_keys), lacking


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
    parser.add_argument("--bands", action="store_true", help="add the distance of energies in bands")
    parser.add_argument("--adversarial", action="store_true", help="have critics sharpen the decoder; includes --bands")
    parser.add_argument("--unscored", type=float, default=DROP_SCORE, help="share of crops decoded without their notes")
    parser.add_argument("--rank", type=int, default=0, help="learn low-rank differences of the decoder alone")
    parser.add_argument("--start", type=Path, help="a finished checkpoint to take the weights from")
    parser.add_argument("--log-every", type=int, default=50)
    args = parser.parse_args()
    if args.frames % 4 or (args.rank and not args.decoder_only):
        parser.error("--frames must be a multiple of 4, and --rank needs --decoder-only")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    corpus = Corpus(args.corpus, device, seed=1, clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    model = Autoencoder().to(device)
    if args.start:
        load_start(model, args.start)
    training = Training(
        model,
        args.rate,
        decoder_only=args.decoder_only,
        bands=args.bands,
        adversarial=args.adversarial,
        unscored=args.unscored,
        rank=args.rank,
    )
    path = args.out / "autoencoder.resume.pt"
    step, spent_s = load_checkpoint(path, training.parts, corpus.rng, device) if path.exists() else (0, 0.0)
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    while not budget.over:
        batch = corpus.batch(args.batch, args.frames, margin=MARGIN, score_margin=RELEASE_FRAMES)
        losses = training.step(batch, step, learning_rate(args.rate, step, budget.fraction, warm_up_steps=50))
        log.add(step, budget, **losses)
        step += 1
        if step % 50 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, training.parts, step, budget, corpus.rng)
    save_checkpoint(path, training.parts, step, budget, corpus.rng)
    finish(training, corpus, args.out / "autoencoder.pt", args.batch, args.frames)
    print(f"{args.out / 'autoencoder.pt'}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


def finish(training: Training, corpus: Corpus, path: Path, batch: int, frames: int) -> None:
    """Write the averaged weights, and the low-rank differences if there are such."""
    model = training.model
    training.average.copy_to(model)
    differences = settle(model.decoder)
    if training.learn_scale:
        settle_scale(model, corpus, 20, batch, frames)
    save_whole({"model": model.state_dict(), "differences": differences}, path)


if __name__ == "__main__":
    main()
