"""MusicGen as an engine: codes as they come, sound as soon as its codes are there, exact frames.

The first chunk waits only for its own codes: this model does stream. Its loop is closed at the end, because the end is
not known when the start is sent: a few frames are made before the loop begins, and the end of the loop fades into
them. Reading order: ``MusicGenEngine``, ``Piece``.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.capabilities import refuse_fields, refuse_unsupported
from loopmeter_engine.contract import Chunk, EngineInfo, Plan, ScoreSheet, Usage
from loopmeter_engine.engine import pcm_bytes
from loopmeter_engine.engines.latent_state import identity_of
from loopmeter_engine.engines.memory import choose_mode, device_name, free_bytes, peak_bytes
from loopmeter_engine.engines.musicgen.checkpoint import inspect_checkpoint, load_model, load_tokenizer
from loopmeter_engine.engines.musicgen.codec import Layout, PieceDecoder
from loopmeter_engine.engines.musicgen.flops import MusicGenFlops
from loopmeter_engine.engines.musicgen.state import open_state, seal
from loopmeter_engine.engines.musicgen.tokens import Decoding, steps_for
from loopmeter_engine.engines.opening import MUSICGEN, find_weights
from loopmeter_engine.engines.windows import Windows, levelled
from loopmeter_engine.engines.words import wished_score, worded
from loopmeter_engine.exact import check_lease, loop_frames, plan_in_chunks, with_defaults

NAME = "musicgen"
DURATION_S_MAX = 29.9  # It has learned 30 s; a little of that is made before the loop begins.
CHUNK_CODES = (25, 25, 50)  # Half a second, then a second of sound.
LEAD_CODES = 3  # Made before the loop: 60 ms for its end to fade into.
GUIDANCE = 3.0
TEXT_TOKENS_MAX = 256
_KEPT_MAX = 2  # Streams whose keys are kept in memory; another one is worked out again from its codes.
_VERSION = "1"
_CAPABILITIES = frozenset({"hifi", "midi", "guidance", "text2music"})


class MusicGenEngine:
    """Loops by the checkpoint in ``folder``, or where ``LOOPMETER_MUSICGEN_DIR`` and the hub's cache have one.

    Weights are loaded at the first chunk. ``device`` is torch's name of one; without it, a GPU if there is one.

    Raises:
        CheckpointFault: there is no checkpoint, or it is not whole, not mono, or has a pickle in it.
    """

    def __init__(self, folder: Path | None = None, device: str | None = None) -> None:
        self._checkpoint = inspect_checkpoint(folder or find_weights(MUSICGEN))
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        parameters = self._checkpoint.parameters
        self._mode = choose_mode(self._device.type, free_bytes(self._device), parameters, parameters)
        self._config = self._checkpoint.model.config
        self._rate: int = self._config.audio_encoder.sampling_rate
        self._flops = MusicGenFlops(self._checkpoint.model)
        self._lock = threading.Lock()  # One chunk at a time; planning is free to go on beside it.
        self._decoding = functools.lru_cache(_KEPT_MAX)(self._new_decoding)

    def info(self) -> EngineInfo:
        libraries = f"torch-{torch.__version__} transformers-{version('transformers')}"
        return EngineInfo(
            name=NAME,
            version=_VERSION,
            fingerprint=f"{self._checkpoint.fingerprint} {self._mode} {libraries} {device_name(self._device)}",
            sample_rate_hz=self._rate,
            capabilities=_CAPABILITIES,
            duration_s_max=DURATION_S_MAX,
            licence="CC-BY-NC-4.0",
            weights=str(self._checkpoint.folder),
            notes=(str(self._mode), "mono: hifi has the same sound on both sides"),
            commercial=False,
            output_rights="not to be sold: the weights are for non-commercial use alone",
        )

    def plan(self, request: LoopRequest) -> Plan:
        refuse_unsupported(request, NAME, _CAPABILITIES)
        refuse_fields(request, "MusicGen", ("layers", "midi_base64", "solver", "steps"))
        resolved = with_defaults(request, DURATION_S_MAX)
        frames = loop_frames(resolved, self._rate)
        table = Windows(self._config.audio_encoder.hop_length, margin=0).chunk_table(frames, CHUNK_CODES)
        return plan_in_chunks(resolved, self._rate, table, self._work(resolved, table), self._memory_bytes(frames))

    def score(self, request: LoopRequest) -> ScoreSheet:
        return wished_score(self.plan(request).request)

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        check_lease(plan, start_chunk, count)
        return self._make(plan, start_chunk, count, state if start_chunk > 0 else None)

    def _make(self, plan: Plan, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        request, identity = plan.request, identity_of(plan.request)
        pieces, layout = self._lay_out(plan.chunk_frames)
        work = self._work(request, plan.chunk_frames)
        began = time.perf_counter()
        with self._lock:
            decoding, decoder = self._decoding(request, layout.total), self._decoder
            carried = decoder.nothing()
            if state is not None:
                codes, carried = open_state(identity, start_chunk, state)
                decoding.take_up(codes)
            else:
                for piece in pieces[:start_chunk]:
                    _, carried = decoder.advance(
                        layout, decoding.codes(piece.codes), piece.low, piece.next_low, carried
                    )
        for index in range(start_chunk, start_chunk + count):
            piece = pieces[index]
            with self._lock:
                codes = decoding.codes(piece.codes)
                kept, carried = decoder.advance(layout, codes, piece.low, piece.next_low, carried)
                ahead, _ = decoder.advance(layout, codes, piece.next_low, piece.high, carried)
                sound = decoder.sound(layout, torch.cat([kept, ahead], dim=-1), piece.low, piece.start, piece.stop)
                sound = self._closed(layout, codes, sound, piece, plan.frames)
            pcm = pcm_bytes(levelled(sound.expand(plan.channels, -1), gain=1.0), plan.bits)
            usage = Usage(
                frames=plan.chunk_frames[index],
                steps=piece.steps[1] - piece.steps[0],
                flops=work[index],
                device_seconds=time.perf_counter() - began,
                peak_memory_bytes=peak_bytes(self._device),
            )
            yield Chunk(index, pcm, usage.frames, usage, seal(identity, index + 1, codes, carried))
            began = time.perf_counter()  # The time between two chunks is the listener's.

    def _closed(self, layout: Layout, codes: Tensor, sound: Tensor, piece: Piece, frames: int) -> Tensor:
        """The end of the loop fading into what was made before its start; any other sound as it is."""
        lead = LEAD_CODES * layout.hop
        first = max(piece.start, frames)  # The last ``lead`` frames of the loop lie from here on, the lead counted.
        if first >= piece.stop:
            return sound
        high = layout.features(0, lead)[1]
        features, _ = self._decoder.advance(layout, codes, 0, high, self._decoder.nothing())
        before = self._decoder.sound(layout, features, 0, first - frames, piece.stop - frames)
        rise = (torch.arange(first - frames, piece.stop - frames) + 0.5) / lead
        cut = first - piece.start
        return torch.cat([sound[:, :cut], sound[:, cut:] * (1 - rise) + before * rise], dim=1)

    def _new_decoding(self, request: LoopRequest, frames: int) -> Decoding:
        text = torch.tensor(self._text(request))
        return Decoding(self._model, text, request.seed, self._guidance(request), frames)

    @functools.cached_property
    def _model(self) -> Any:
        return load_model(self._checkpoint, self._mode.dtype, self._device)

    @functools.cached_property
    def _decoder(self) -> PieceDecoder:
        return PieceDecoder(self._model.audio_encoder)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._checkpoint)

    def _text(self, request: LoopRequest) -> list[int]:
        words = worded(request.prompt, request.tempo_bpm or 0, request.key or "")
        tokens: list[int] = self._tokenizer(words).input_ids
        return tokens[:TEXT_TOKENS_MAX]

    @staticmethod
    def _guidance(request: LoopRequest) -> float:
        return GUIDANCE if request.guidance is None else request.guidance

    def _lay_out(self, table: tuple[int, ...]) -> tuple[list[Piece], Layout]:
        codec, books = self._config.audio_encoder, self._config.decoder.num_codebooks
        hop = codec.hop_length
        layout = Layout(hop, codec.kernel_size, LEAD_CODES + -(-sum(table) // hop))
        pieces: list[Piece] = []
        start, steps = LEAD_CODES * hop, 0
        for frames in table:
            low, high = layout.features(start, start + frames)
            next_low = layout.features(start + frames, start + frames + 1)[0]
            stop_step = steps_for(layout.codes(high), books)
            pieces.append(Piece(start, start + frames, low, next_low, high, layout.codes(high), (steps, stop_step)))
            start, steps = start + frames, stop_step
        return pieces, layout

    def _work(self, request: LoopRequest, table: tuple[int, ...]) -> tuple[int, ...]:
        """Floating-point operations per chunk."""
        pieces, layout = self._lay_out(table)
        tokens, rows = len(self._text(request)), 2 if self._guidance(request) > 1.0 else 1
        lead, frames = LEAD_CODES * layout.hop, sum(table)
        counts = []
        for piece in pieces:
            width = piece.high - piece.low
            count = self._flops.steps(*piece.steps, tokens, rows) + self._flops.features(width)
            count += self._flops.sound(width)
            if piece.stop > frames:
                count += self._flops.features(layout.features(0, lead)[1])
                count += self._flops.sound(layout.features(0, lead)[1])
            counts.append(count)
        counts[0] += self._flops.text(tokens)
        return tuple(counts)

    def _memory_bytes(self, frames: int) -> int:
        """Weights, keys and values of both rows, and a window of the codec where it is widest."""
        size, decoder, codec = self._mode.dtype.itemsize, self._config.decoder, self._config.audio_encoder
        steps = LEAD_CODES + -(-frames // codec.hop_length) + decoder.num_codebooks
        keys = 4 * decoder.num_hidden_layers * decoder.hidden_size * steps
        window = 2 * codec.num_filters * codec.hop_length * (CHUNK_CODES[-1] + 16)
        return int(size * (self._checkpoint.parameters + keys + 2 * window))


class Piece(NamedTuple):
    """What one chunk needs: frames of sound, the lead counted; of features; of codes; and the steps that make them."""

    start: int
    stop: int
    low: int
    next_low: int
    high: int
    codes: int
    steps: tuple[int, int]
