"""Train the autoencoder: first both halves against spectra, then the decoder alone against a discriminator.

    python -m loopmeter_engine.training.train_autoencoder CORPUS OUT --minutes 8
    python -m loopmeter_engine.training.train_autoencoder CORPUS OUT --minutes 14 --adversarial --start OUT/recon.pt

The second stage keeps the encoder, so latents stay what they are and the transformer can be trained meanwhile.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, Autoencoder, mid_side
from loopmeter_engine.training.corpus import Corpus
from loopmeter_engine.training.losses import Discriminator, SpectralLoss, discriminator_loss, generator_losses
from loopmeter_engine.training.run import Average, Budget, Log, learning_rate, load_checkpoint, save_checkpoint

MARGIN = 6  # Latent frames on each side that the encoder may look into.
FRAMES = 36
SKIP = 2  # First frames of a crop, where the decoder has no past yet.
LATENT_NOISE = 0.25  # Largest standard deviation of noise on unit-variance latents.
ADVERSARIAL_SAMPLES = 32_768


def normalised(raw: Tensor, model: Autoencoder, *, learn: bool) -> Tensor:
    """Latents of zero mean and unit variance over the batch; the running figures follow."""
    raw = raw.float()
    if not learn:
        return (raw - model.mean) / model.std
    mean, std = raw.mean((0, 1)), raw.std((0, 1)) + 1e-4
    model.mean.lerp_(mean.detach(), 0.01)
    model.std.lerp_(std.detach(), 0.01)
    return (raw - mean) / std


def reconstruct(model: Autoencoder, pcm: Tensor, *, learn: bool) -> tuple[Tensor, Tensor]:
    """(pcm out, pcm wanted), mid and side, (B, 2, samples), of the crop's inner frames."""
    with torch.set_grad_enabled(learn), torch.autocast(pcm.device.type, torch.bfloat16):
        raw = model.encoder(pcm)
    latents = normalised(raw, model, learn=learn)[:, MARGIN:-MARGIN]
    latents = latents + LATENT_NOISE * torch.rand_like(latents[:, :1, :1]) * torch.randn_like(latents)
    config = model.config
    noise = torch.randn(len(pcm), FRAMES * config.subframes, config.noise, device=pcm.device)
    with torch.autocast(pcm.device.type, torch.bfloat16):
        out = model.decode(latents, noise)
    begin = MARGIN * FRAME_SAMPLES
    wanted = mid_side(pcm)[..., begin : begin + out.shape[-1]]
    cut = SKIP * FRAME_SAMPLES
    return out[..., cut:].float(), wanted[..., cut:]


@torch.no_grad()
def settle_scale(model: Autoencoder, corpus: Corpus, batches: int, size: int) -> None:
    """Fix the latents' mean and standard deviation from many batches."""
    found = torch.cat(
        [
            model.encoder(corpus.batch(size, FRAMES, margin=MARGIN).pcm)[:, MARGIN:-MARGIN].float()
            for _ in range(batches)
        ]
    )
    model.mean.copy_(found.mean((0, 1)))
    model.std.copy_(found.std((0, 1)) + 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--adversarial", action="store_true")
    parser.add_argument("--start", type=Path, help="a finished checkpoint to take the weights from")
    parser.add_argument("--clips", type=int, default=100_000, help="how many clips to keep on the device")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--log-every", type=int, default=100)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    corpus = Corpus(args.corpus, device, seed=1 + args.adversarial, clips_max=args.clips)
    while corpus.refresh() < 8:
        time.sleep(2)
    model = Autoencoder().to(device)
    if args.start:
        model.load_state_dict(torch.load(args.start, map_location=device, weights_only=True)["model"])
    trained = model.decoder if args.adversarial else model
    if args.adversarial:
        model.encoder.requires_grad_(False)
    critic = Discriminator().to(device, memory_format=torch.channels_last)
    betas = (0.8, 0.99) if args.adversarial else (0.9, 0.95)
    optimiser = torch.optim.AdamW(
        trained.parameters(), args.rate, betas, weight_decay=0.01, fused=device.type == "cuda"
    )
    optimiser_critic = torch.optim.AdamW(critic.parameters(), args.rate, betas, fused=device.type == "cuda")
    average = Average(trained, 0.9995 if args.adversarial else 0.999)
    spectral = SpectralLoss().to(device)
    parts = {
        "model": model,
        "critic": critic,
        "optimiser": optimiser,
        "optimiser_critic": optimiser_critic,
        "average": average,
    }
    path = args.out / ("adversarial.resume.pt" if args.adversarial else "recon.resume.pt")
    step, spent_s = load_checkpoint(path, parts, corpus.rng, device) if path.exists() else (0, 0.0)
    if args.compile:
        torch._dynamo.config.suppress_errors = True  # A block that will not compile runs as it is.
        for block in [
            *model.decoder.blocks,
            *model.decoder.blocks_low,
            *model.encoder.blocks,
            *model.encoder.blocks_low,
        ]:
            block.compile()
    budget, log, saved = Budget(args.minutes, spent_s), Log(args.log_every), spent_s
    while not budget.over:
        rate = learning_rate(args.rate, step, budget.fraction)
        for group in [*optimiser.param_groups, *optimiser_critic.param_groups]:
            group["lr"] = rate
        batch = corpus.batch(args.batch, FRAMES, margin=MARGIN)
        out, wanted = reconstruct(model, batch.pcm, learn=not args.adversarial)
        losses = {"spectral": spectral(out, wanted)}
        loss = losses["spectral"]
        if args.adversarial:
            begin = int(corpus.rng.integers(out.shape[-1] - ADVERSARIAL_SAMPLES + 1))
            real = wanted[..., begin : begin + ADVERSARIAL_SAMPLES]
            fake = out[..., begin : begin + ADVERSARIAL_SAMPLES]
            with torch.autocast(device.type, torch.bfloat16):
                critic.requires_grad_(True)
                losses["critic"] = discriminator_loss(critic(real), critic(fake.detach()))
                optimiser_critic.zero_grad()
                losses["critic"].backward()
                torch.nn.utils.clip_grad_norm_(critic.parameters(), 5.0)
                optimiser_critic.step()
                critic.requires_grad_(False)
                with torch.no_grad():
                    heard = critic(real)
                losses["adversarial"], losses["matching"] = generator_losses(heard, critic(fake))
            warm = min(1.0, step / 300)  # The critic learns first.
            loss = 6 * losses["spectral"] + warm * (losses["adversarial"] + 4 * losses["matching"])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 10.0 if args.adversarial else 1.0)
        optimiser.step()
        average.update(trained)
        log.add(step, budget, **losses)
        step += 1
        if step % 100 == 0:
            corpus.refresh(at_most=16)
        if budget.spent_s - saved > 240:
            saved = budget.spent_s
            save_checkpoint(path, parts, step, budget, corpus.rng)
    save_checkpoint(path, parts, step, budget, corpus.rng)
    average.copy_to(trained)
    if not args.adversarial:
        settle_scale(model, corpus, 20, args.batch)
    finished = args.out / ("adversarial.pt" if args.adversarial else "recon.pt")
    torch.save({"model": model.state_dict()}, finished.with_suffix(".tmp"))
    finished.with_suffix(".tmp").rename(finished)
    print(f"{finished}: {step} steps, {budget.spent_s:.0f} s, {len(corpus.clips)} clips", flush=True)


if __name__ == "__main__":
    main()
