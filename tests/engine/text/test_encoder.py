"""The shipped encoder: its vocabulary, its vectors, and what loading costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from loopmeter_engine.text.encoder import WEIGHTS, TextEncoder
from loopmeter_engine.text.wordpiece import UNKNOWN, WordPiece, words


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.load()


def test_words_split_as_bert_does() -> None:
    assert words("Café D'n'B, 92bpm…") == ["cafe", "d", "'", "n", "'", "b", ",", "92bpm", "…"]


def test_longest_pieces_win_and_the_rest_continues() -> None:
    split = WordPiece({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "syn": 4, "synth": 5, "##wave": 6, "##w": 7})

    assert split.ids("Synthwave") == [2, 5, 6, 3]
    assert split.ids("synthx") == [2, 1, 3]
    assert split.ids("synth " * 9, length_max=4) == [2, 5, 5, 3]


@pytest.mark.parametrize("word", ["chillhop", "amapiano", "glitchcore", "wub", "F#m7", "x0x", "berghain"])
def test_any_latin_word_can_be_spelled(word: str) -> None:
    split = WordPiece.read(WEIGHTS / "text_vocab.txt")
    unknown = (WEIGHTS / "text_vocab.txt").read_text(encoding="utf-8").splitlines().index(UNKNOWN)

    assert unknown not in split.ids(word)


def test_vectors_have_unit_length(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["dusty lo-fi drums", "", "日本", "x" * 1000])

    assert vectors.shape == (4, 384) and vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(encoder: TextEncoder) -> None:
    texts = ["dark techno", "a warm, slowly evolving pad with a lot of reverb for a space exploration game", "piano"]

    alone = torch.cat([encoder.encode([text]) for text in texts])

    torch.testing.assert_close(encoder.encode(texts, batch=2), alone, atol=1e-5, rtol=0)  # Float32 reordering.


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("dusty lo-fi hip hop drums", "chilled boom bap beat", "soaring orchestral strings"),
        ("scary music for a haunted house", "dark horror atmosphere", "happy ukulele tune"),
        ("pumping club track", "house music for dancing", "calm meditation drone"),
    ],
)
def test_meanings_that_are_near_have_near_vectors(encoder: TextEncoder, text: str, near: str, far: str) -> None:
    query, close, distant = encoder.encode([text, near, far])

    assert query @ close > query @ distant + 0.1


def test_importing_the_package_loads_neither_weights_nor_torch() -> None:
    code = "import loopmeter_engine.text, loopmeter_engine.text.lexicon, sys; raise SystemExit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
