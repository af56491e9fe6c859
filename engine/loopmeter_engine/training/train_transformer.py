"""Train the transformer on latents of fresh mixes, with the score, the style and a caption as conditions.

    python -m loopmeter_engine.training.train_transformer CORPUS OUT --autoencoder OUT/recon.pt --minutes 14

Each batch draws crops anywhere in loops, in any choice of layers, encodes them with the frozen encoder, and trains
all blocks of a crop at once, each at its own time. Clean blocks get a little noise, as generated ones will have.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from loopmeter_engine.conditioning import CLOCK_CHANNELS
from loopmeter_engine.model.autoencoder import Autoencoder
from loopmeter_engine.model.flow import flow_loss, interpolate, training_times
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer, context_features, latent_statistics
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
from loopmeter_engine.training.train_autoencoder import MARGIN

FRAMES = 96  # 4.5 s: six blocks.
CONTEXT_NOISE = 0.3  # Largest standard deviation of noise on the clean blocks.
DROP_STYLE, DROP_TEXT = 0.1, 0.3
HEARD_SHARE = 0.4  # Of the crops with layers left out: those are heard along.
KNOWN_SHARE = 0.4  # Of the crops: some frames are known. In half of these the score of the known frames is not.
REFERENCE_SHARE = 0.3  # Of the crops: their timbre is told by latents; the style then mostly not.


def known_frames(batch: int, frames: int, device: torch.device) -> Tensor:
    """(B, T) of 0 or 1: what comes before a place, after one, or all but a gap, as continuing and repainting want."""
    places = torch.rand(batch, 2, 1, device=device).sort(1).values * frames
    first, last = places[:, 0], places[:, 1]
    at = torch.arange(frames, device=device)[None]
    kind = torch.randint(3, (batch, 1), device=device)
    before, after = at < first, at >= last
    found = torch.where(kind == 0, before, torch.where(kind == 1, after, before | after))
    return (found & (torch.rand(batch, 1, device=device) < KNOWN_SHARE)).float()


def without_score(features: Tensor, is_known: Tensor) -> Tensor:
    """Features (B, T, .) whose notes and hits are taken away, for half of the rows, where the sound is known."""
    hidden = is_known * (torch.rand(len(is_known), 1, device=is_known.device) < 0.5)
    shown = (1 - hidden)[..., None]
    return torch.cat([features[..., :-CLOCK_CHANNELS] * shown, features[..., -CLOCK_CHANNELS:]], -1)


def make_context(autoencoder: Autoencoder, batch: Batch, data: Tensor, ahead: int) -> tuple[Tensor, Tensor]:
    """What is known of the sound, (B, T + 2 ahead, .), and which frames are, (B, T + 2 ahead)."""
    assert batch.heard is not None and batch.is_heard is not None
    heard = torch.zeros_like(data)
    if bool(batch.is_heard.any()):
        heard[batch.is_heard] = autoencoder.encode(batch.heard[batch.is_heard])[:, MARGIN:-MARGIN]
    is_known = known_frames(len(data), data.shape[1], data.device)
    is_heard = batch.is_heard.float()[:, None].expand(-1, data.shape[1])
    context = context_features(data, is_known, heard, is_heard)
    return F.pad(context, (0, 0, ahead, ahead)), F.pad(is_known, (ahead, ahead))


def make_reference(data: Tensor) -> Tensor:
    """Statistics of a third of each crop, (B, 2 latent); zeros for the crops without a reference."""
    third = data.shape[1] // 3
    start = int(torch.randint(data.shape[1] - third, ()))
    told = torch.rand(len(data), 1, device=data.device) < REFERENCE_SHARE
    return latent_statistics(data[:, start : start + third]) * told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--init", type=Path, help="weights to begin from, perhaps without some later parts")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--clips", type=int, default=100_000, help="how many clips to keep on the device")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--log-every", type=int, default=100)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(2)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    autoencoder = Autoencoder().to(device).requires_grad_(False)
    autoencoder.load_state_dict(torch.load(args.autoencoder, map_location=device, weights_only=True)["model"])
    corpus = Corpus(args.corpus, device, seed=3, encoder=TextEncoder.load(device=device), clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    model = Transformer().to(device)
    if args.init is not None:
        begun = torch.load(args.init, map_location=device, weights_only=True)["model"]
        missing, unexpected = model.load_state_dict(begun, strict=False)
        assert not unexpected, unexpected
        print(f"from {args.init}, new: {missing}", flush=True)
    decayed = [value for value in model.parameters() if value.ndim > 1]
    plain = [value for value in model.parameters() if value.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}],
        args.rate, (0.9, 0.98), fused=device.type == "cuda",
    )  # fmt: skip
    average = Average(model, 0.9995)
    parts = {"model": model, "optimiser": optimiser, "average": average}
    path = args.out / "transformer.resume.pt"
    step, spent_s = load_checkpoint(path, parts, corpus.rng, device) if path.exists() else (0, 0.0)
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    torch._dynamo.config.suppress_errors = True  # What will not compile runs as it is.
    forward = torch.compile(model) if args.compile else model
    condition = torch.compile(model.conditioner) if args.compile else model.conditioner
    ahead = model.config.ahead
    while not budget.over:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(args.rate, step, budget.fraction)
        batch = corpus.batch(args.batch, FRAMES, margin=MARGIN, score_margin=ahead, heard_share=HEARD_SHARE)
        assert batch.features is not None and batch.style is not None and batch.text is not None
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN]
            context, is_known = make_context(autoencoder, batch, data, ahead)
        features, reference = without_score(batch.features, is_known), make_reference(data)
        times = training_times((args.batch, FRAMES // BLOCK_FRAMES), device)
        noise = torch.randn_like(data)
        noisy = interpolate(data, noise, times.repeat_interleave(BLOCK_FRAMES, 1)[..., None])
        clean = data + CONTEXT_NOISE * torch.rand(args.batch, 1, 1, device=device) * torch.randn_like(data)
        drop_style = torch.where(reference.any(1), 0.7, DROP_STYLE)
        keep_style = (torch.rand(args.batch, device=device) >= drop_style).float()
        keep_text = (torch.rand(args.batch, device=device) >= DROP_TEXT).float()
        with torch.autocast(device.type, torch.bfloat16):
            known = model.conditioner.globals(batch.style, batch.text, keep_style, keep_text, reference)
            predicted = forward(clean, noisy, times, condition(features, known, context), known)
        loss = flow_loss(predicted, data, noise)
        descend(loss, optimiser, model.parameters())
        average.update(model)
        log.add(step, budget, flow=loss)
        step += 1
        if step % 100 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, parts, step, budget, corpus.rng)
    save_checkpoint(path, parts, step, budget, corpus.rng)
    average.copy_to(model)
    finished = args.out / "transformer.pt"
    save_whole({"model": model.state_dict()}, finished)
    print(f"{finished}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
