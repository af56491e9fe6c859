"""The pipeline, loaded when it is first needed, asked in one way: same seed, same latents, whatever ran before.

The pipeline draws from torch's global generator when it encodes a source, so that one is seeded, and put back after.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.engines.ace_step.asking import Asked
from loopmeter_engine.engines.ace_step.checkpoint import Checkpoint, load_pipeline
from loopmeter_engine.engines.libraries import between_steps, quiet_libraries, working_device
from loopmeter_engine.engines.memory import MemoryMode

TEXT_TOKENS_MAX = 256
LYRIC_TOKENS_MAX = 2048


class AceStepPipelineHost:
    """Not thread-safe: one call at a time."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, mode: MemoryMode) -> None:
        self._checkpoint = checkpoint
        self._device = device
        self._mode = mode
        self._adapters: dict[Path, str] = {}

    @functools.cached_property
    def pipeline(self) -> Any:
        """``diffusers.AceStepPipeline``, on its device."""
        pipeline = load_pipeline(self._checkpoint, self._mode.dtype, int8=self._mode.int8)
        if self._mode.offload:
            pipeline.enable_model_cpu_offload(device=self._device)
        else:
            pipeline.to(self._device)
        return pipeline

    @property
    def _width(self) -> int:
        """Values in a latent frame."""
        width: int = self.pipeline.transformer.config.audio_acoustic_hidden_dim
        return width

    def latents(self, asked: Asked, seed: int, lora: Path | None) -> Tensor:
        """(T, width) float32 on the CPU, ``asked.latents`` frames.

        Raises:
            EngineFailed: the pipeline broke.
        """
        self._use_lora(lora)
        devices = [self._device] if self._device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=devices), quiet_libraries():
                torch.manual_seed(seed)
                dice = torch.Generator("cpu").manual_seed(seed)
                # As the pipeline draws it. Its own count of frames comes out one too many for one length in fourteen.
                noise = torch.randn((1, asked.latents, self._width), generator=dice, dtype=self._mode.dtype)
                made: Tensor = self.pipeline(
                    **asked.words,
                    num_inference_steps=asked.steps,
                    guidance_scale=asked.guidance,
                    src_audio=None if asked.source is None else torch.from_numpy(asked.source),
                    reference_audio=None if asked.reference is None else torch.from_numpy(asked.reference),
                    generator=dice,
                    latents=noise,
                    output_type="latent",
                    callback_on_step_end=between_steps,
                ).audios[0]
                latents = made.float().cpu()
                if asked.repainted is not None:
                    latents = self._spliced(asked, latents)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"the pipeline broke: {type(error).__name__}: {error}") from error
        if latents.shape[0] != asked.latents:
            raise EngineFailed(f"expected {asked.latents} latent frames, found {latents.shape[0]}")
        return latents

    def token_counts(self, asked: Asked) -> tuple[int, int, int]:
        """Tokens of the prompt, of the lyrics, and of the prompt that a weaker cover is mixed with (else 0)."""
        words = asked.words
        prompts = [words["task_type"]]
        if words.get("audio_cover_strength", 1.0) < 1.0:
            prompts.append("text2music")
        texts = [self._formatted(words, task) for task in prompts]
        counts = [min(TEXT_TOKENS_MAX, len(self._tokenizer(text).input_ids)) for text, _ in texts]
        lyrics = min(LYRIC_TOKENS_MAX, len(self._tokenizer(texts[0][1]).input_ids))
        return counts[0], lyrics, counts[1] if len(counts) > 1 else 0

    @functools.cached_property
    def _tokenizer(self) -> Any:
        import transformers

        return transformers.AutoTokenizer.from_pretrained(
            self._checkpoint.folder / "tokenizer", local_files_only=True, trust_remote_code=False
        )

    def _formatted(self, words: dict[str, Any], task: str) -> tuple[str, str]:
        """Prompt and lyrics as the pipeline writes them. Its own functions, which need none of its weights."""
        from diffusers import AceStepPipeline

        instruction = AceStepPipeline._get_task_instruction(
            task, words.get("track_name"), words.get("complete_track_classes")
        )
        text: tuple[str, str] = AceStepPipeline._format_prompt(
            AceStepPipeline,
            prompt=words["prompt"],
            lyrics=words["lyrics"],
            vocal_language=words["vocal_language"],
            audio_duration=words["audio_duration"],
            instruction=instruction,
            bpm=words["bpm"],
            keyscale=words["keyscale"],
            timesignature=words["timesignature"],
        )
        return text

    def _spliced(self, asked: Asked, latents: Tensor) -> Tensor:
        """The source outside of what was repainted: the model only leaves it about as it was."""
        assert asked.repainted is not None and asked.source is not None
        vae = self.pipeline.vae
        source = torch.from_numpy(asked.source)[None].to(device=working_device(vae), dtype=vae.dtype)
        with torch.no_grad():
            kept = vae.encode(source).latent_dist.mode()[0].T.float().cpu()
        first, stop = asked.repainted
        return torch.cat([kept[:first], latents[first:stop], kept[stop : latents.shape[0]]])

    def _use_lora(self, lora: Path | None) -> None:
        if lora is None:
            if self._adapters:
                self.pipeline.disable_lora()
            return
        with quiet_libraries():
            if lora not in self._adapters:
                name = f"lora_{len(self._adapters)}"
                try:
                    self.pipeline.load_lora_weights(
                        lora.parent,
                        weight_name=lora.name,
                        adapter_name=name,
                        use_safetensors=True,
                        local_files_only=True,
                    )
                # A LoRA is somebody's file; what the library makes of it, it does not promise.
                except Exception as error:
                    raise EngineFailed(
                        f"expected a LoRA for this model in {lora.name}, found one that fails: {error}"
                    ) from error
                self._adapters[lora] = name
            self.pipeline.enable_lora()
            self.pipeline.set_adapters([self._adapters[lora]])
