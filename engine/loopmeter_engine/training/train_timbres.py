"""Train what the decoder is told of the players (``model/timbres.py``); the networks around it stay as they are.

    python -m loopmeter_engine.training.train_timbres CORPUS OUT --minutes 60

At first the players alone learn, mostly from single layers and in many short crops: they need neither latents nor
decoder. Then all learn together. Half of the batches are then latents of the sound itself, the others what the
student makes of the score: there the decoder must learn from the score what the latents have lost. Distance is that of
the autoencoder's training, with energies in bands.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from loopmeter_engine.conditioning import AHEAD_FRAMES, CLOCK_CHANNELS, RELEASE_FRAMES, partial_rolls, told_of
from loopmeter_engine.model.autoencoder import LONG_BINS, SUBFRAMES, Autoencoder
from loopmeter_engine.model.timbres import Timbres
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer
from loopmeter_engine.text.encoder import TextEncoder
from loopmeter_engine.training.corpus import Batch, Corpus
from loopmeter_engine.training.critic import BandDistance, share_of
from loopmeter_engine.training.run import (
    Average,
    Budget,
    Log,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    save_whole,
)
from loopmeter_engine.training.train_autoencoder import LATENT_NOISE, MARGIN, loss_weights
from loopmeter_engine.training.train_transformer import CONTEXT_NOISE
from loopmeter_engine.weights_io import WEIGHTS, dequantise, load_autoencoder, load_student

FRAMES = 64  # Four blocks.
WARM_UP_FRAMES = 13  # The decoder hears nothing before a crop; its first frames are not judged. 48 are left.
MADE_SHARE = 0.5  # Of batches whose latents the student makes.
DROP_STYLE = 0.1  # A reference tells the timbre itself: the score then tells only who plays when.
BANDS_SHARE = 1.0
SHORT_TIMES = 2.0  # How much more short windows count than in the autoencoder's training: they place attacks.
PLAYED_WEIGHT = 0.5  # What the players say by themselves should be right, too: so it is where latents are wrong.
ALONE_SHARE = 0.35  # Of crops have one layer.
PLAYERS_FIRST = 0.3  # Of the budget, in which the players learn alone, at twice the rate.
_SHORT_FRAMES, _SHORT_CROPS, _SHORT_ALONE = 16, 3, 0.6  # Their crops: so long, so many for each of the others, alone.


class Decoded(NamedTuple):
    """Spectra (B, S, SPECTRAL_CHANNELS): told and not told of the players, the players' own, and those wanted."""

    told: Tensor
    plain: Tensor
    played: Tensor
    wanted: Tensor


def made_latents(student: Transformer, batch: Batch, data: Tensor) -> Tensor:
    """What the student makes of a batch's score after the sound itself, or after what it made itself."""
    assert batch.features is not None and batch.style is not None and batch.text is not None
    beyond = RELEASE_FRAMES - student.config.ahead
    all_of = torch.ones(len(data), device=data.device)
    known = student.conditioner.globals(batch.style, batch.text, all_of, all_of)
    score = student.conditioner(batch.features[:, beyond:-beyond], known)
    at = torch.zeros(len(data), data.shape[1] // BLOCK_FRAMES, device=data.device)

    def drawn(past: Tensor) -> Tensor:
        noise = torch.randn_like(data)
        velocity: Tensor = student(past, noise, at, score, known)
        return noise + velocity.float()

    past = data + CONTEXT_NOISE * torch.rand(len(data), 1, 1, device=data.device) * torch.randn_like(data)
    return drawn(drawn(past) if torch.rand(()) < 0.5 else past)


def short_batch(corpus: Corpus, size: int) -> Batch:
    """For the players alone."""
    return corpus.batch(
        _SHORT_CROPS * size, _SHORT_FRAMES, margin=1, score_margin=1, alone_share=_SHORT_ALONE, voices=True
    )


def next_batch(corpus: Corpus, size: int) -> Batch:
    return corpus.batch(size, FRAMES, margin=MARGIN, score_margin=RELEASE_FRAMES, alone_share=ALONE_SHARE, voices=True)


class Training:
    """What learns, and one step of it."""

    def __init__(self, autoencoder: Autoencoder, student: Transformer, timbres: Timbres, rate: float) -> None:
        self.autoencoder, self.student, self.timbres = autoencoder, student, timbres
        self.optimiser = torch.optim.AdamW(timbres.parameters(), rate, (0.9, 0.97), weight_decay=0.01)
        self.average = Average(timbres, 0.998)
        self.parts = {"model": timbres, "optimiser": self.optimiser, "average": self.average}
        device = autoencoder.mean.device
        self.bands = BandDistance().to(device)
        self._weights = loss_weights(device)
        self._weights[2 * LONG_BINS :] *= SHORT_TIMES

    def step_alone(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """The players learn from a ``short_batch``; losses to be logged."""
        assert batch.style is not None and batch.voices is not None and batch.features is not None
        with torch.no_grad():
            wanted = self.autoencoder.encoder.spectra(batch.pcm)[:, SUBFRAMES:-SUBFRAMES]
        style = self._some(batch.style)[:, None].expand(-1, _SHORT_FRAMES, -1)
        with torch.autocast(wanted.device.type, torch.bfloat16):
            clock = batch.features[:, 1:-1, -CLOCK_CHANNELS:]
            played, _ = self.timbres.players(batch.voices[:, 1:-1], style, clock).spectra()
        loss, bands = self._descend(played, wanted, rate)
        return {"alone": loss, "alone_bands": bands}

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Learn from a ``next_batch``; losses to be logged."""
        made = bool(torch.rand(()) < MADE_SHARE)
        found = self.decoded(batch, made=made)
        by_players = ((found.played - found.wanted).abs() * self._weights).mean()
        left, bands = self._descend(found.told, found.wanted, rate, PLAYED_WEIGHT * by_players)
        kind = "made" if made else "heard"
        # What the decoder errs without being told.
        before = ((found.plain - found.wanted).abs() * self._weights).mean()
        return {kind: left, f"{kind}_before": before, "played": by_players.detach(), "bands": bands}

    def _descend(self, out: Tensor, wanted: Tensor, rate: float, more: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A step down the distance of spectra, with energies in bands, and ``more``; gives distance and bands."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        error = out - wanted
        loss = ((error.abs() + 2 * error.square()) * self._weights).mean()
        leaf = out.detach().requires_grad_()
        bands = self.bands(leaf, wanted)
        (of_plain,) = torch.autograd.grad(loss, out, retain_graph=True)
        self.optimiser.zero_grad()
        gradient = of_plain + of_plain.norm() * share_of(bands, leaf, BANDS_SHARE)
        out.backward(gradient, retain_graph=more is not None)  # type: ignore[no-untyped-call]  # torch ships no types for it.
        if more is not None:
            more.backward()  # type: ignore[no-untyped-call]  # The same.
        torch.nn.utils.clip_grad_norm_(self.timbres.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.timbres)
        return (error.detach().abs() * self._weights).mean(), bands.detach()

    def _some(self, style: Tensor) -> Tensor:
        """Styles, some of them not told."""
        return style * (torch.rand(len(style), 1, device=style.device) >= DROP_STYLE)

    def decoded(self, batch: Batch, *, made: bool) -> Decoded:
        """Of the frames that are judged."""
        assert batch.features is not None and batch.style is not None and batch.voices is not None
        autoencoder, device = self.autoencoder, batch.pcm.device
        decoder, lookahead = autoencoder.decoder, autoencoder.config.lookahead
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            spectra = autoencoder.encoder.spectra(batch.pcm)
            latents = (autoencoder.encoder(spectra).float() - autoencoder.mean) / autoencoder.std
            latents = latents[:, MARGIN:-MARGIN]
            if made:
                latents = made_latents(self.student, batch, latents)
            else:
                latents = latents + 2 * LATENT_NOISE * torch.rand_like(latents[:, :1, :1]) * torch.randn_like(latents)
            h, _ = decoder.features(latents, decoder.init_state(len(latents), device))
            first, last = WARM_UP_FRAMES, latents.shape[1] - lookahead
            h = h[:, SUBFRAMES * first : SUBFRAMES * last]
            features = batch.features[:, first : RELEASE_FRAMES + last + AHEAD_FRAMES]
            voices = batch.voices[:, first : RELEASE_FRAMES + last + AHEAD_FRAMES]
            rolls = partial_rolls(features[:, :-AHEAD_FRAMES])
            begin = SUBFRAMES * (MARGIN + first)
            wanted = spectra[:, begin : begin + SUBFRAMES * (last - first)]
            plain = decoder.spectra(h, rolls).float()
        style = self._some(batch.style)
        with torch.autocast(device.type, torch.bfloat16):
            change = self.timbres(h, told_of(features, voices, style), rolls)
            out = decoder.spectra(h, rolls, change)
        return Decoded(out.float(), plain, change.played.float(), wanted)

    def export(self, path: Path) -> None:
        """Write the averaged weights."""
        save_whole({"model": self.average.values}, path)


def load_start(timbres: Timbres, path: Path) -> None:
    """Exported weights, which may be from before notes were told as much as now: what is new begins at zero."""
    with safe_open(path, "pt") as file:
        found = dequantise({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a dictionary.
    name = "players.notes.inp.weight"
    found[name] = F.pad(found[name], (0, timbres.players.notes.inp.in_features - found[name].shape[1]))
    timbres.load_state_dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--networks", type=Path, default=WEIGHTS, help="folder of the weights that it belongs to")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--clips", type=int, default=100_000, help="how many clips to keep on the device")
    parser.add_argument("--start", type=Path, help="exported timbres to take the weights from")
    parser.add_argument("--log-every", type=int, default=50)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(9)
    autoencoder = load_autoencoder(args.networks / "autoencoder.safetensors").to(device)
    student = load_student(args.networks / "transformer.safetensors")
    if student is None:
        parser.error(f"expected a student in {args.networks}, found none; run train_student and export it")
    corpus = Corpus(args.corpus, device, seed=11, encoder=TextEncoder.load(device=device), clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    timbres = Timbres()
    if args.start is not None:
        load_start(timbres, args.start)
    training = Training(autoencoder, student.to(device), timbres.to(device), args.rate)
    path = args.out / "timbres.resume.pt"
    step, spent_s = load_checkpoint(path, training.parts, corpus.rng, device) if path.exists() else (0, 0.0)
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    while not budget.over:
        rate = learning_rate(args.rate, step, budget.fraction, 50)
        if budget.fraction < PLAYERS_FIRST:
            losses = training.step_alone(short_batch(corpus, args.batch), 2 * rate)
        else:
            losses = training.step(next_batch(corpus, args.batch), rate)
        log.add(step, budget, **losses)
        step += 1
        if step % 50 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, training.parts, step, budget, corpus.rng)
            training.export(args.out / "timbres.pt")
    save_checkpoint(path, training.parts, step, budget, corpus.rng)
    training.export(args.out / "timbres.pt")
    print(f"{args.out / 'timbres.pt'}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
