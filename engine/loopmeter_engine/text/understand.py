"""Prompts to briefs: the explicit reading first, then the encoder for genre and mood where no word named them.

The encoder's vector is read by two linear maps, ridge regressions onto the wordings of ``lexicon.py`` (with the
wordings of instruments as texts that stand for no genre), which placed held-out prompts better than the nearest
wording did. ``python -m loopmeter_engine.text.understand`` fits them again after the lexicon has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from loopmeter_engine.planner.brief import PromptBrief
from loopmeter_engine.planner.names import GENRES, MOODS

from .encoder import WEIGHTS, TextEncoder
from .instruments import FAMILY_WORDS, LAYER_WORDS
from .lexicon import GENRE_HINTS, GENRE_SCENES, GENRE_WORDS, MOOD_SCENES, MOOD_WORDS, NAMELESS_TEXTS
from .reading import Reading, read_words

READOUT = WEIGHTS / "text_readout.safetensors"
# Chosen on tests/engine/text/genres_tuning.tsv: from 0.3 to 1 made no difference there, above 3 was worse.
_RIDGE = 1.0
_HINT_BONUS = 1.0  # What one hinting word adds, in standard deviations of the genres' scores.
# The least score that counts; most texts about anything but music stay below.
_GENRE_LEVEL, _MOOD_LEVEL = 0.20, 0.38
# A named genre has a habitual mood; only so many words that the explicit reading passed over may say otherwise.
_UNREAD_FOR_MOOD = 3
_FRAMES = ("{}", "{} music", "a {} loop")


class PromptReader:
    """``PromptReader().read("dusty beat for a rainy evening, 84 bpm, no bass")`` gives a ``PromptBrief``.

    The encoder is loaded when the first prompt needs it (about 0.1 s); the same prompt always gives the same brief.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._weights = weights
        self._loaded: tuple[TextEncoder, Readout, Readout] | None = None

    def read(self, prompt: str) -> PromptBrief:
        """What ``prompt`` asks for. Never raises on any text; what it leaves open stays ``None`` or empty."""
        reading = read_words(prompt)
        brief = reading.brief
        if brief.genre is not None and (brief.mood is not None or reading.unread < _UNREAD_FOR_MOOD):
            return brief
        if not any(character.isalpha() for character in reading.rest):
            return brief
        _, genres, moods = self._load()
        vector = self.vectors([reading.rest])[0]
        genre = brief.genre or _choose_genre(genres.scores(vector), reading)
        mood = brief.mood or _above(moods.scores(vector), MOODS, _MOOD_LEVEL)
        return replace(brief, genre=genre, mood=mood)

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """As ``TextEncoder.encode``, and the same to the bit wherever it is called.

        With another number of threads the last bits differ, and a lease may be made by any thread of any process. One
        is also the fastest beside streams: two took ten times as long while they waited for busy cores.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._load()[0].encode(texts)
        finally:
            torch.set_num_threads(before)

    def _load(self) -> tuple[TextEncoder, Readout, Readout]:
        if self._loaded is None:
            encoder = TextEncoder.load(self._weights / "text_encoder.safetensors")
            self._loaded = (encoder, *read_readouts(self._weights / READOUT.name))
        return self._loaded


class Readout:
    """A linear map from an encoder vector (384,) to one score a name; 1 at a name's wordings, 0 at all others."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def scores(self, vector: Tensor) -> Tensor:
        """(384,) -> (names,)."""
        return vector @ self.weight + self.bias

    @classmethod
    def fit(cls, vectors: Tensor, labels: Tensor, names: int, ridge: float) -> Readout:
        """Ridge regression of one-hot ``labels`` (-1 stands for no name) on ``vectors`` (N, 384)."""
        x, mean = vectors.double(), vectors.double().mean(0)
        target = torch.zeros(len(labels), names, dtype=torch.float64)
        target[labels >= 0, labels[labels >= 0]] = 1.0
        centred = x - mean
        gram = centred.T @ centred + ridge * torch.eye(x.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(gram, centred.T @ (target - target.mean(0)))
        return cls(weight.float(), (target.mean(0) - mean @ weight).float())


def _choose_genre(scores: Tensor, reading: Reading) -> str | None:
    """The best genre, each hint lifting its own; ``None`` where nothing hints and nothing stands out."""
    if not reading.hints:
        return _above(scores, GENRES, _GENRE_LEVEL)
    lifted = (scores - scores.mean()) / scores.std()
    for hint in reading.hints:
        lifted[GENRES.index(hint)] += _HINT_BONUS
    return GENRES[int(lifted.argmax())]


def _above(scores: Tensor, names: Sequence[str], level: float) -> str | None:
    best = int(scores.argmax())
    return names[best] if scores[best] >= level else None


def read_readouts(path: Path = READOUT) -> tuple[Readout, Readout]:
    """The stored maps for genres and moods.

    Raises:
        ValueError: they were fitted to another lexicon than the present one.
    """
    with safe_open(path, "pt") as file:
        fitted_to = (file.metadata() or {}).get("lexicon")
        stored = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    if fitted_to != lexicon_fingerprint():
        raise ValueError(
            f"expected {path.name} for lexicon {lexicon_fingerprint()}, found {fitted_to}; "
            "run python -m loopmeter_engine.text.understand"
        )
    return Readout(stored["genre"], stored["genre.bias"]), Readout(stored["mood"], stored["mood.bias"])


def lexicon_fingerprint() -> str:
    """Changes with any wording that the maps are fitted to."""
    tables = (
        GENRE_WORDS,
        GENRE_HINTS,
        GENRE_SCENES,
        MOOD_WORDS,
        MOOD_SCENES,
        FAMILY_WORDS,
        LAYER_WORDS,
        NAMELESS_TEXTS,
    )
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()[:16]


def fit_readouts(encoder: TextEncoder) -> tuple[Readout, Readout]:
    """Both maps from the present lexicon."""
    nameless = [*NAMELESS_TEXTS, *(word for words in LAYER_WORDS.values() for word in words)]
    nameless += [word for families in FAMILY_WORDS.values() for words in families.values() for word in words]
    moody = [scene for scenes in MOOD_SCENES.values() for scene in scenes]
    genres = _examples([(n, (*GENRE_WORDS[n], *GENRE_HINTS[n]), GENRE_SCENES[n]) for n in GENRES], nameless + moody)
    moods = _examples([(n, MOOD_WORDS[n], MOOD_SCENES[n]) for n in MOODS], nameless)
    fitted = [
        Readout.fit(encoder.encode(texts), torch.tensor(labels), len(names), _RIDGE)
        for (texts, labels), names in ((genres, GENRES), (moods, MOODS))
    ]
    return fitted[0], fitted[1]


def _examples(
    rows: Iterable[tuple[str, Sequence[str], Sequence[str]]], nameless: Sequence[str]
) -> tuple[list[str], list[int]]:
    texts: list[str] = []
    labels: list[int] = []
    for label, (_, wordings, scenes) in enumerate(rows):
        new = [frame.format(wording) for wording in wordings for frame in _FRAMES] + list(scenes)
        texts += new
        labels += [label] * len(new)
    return [*texts, *nameless], [*labels, *[-1] * len(nameless)]


def main() -> None:
    genres, moods = fit_readouts(TextEncoder.load())
    stored = {"genre": genres.weight, "genre.bias": genres.bias, "mood": moods.weight, "mood.bias": moods.bias}
    save_file(
        {name: t.half().contiguous() for name, t in stored.items()},
        READOUT,
        metadata={"lexicon": lexicon_fingerprint()},
    )
    READOUT.chmod(0o644)
    print(f"{READOUT.name}: {READOUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
