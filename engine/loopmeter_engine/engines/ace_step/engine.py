"""ACE-Step 1.5 as an engine: latents at once, sound window by window, exact frames.

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
from loopmeter_engine.contract import EngineInfo, InvalidRequest, Plan, ScoreSheet
from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES, SAMPLE_RATE_HZ, Asked, ask
from loopmeter_engine.engines.ace_step.checkpoint import inspect_checkpoint
from loopmeter_engine.engines.ace_step.flops import AceStepFlops
from loopmeter_engine.engines.ace_step.pipeline import AceStepPipelineHost
from loopmeter_engine.engines.ace_step.sections import WINDOW_LATENTS, drawn, sections
from loopmeter_engine.engines.memory import choose_mode, device_name, free_bytes
from loopmeter_engine.engines.opening import ACE_STEP, find_weights
from loopmeter_engine.engines.windowed import WindowedEngine
from loopmeter_engine.engines.windows import Windows
from loopmeter_engine.engines.words import wished_score
from loopmeter_engine.exact import with_defaults

NAME = "ace-step"
DURATION_S_MAX = 1_200.0  # A plan of the price book usually grants less.
# In latent frames. The first sound waits for as little decoding as is sensible; later windows are long, because the
# margins of a short one are much of its work: 30 s cost 1.7 times the whole at 25 frames, about 1.2 times at these.
CHUNK_LATENTS = (12, 25, 50, 100)
WINDOWS = Windows(LATENT_FRAMES, margin=9)  # The decoder sees 8.33 latent frames to each side.
_VERSION = "1"


class AceStepEngine(WindowedEngine):
    """Loops by the checkpoint in ``folder``, or where ``LOOPMETER_ACE_STEP_DIR`` and the hub's cache have one.

    Weights are loaded at the first chunk. ``device`` is torch's name of one; without it, a GPU if there is one.
    ``memory_bytes`` is how much of it there is to use; without it, what is free now. ``window_latents`` is how much is
    asked of the model at once; longer pieces are made in sections.

    Raises:
        CheckpointFault: there is no checkpoint, or a part of it is missing, cut, misshapen or a pickle.
        MemoryError: it does not fit, in whatever form.
    """

    def __init__(
        self,
        folder: Path | None = None,
        device: str | None = None,
        memory_bytes: int | None = None,
        window_latents: int = WINDOW_LATENTS,
    ) -> None:
        self._checkpoint = inspect_checkpoint(folder or find_weights(ACE_STEP))
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        super().__init__(WINDOWS, CHUNK_LATENTS, SAMPLE_RATE_HZ, target)
        free, parameters = memory_bytes or free_bytes(target), self._checkpoint.parameters
        self._mode = choose_mode(target.type, free, parameters, parameters // 2, self._checkpoint.packable)
        self._window = window_latents
        self._host = AceStepPipelineHost(self._checkpoint, self._device, self._mode)

    def info(self) -> EngineInfo:
        checkpoint = self._checkpoint
        libraries = f"torch-{torch.__version__} diffusers-{version('diffusers')}"
        lacking = tuple(f"cannot {task}: {why}" for task, why in sorted(self._why().items()))
        return EngineInfo(
            name=NAME,
            version=_VERSION,
            fingerprint=f"{checkpoint.fingerprint} {self._mode} {libraries} {device_name(self._device)}",
            sample_rate_hz=SAMPLE_RATE_HZ,
            capabilities=self._capabilities,
            duration_s_max=DURATION_S_MAX,
            licence="MIT",
            output_rights="yours, to use and to sell",
            weights=str(checkpoint.folder),
            notes=(f"{'turbo' if checkpoint.is_turbo else 'base or SFT'}, {self._mode}", *lacking),
        )

    def plan(self, request: LoopRequest) -> Plan:
        return self.planned(self._resolve(request), self._memory_bytes())

    def score(self, request: LoopRequest) -> ScoreSheet:
        resolved = self._resolve(request)
        return wished_score(resolved, task=resolved.task or "text2music")

    def draw(self, request: LoopRequest, seed: int) -> Tensor:
        lora = None if request.lora is None else self._checkpoint.loras[request.lora]

        def latents_of(asked: Asked, seed: int) -> Tensor:
            return self._host.latents(asked, seed, lora)

        return drawn(sections(self.asked(request), self._window), latents_of, self._sound_of, seed)

    def vae(self) -> Any:
        return self._host.pipeline.vae

    def steps(self, request: LoopRequest) -> int:
        return self.asked(request).steps

    def latent_frames(self, request: LoopRequest) -> int:
        return self.asked(request).latents

    def denoising_flops(self, request: LoopRequest) -> int:
        work = 0
        for part in sections(self.asked(request), self._window):
            work += self._flops.denoising(part.asked, *self._host.token_counts(part.asked))
            work += self._flops.decoding(part.context) if part.context else 0
        return work

    def decoding_flops(self, latents: int) -> int:
        return self._flops.decoding(latents)

    def _sound_of(self, latents: Tensor) -> Tensor:
        """All of the sound of some latents, (2, frames)."""
        total = latents.shape[0]
        return self._windows.decode(self.vae(), latents, 0, 0, total * LATENT_FRAMES, total)

    @property
    def pipeline(self) -> Any:
        """``diffusers.AceStepPipeline`` with these weights. Not to be called while a lease runs."""
        return self._host.pipeline

    def _resolve(self, request: LoopRequest) -> LoopRequest:
        """The request with nothing left open, checked. Raises InvalidRequest."""
        refuse_unsupported(request, NAME, self._capabilities, self._why())
        resolved = with_defaults(request, DURATION_S_MAX)
        if request.lora is not None and request.lora not in self._checkpoint.loras:
            known = ", ".join(self._checkpoint.loras) or "none"
            raise InvalidRequest("lora", f"expected one of the installed LoRAs ({known}), found {request.lora!r}")
        sections(self.asked(resolved), self._window)
        return resolved

    @functools.lru_cache(maxsize=16)  # noqa: B019  # Engines live as long as their process.
    def asked(self, resolved: LoopRequest) -> Asked:
        """What the pipeline is asked for a resolved request. Raises InvalidRequest."""
        return ask(resolved, self.made_frames(resolved), is_turbo=self._checkpoint.is_turbo)

    @functools.cached_property
    def _flops(self) -> AceStepFlops:
        return AceStepFlops(self._checkpoint.folder, self._checkpoint.missing)

    def _memory_bytes(self) -> int:
        """Weights, and a decoder window where it is widest: in its last channels, in and out."""
        size = self._mode.dtype.itemsize
        weights = self._mode.weight_bytes(self._checkpoint.parameters, self._checkpoint.packable)
        window = (CHUNK_LATENTS[-1] + 2 * WINDOWS.margin) * LATENT_FRAMES
        return weights // (2 if self._mode.offload else 1) + 4 * window * 128 * size

    @functools.cached_property
    def _capabilities(self) -> frozenset[str]:
        able = {
            "hifi",
            "midi",
            "steps",
            "text2music",
            "lyrics",
            "reference_audio",
            "shift",
            "lora",
            "conform",
            "repaint",
        }
        able |= {"cover", "extract", "lego", "complete"} - self._why().keys()
        return frozenset(able if self._checkpoint.is_turbo else able | {"guidance"})

    def _why(self) -> dict[str, str]:
        """What this checkpoint cannot do, and what would bring it."""
        why = {}
        if self._checkpoint.missing:
            parts = " and ".join(sorted(self._checkpoint.missing))
            why["cover"] = (
                f"it needs {parts}, which this checkpoint lacks; convert it again with: loopmeter engines convert"
            )
        if self._checkpoint.is_turbo:
            why |= dict.fromkeys(("extract", "lego", "complete"), "it needs a base model, this is turbo")
        return why
