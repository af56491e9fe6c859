"""MusicGen behind the contract: the real model with tiny random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.tiny_musicgen import CODEBOOKS, save_tiny_musicgen
from safetensors.torch import load_file, save_file
from tests.engine.stepwise import StepwiseContract, made_as_predicted

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed, InvalidRequest
from loopmeter_engine.engines.musicgen import MusicGenEngine
from loopmeter_engine.engines.musicgen.checkpoint import inspect_checkpoint
from loopmeter_engine.engines.musicgen.codec import Layout, PieceDecoder
from loopmeter_engine.engines.musicgen.tokens import Decoding
from loopmeter_engine.engines.safetensors_check import CheckpointFault
from loopmeter_engine.testing import make_all

REQUEST = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=150, bars=1, key="Am", seed=7)  # 1.6 s, three chunks.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_musicgen(tmp_path_factory.mktemp("musicgen") / "tiny")


@pytest.fixture(scope="module")
def musicgen(checkpoint: Path) -> MusicGenEngine:
    return MusicGenEngine(checkpoint, device="cpu")


class TestMusicGenKeepsTheContract(StepwiseContract):
    short = REQUEST
    long = REQUEST.model_copy(update={"beats_per_bar": 6})  # 2.4 s, four chunks.

    @pytest.fixture
    def engine(self, musicgen: MusicGenEngine) -> MusicGenEngine:
        return musicgen


@pytest.mark.parametrize("guidance", [None, 1.0])
def test_the_work_is_what_was_predicted(musicgen: MusicGenEngine, guidance: float | None) -> None:
    request = REQUEST.model_copy(update={"seed": 11, "guidance": guidance})
    torch._C._set_mkldnn_enabled(False)  # Its recurrent kernels are not counted by torch; the plain ones are.
    try:
        made_as_predicted(musicgen, request)
    finally:
        torch._C._set_mkldnn_enabled(True)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_codes_are_the_librarys_own(
    musicgen: MusicGenEngine, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    """Both take the likeliest code of each step, so that nothing is left to a draw."""
    monkeypatch.setattr("loopmeter_engine.engines.musicgen.tokens.TOP_K", 1)
    text, frames = torch.tensor(list(range(5, 25))), 20
    kept: list[torch.Tensor] = []
    model = musicgen._model
    decode = model.audio_encoder.decode

    def keep(codes: torch.Tensor, **more: Any) -> Any:
        kept.append(codes)
        return decode(codes, **more)

    monkeypatch.setattr(model.audio_encoder, "decode", keep)
    options = {"do_sample": False, "guidance_scale": guidance, "max_length": frames + CODEBOOKS}
    whole = model.generate(input_ids=text[None], attention_mask=torch.ones(1, 20, dtype=torch.long), **options)
    ours = Decoding(model, text, 0, guidance, frames).codes(frames)
    assert torch.equal(ours, kept[0][0, 0])
    decoder, layout = PieceDecoder(model.audio_encoder), Layout(640, 7, frames)
    features, _ = decoder.advance(layout, ours, 0, frames, decoder.nothing())
    assert torch.allclose(decoder.sound(layout, features, 0, 0, frames * 640), whole[0], atol=1e-5, rtol=0)


def test_pieces_decode_to_the_whole(musicgen: MusicGenEngine) -> None:
    frames = 100
    codes = torch.randint(0, 64, (CODEBOOKS, frames), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = musicgen._model.audio_encoder.decode(codes[None, None], audio_scales=[None]).audio_values[0]
    decoder, layout = PieceDecoder(musicgen._model.audio_encoder), Layout(640, 7, frames)
    carried, at = decoder.nothing(), 0
    for stop in (640 * 20, 640 * 21 + 77, 640 * 60, 640 * frames):
        (low, high), next_low = layout.features(at, stop), layout.features(stop, stop + 1)[0]
        known = codes[:, : layout.codes(high)]
        kept, carried = decoder.advance(layout, known, low, next_low, carried)
        ahead, _ = decoder.advance(layout, known, next_low, high, carried)
        piece = decoder.sound(layout, torch.cat([kept, ahead], -1), low, at, stop)
        assert torch.allclose(piece, whole[:, at:stop], atol=1e-5, rtol=0)
        at = stop


def test_another_process_goes_on_from_the_state_with_the_same_bits(checkpoint: Path, musicgen: MusicGenEngine) -> None:
    chunks = make_all(musicgen, REQUEST)
    elsewhere = MusicGenEngine(checkpoint, device="cpu")
    (again,) = elsewhere.lease(REQUEST, 2, 1, chunks[1].state_after)
    assert (again.pcm, again.state_after) == (chunks[2].pcm, chunks[2].state_after)
    with pytest.raises(EngineFailed, match="expected the state after chunk 0"):
        list(elsewhere.lease(REQUEST, 1, 1, chunks[1].state_after))


def test_a_folder_without_the_generation_settings_plays_the_same(
    checkpoint: Path, musicgen: MusicGenEngine, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "bare")
    (tmp_path / "bare" / "generation_config.json").unlink()
    bare = MusicGenEngine(tmp_path / "bare", device="cpu")
    assert next(bare.lease(REQUEST, 0, 1, None)).pcm == next(musicgen.lease(REQUEST, 0, 1, None)).pcm


def test_the_first_chunk_waits_only_for_its_own_codes(checkpoint: Path) -> None:
    engine = MusicGenEngine(checkpoint, device="cpu")
    request = engine.plan(REQUEST.model_copy(update={"bars": 8})).request  # 12.8 s, 640 frames of codes.
    stream = engine.lease(request, 0, 8, None)
    first = next(stream)
    assert first.usage.steps < 50
    assert first.usage.flops < engine.plan(request).flops / 10


def test_the_end_leads_into_the_start(musicgen: MusicGenEngine) -> None:
    sound = np.frombuffer(b"".join(chunk.pcm for chunk in make_all(musicgen, REQUEST)), "<i2").astype(float)
    jumps = np.abs(np.diff(sound, append=sound[0]))
    assert jumps[-1] <= jumps[:-1].max()


@pytest.mark.parametrize("field", ["steps", "layers", "solver"])
def test_what_it_would_not_hear_is_refused(musicgen: MusicGenEngine, field: str) -> None:
    value: Any = {"steps": 8, "layers": ("drums",), "solver": "euler"}[field]
    with pytest.raises(InvalidRequest, match="MusicGen does not know it") as caught:
        musicgen.plan(REQUEST.model_copy(update={field: value}))
    assert caught.value.field == field


def _pickled(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def _misshapen(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["enc_to_dec_proj.bias"] = torch.zeros(7)
    save_file(tensors, folder / "model.safetensors")


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_pickled, r"expected safetensors alone, found .*pytorch_model\.bin, a pickle"),
        (_cut, "the file was cut short"),
        (_misshapen, r"expected enc_to_dec_proj\.bias of shape \(32,\), found \(7,\)"),
        (_no_tokenizer, "expected a tokenizer"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_by_name(
    checkpoint: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    harm(tmp_path / "copy")
    with pytest.raises(CheckpointFault, match=said):
        inspect_checkpoint(tmp_path / "copy")


def test_weights_under_their_older_names_are_the_same(checkpoint: Path, tmp_path: Path) -> None:
    """Weight normalisation had other names when the models were published."""
    shutil.copytree(checkpoint, tmp_path / "copy")
    path = tmp_path / "copy" / "model.safetensors"
    older = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in load_file(path).items()
    }
    save_file(older, path, metadata={"format": "pt"})
    engine = MusicGenEngine(tmp_path / "copy", device="cpu")
    first = next(engine.lease(REQUEST, 0, 1, None))
    assert first.pcm == next(MusicGenEngine(checkpoint, device="cpu").lease(REQUEST, 0, 1, None)).pcm
