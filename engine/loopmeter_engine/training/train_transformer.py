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

from loopmeter_engine.model.autoencoder import Autoencoder
from loopmeter_engine.model.flow import flow_loss, interpolate, training_times
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer
from loopmeter_engine.text.encoder import TextEncoder
from loopmeter_engine.training.corpus import Corpus
from loopmeter_engine.training.run import Average, Budget, Log, learning_rate, load_checkpoint, save_checkpoint
from loopmeter_engine.training.train_autoencoder import MARGIN

FRAMES = 96  # 4.5 s: six blocks.
CONTEXT_NOISE = 0.3  # Largest standard deviation of noise on the clean blocks.
DROP_STYLE, DROP_TEXT = 0.1, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
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
        batch = corpus.batch(args.batch, FRAMES, margin=MARGIN, score_margin=ahead)
        assert batch.features is not None and batch.style is not None and batch.text is not None
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN]
        times = training_times((args.batch, FRAMES // BLOCK_FRAMES), device)
        noise = torch.randn_like(data)
        noisy = interpolate(data, noise, times.repeat_interleave(BLOCK_FRAMES, 1)[..., None])
        clean = data + CONTEXT_NOISE * torch.rand(args.batch, 1, 1, device=device) * torch.randn_like(data)
        keep_style = (torch.rand(args.batch, device=device) >= DROP_STYLE).float()
        keep_text = (torch.rand(args.batch, device=device) >= DROP_TEXT).float()
        with torch.autocast(device.type, torch.bfloat16):
            known = model.conditioner.globals(batch.style, batch.text, keep_style, keep_text)
            predicted = forward(clean, noisy, times, condition(batch.features, known), known)
        loss = flow_loss(predicted, data, noise)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it.
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
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
    torch.save({"model": model.state_dict()}, finished.with_suffix(".tmp"))
    finished.with_suffix(".tmp").rename(finished)
    print(f"{finished}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
