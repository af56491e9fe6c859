"""The sentence encoder: all-MiniLM-L6-v2, its word table pruned, its matrices stored as int8 with one scale a row.

A BERT encoder of six layers, mean pooling and L2 norm (Wang et al. 2020, MiniLM; Reimers and Gurevych 2019).
Weights are made by ``convert.py`` and widened to float32 when loaded, so that the forward pass is plain. Loading
happens in ``TextEncoder.load``, never on import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from .wordpiece import WordPiece

WIDTH = 384
HEADS = 12
LAYERS = 6
NORM_EPS = 1e-12
TOKENS_MAX = 256
WEIGHTS = Path(__file__).parent.parent / "weights"


class TextEncoder:
    """Sentences to unit vectors: ``TextEncoder.load().encode(["dusty lo-fi drums"])``."""

    def __init__(self, tensors: dict[str, Tensor], wordpiece: WordPiece) -> None:
        self._t = tensors
        self._wordpiece = wordpiece

    @classmethod
    def load(cls, path: Path | None = None, device: str | torch.device = "cpu") -> TextEncoder:
        """The encoder of ``path`` (default: the shipped weights); its vocabulary is ``text_vocab.txt`` beside it.

        Raises:
            FileNotFoundError: a file is missing.
        """
        path = WEIGHTS / "text_encoder.safetensors" if path is None else path
        wordpiece = WordPiece.read(path.parent / "text_vocab.txt")
        return cls(widen(load_file(path, device=str(device))), wordpiece)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        """One vector a text: (len(texts), 384), float32, L2 norm 1, on the CPU whatever the device."""
        out = torch.empty(len(texts), WIDTH)
        rows = [self._wordpiece.ids(text, TOKENS_MAX) for text in texts]
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # Little padding within a batch.
        for start in range(0, len(rows), batch):
            chosen = by_length[start : start + batch]
            states, mask = self.states([rows[i] for i in chosen])
            weight = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weight).sum(1) / weight.sum(1)
            out[chosen] = F.normalize(pooled, dim=-1).cpu()
        return out

    def states(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token states of rows of ids: (B, T, 384) float32, and which of them are real: (B, T) bool."""
        t, device = self._t, self._t["word"].device
        length = max(len(row) for row in rows)
        padded = [[*row, *[self._wordpiece.pad_id] * (length - len(row))] for row in rows]
        ids = torch.tensor(padded, device=device)
        mask = torch.tensor([[i < len(row) for i in range(length)] for row in rows], device=device)
        x = self._norm("embedding", t["word"][ids] + t["position"][:length])
        for layer in range(LAYERS):
            x = self._block(f"{layer}.", x, mask)
        return x, mask

    def _block(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (self._linear(name + part, x).view(batch, length, HEADS, -1).transpose(1, 2) for part in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        mixed = mixed.transpose(1, 2).reshape(batch, length, WIDTH)
        x = self._norm(name + "attention", x + self._linear(name + "mix", mixed))
        wide = F.gelu(self._linear(name + "up", x))
        return self._norm(name + "output", x + self._linear(name + "down", wide))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._t[name], self._t[name + ".bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), self._t[name + ".norm"], self._t[name + ".norm.bias"], NORM_EPS)


def widen(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stored tensors as float32: ``name`` (int8, R x C) times ``name.scale`` (float32, R) where there is a scale."""
    scales = {name.removesuffix(".scale"): t for name, t in stored.items() if name.endswith(".scale")}
    plain = {name: t.float() for name, t in stored.items() if not name.endswith(".scale")}
    return {name: t * scales[name].unsqueeze(1) if name in scales else t for name, t in plain.items()}
