"""Stable Audio 3 as an engine: text to music, cover and repaint, exact frames.

What it shares with its kind (leases, windows, conforming) is in ``windowed.py``. Here is what it is, what it can, and
what it costs.
"""

from __future__ import annotations

import functools
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.capabilities import refuse_unsupported
from loopmeter_engine.contract import EngineFailed, EngineInfo, Plan, ScoreSheet
from loopmeter_engine.engines.libraries import between_steps, quiet_libraries, working_device
from loopmeter_engine.engines.memory import choose_mode, device_name, free_bytes
from loopmeter_engine.engines.opening import STABLE_AUDIO, find_weights
from loopmeter_engine.engines.stable_audio.asking import Asked, ask
from loopmeter_engine.engines.stable_audio.checkpoint import inspect_checkpoint, load_pipeline
from loopmeter_engine.engines.stable_audio.flops import StableAudioFlops
from loopmeter_engine.engines.windowed import WindowedEngine
from loopmeter_engine.engines.windows import Windows
from loopmeter_engine.engines.words import wished_score
from loopmeter_engine.exact import with_defaults

NAME = "stable-audio"
DURATION_S_MAX = 300.0
CHUNK_LATENTS = (6, 12, 24, 48)  # Of 93 ms. The margins of a short window are much of its work, so they grow.
_PIPELINES = {"cover": "StableAudio3AudioToAudioPipeline", "repaint": "StableAudio3InpaintPipeline"}
_CAPABILITIES = frozenset({"hifi", "midi", "steps", "text2music", "cover", "repaint", "conform"})
_VERSION = "1"


class StableAudioEngine(WindowedEngine):
    """Loops by the checkpoint in ``folder``, or where ``LOOPMETER_STABLE_AUDIO_DIR`` and the hub's cache have one.

    Weights are loaded at the first chunk. ``device`` is torch's name of one; without it, a GPU if there is one.

    Raises:
        CheckpointFault: there is no checkpoint, or a part of it is missing, cut, misshapen or a pickle.
    """

    def __init__(self, folder: Path | None = None, device: str | None = None) -> None:
        self._checkpoint = inspect_checkpoint(folder or find_weights(STABLE_AUDIO))
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        vae = self._checkpoint.parts["vae"]
        # Each layer of the decoder sees so many latent frames to each side.
        margin = sum(vae.config.encoder_transformer_depths) * vae.config.sliding_window
        super().__init__(Windows(vae.downsampling_ratio, margin), CHUNK_LATENTS, int(vae.config.sampling_rate), target)
        free = free_bytes(target)
        self._mode = choose_mode(target.type, free, self._checkpoint.parameters, self._checkpoint.largest_part)
        self._flops = StableAudioFlops(self._checkpoint.parts)
        self._seconds_max = min(DURATION_S_MAX, float(self._checkpoint.parts["duration_embedder"].config.max_val))
        self._capabilities = _CAPABILITIES | (frozenset() if self._checkpoint.distilled else {"guidance"})

    def info(self) -> EngineInfo:
        libraries = f"torch-{torch.__version__} diffusers-{version('diffusers')}"
        return EngineInfo(
            name=NAME,
            version=_VERSION,
            fingerprint=f"{self._checkpoint.fingerprint} {self._mode} {libraries} {device_name(self._device)}",
            sample_rate_hz=self._rate,
            capabilities=self._capabilities,
            duration_s_max=self._seconds_max,
            licence="Stability AI Community License",
            weights=str(self._checkpoint.folder),
            notes=(f"{'distilled' if self._checkpoint.distilled else 'base'}, {self._mode}",),
            commercial=False,  # Not by anybody: name it in a plan where the licence lets you.
            output_rights="yours; to be sold below 1 M US$ of yearly revenue, above with a licence of Stability AI",
        )

    def plan(self, request: LoopRequest) -> Plan:
        return self.planned(self._resolve(request), self._memory_bytes())

    def score(self, request: LoopRequest) -> ScoreSheet:
        resolved = self._resolve(request)
        return wished_score(resolved, task=resolved.task or "text2music")

    def draw(self, request: LoopRequest, seed: int) -> Tensor:
        asked = self.asked(request)
        words: dict[str, Any] = dict(asked.words)
        if asked.task == "text2music":
            words["guidance_scale"] = asked.guidance
        if asked.source is not None:
            words["audio"] = torch.from_numpy(asked.source)[None]
        if asked.repainted is not None:
            words["mask"] = _kept(asked)[None, None].float()
        try:
            with quiet_libraries():
                made: Tensor = self._pipeline(asked.task)(
                    **words,
                    num_inference_steps=asked.steps,
                    generator=torch.Generator("cpu").manual_seed(seed),
                    output_type="latent",
                    callback_on_step_end=between_steps,
                ).audios[0]
                latents = made.T.float().cpu()
                if asked.repainted is not None:
                    source = self._encoded(asked)
                    latents = torch.where(_kept(asked)[:, None], source, latents)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"the pipeline broke: {type(error).__name__}: {error}") from error
        if latents.shape[0] != asked.latents:
            raise EngineFailed(f"expected {asked.latents} latent frames, found {latents.shape[0]}")
        return latents

    def vae(self) -> Any:
        return self._pipeline("text2music").vae

    def steps(self, request: LoopRequest) -> int:
        return self.asked(request).steps

    def latent_frames(self, request: LoopRequest) -> int:
        return self.asked(request).latents

    def denoising_flops(self, request: LoopRequest) -> int:
        return self._flops.denoising(self.asked(request))

    def decoding_flops(self, latents: int) -> int:
        return self._flops.decoding(latents)

    @functools.lru_cache(maxsize=16)  # noqa: B019  # Engines live as long as their process.
    def asked(self, resolved: LoopRequest) -> Asked:
        """What the pipeline is asked for a resolved request. Raises InvalidRequest."""
        return ask(
            resolved,
            self.made_frames(resolved),
            sample_rate_hz=self._rate,
            latent_frames=self._windows.latent_frames,
            distilled=self._checkpoint.distilled,
        )

    @functools.cache  # noqa: B019  # As above; three of them share one set of weights.
    def _pipeline(self, task: str) -> Any:
        import diffusers

        if task in _PIPELINES:
            with quiet_libraries():
                made = getattr(diffusers, _PIPELINES[task])(**self._pipeline("text2music").components)
        else:
            made = load_pipeline(self._checkpoint, self._mode.dtype)
            if self._mode.offload:
                made.enable_model_cpu_offload(device=self._device)
            else:
                made.to(self._device)
        made.set_progress_bar_config(disable=True)
        return made

    def _encoded(self, asked: Asked) -> Tensor:
        """The source as latents, (T, width): the model only leaves it about as it was where it is to stay."""
        vae = self.vae()
        sound = torch.from_numpy(asked.source)[None].to(device=working_device(vae), dtype=vae.dtype)
        with torch.no_grad():
            latents: Tensor = vae.encode(sound).latents[0].T.float().cpu()
        return latents

    def _resolve(self, request: LoopRequest) -> LoopRequest:
        """The request with nothing left open, checked. Raises InvalidRequest."""
        refuse_unsupported(request, NAME, self._capabilities)
        resolved = with_defaults(request, self._seconds_max)
        self.asked(resolved)
        return resolved

    def _memory_bytes(self) -> int:
        """Weights, and the largest window in the decoder, whose attention is over all of it."""
        size, config = self._mode.dtype.itemsize, self._checkpoint.parts["vae"].config
        length = (CHUNK_LATENTS[-1] + 2 * self._windows.margin) * (1 + config.encoder_strides[0])
        weights = self._checkpoint.parameters * size // (2 if self._mode.offload else 1)
        return int(weights + size * length * (length + 8 * config.encoder_channels * config.encoder_c_mults[0]))


def _kept(asked: Asked) -> Tensor:
    """(T,): whether a latent frame of a repaint stays the source's."""
    assert asked.repainted is not None
    kept = torch.ones(asked.latents, dtype=torch.bool)
    kept[slice(*asked.repainted)] = False
    return kept
