"""The transformer: block-causal linear attention that predicts the flow's velocity, conditioned on the score.

Linear attention after Katharopoulos et al. 2020 (feature map elu + 1 on queries and keys, eq. 7 and 12), rotary
positions in the numerator only (Su et al. 2021, eq. 19). Departures:

* A block of 16 frames is denoised at once. Inside a block attention runs both ways; earlier blocks are read through a
  sum of their keys and values that decays per head from block to block. That sum is the whole memory of a stream.
* Training runs two copies side by side: clean blocks, which write the memory, and noisy ones, which only read it.
  ``forward`` is that parallel form; ``block`` with ``absorb`` is the recurrent one, and equal to it.
* The feed-forward part is gated and has a short depthwise convolution over time, as in ACE-Step's. It looks back into
  the clean block before, never ahead of its own.

Reading order: ``TransformerConfig``, ``Layer``, ``Conditioner``, ``Transformer``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS

BLOCK_FRAMES = 16


@dataclass(frozen=True)
class TransformerConfig:
    latent: int = 64
    width: int = 320
    heads: int = 8
    layers: int = 8
    hidden: int = 832  # Of the gated feed-forward part.
    condition: int = 256
    text: int = 384
    kernel: int = 3  # Of the convolution in the feed-forward part: a frame back, a frame ahead inside the block.
    ahead: int = 8  # Frames of score that the conditioner looks ahead and back.
    decay_min: float = 0.3  # Of the memory, per block, first head.
    decay_max: float = 0.99  # Last head.


@dataclass
class Memory:
    """The state of a stream, one entry per layer. ``keys_values`` (B, H, E, E), ``keys`` (B, H, E), ``tail``
    (B, kernel // 2, 2 hidden): the last inputs of the clean block's convolution. ``position``: frames so far.
    """

    keys_values: list[Tensor]
    keys: list[Tensor]
    tail: list[Tensor]
    position: int


def rotary(frames: int, width: int, offset: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin tables (frames, 1, 1, width), for queries and keys of all heads at once."""
    rates = 10_000.0 ** (-torch.arange(width // 2, device=device, dtype=torch.float64) / (width // 2))
    angles = (torch.arange(frames, device=device) + offset)[:, None].double() * rates
    cos, sin = angles.cos().float(), angles.sin().float()
    return torch.cat([cos, cos], -1)[:, None, None], torch.cat([-sin, sin], -1)[:, None, None]


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """(..., T, 2, H, E) turned by position: channel e together with e + E / 2."""
    cos, sin = table
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class Layer(nn.Module):
    decay: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, self.heads, self.back = config.width, config.heads, config.kernel // 2
        self.kernel = config.kernel
        self.norm_1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_2 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 2 * config.hidden)
        self.depthwise = nn.Parameter(torch.randn(config.kernel, 2 * config.hidden) / config.kernel**0.5)
        self.down = nn.Linear(config.hidden, width)
        self.modulation = nn.Linear(config.condition, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.register_buffer(
            "decay", torch.linspace(config.decay_min, config.decay_max, config.heads), persistent=False
        )

    def project(self, x: Tensor, mod: tuple[Tensor, ...], table: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """(B, N, T, width) -> feature-mapped q, k; v; and q, k turned by position; each (B, N, T, H, E)."""
        h = _scaled(self.norm_1(x), mod[1], mod[0])
        parts = self.qkv(h).unflatten(-1, (3, self.heads, -1))
        mapped = F.elu(parts[..., :2, :, :]) + 1
        turned = rotate(mapped, table)
        return *mapped.unbind(-3), parts[..., 2, :, :], *turned.unbind(-3)

    @staticmethod
    def write(k: Tensor, k_turned: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A block's sums: keys times values (B, N, H, E, E) and keys (B, N, H, E)."""
        return k_turned.permute(0, 1, 3, 4, 2) @ v.transpose(2, 3), k.sum(2)

    @staticmethod
    def read(q: Tensor, q_turned: Tensor, keys_values: Tensor, keys: Tensor) -> Tensor:
        """Eq. 7 of Katharopoulos et al.: numerator over normaliser, (B, N, T, H E)."""
        top = (q_turned.transpose(2, 3) @ keys_values).transpose(2, 3)
        # Not by a matrix-vector product, which rounds otherwise when more streams come along.
        bottom = (q * keys[:, :, None]).sum(-1).clamp(min=1e-3)
        return (top / bottom[..., None]).flatten(-2)

    def attend(self, x: Tensor, mod: tuple[Tensor, ...], read: Tensor) -> Tensor:
        return _scaled(self.out(read), mod[2], x)

    def hidden(self, x: Tensor, mod: tuple[Tensor, ...]) -> Tensor:
        """The input of the feed-forward part's convolution, (B, N, T, 2 hidden)."""
        h: Tensor = self.up(_scaled(self.norm_2(x), mod[4], mod[3]))
        return h

    def feed(self, x: Tensor, h: Tensor, tail: Tensor, mod: tuple[Tensor, ...]) -> Tensor:
        """Add the feed-forward part; ``tail`` (B, N, kernel // 2, 2 hidden) comes from the clean block before."""
        taps = self.depthwise.to(h.dtype)  # h is bfloat16 where that is fast, and this part is bound by memory.
        mixed = self._mixed(h, tail, taps) if torch.is_grad_enabled() else self._mixed_in_place(h, tail, taps)
        value, gate = mixed.chunk(2, -1)
        return _scaled(self.down(value * F.silu(gate)), mod[5], x)

    def _mixed(self, h: Tensor, tail: Tensor, taps: Tensor) -> Tensor:
        """The convolution, and its input beside it."""
        frames = h.shape[2]
        padded = torch.cat([tail, h, h.new_zeros(*h.shape[:2], self.kernel - 1 - self.back, h.shape[3])], 2)
        mixed = h
        for tap in range(self.kernel):
            mixed = mixed + padded[:, :, tap : tap + frames] * taps[tap]
        return mixed

    def _mixed_in_place(self, h: Tensor, tail: Tensor, taps: Tensor) -> Tensor:
        """The same in a third of the passes over memory, which gradients do not allow."""
        frames, tail = h.shape[2], tail.to(h.dtype)
        mixed = torch.addcmul(h, h, taps[self.back])
        for back in range(1, self.back + 1):
            tap = taps[self.back - back]
            mixed[:, :, back:].addcmul_(h[:, :, : frames - back], tap)
            mixed[:, :, :back].addcmul_(tail[:, :, self.back - back :], tap)
        for ahead in range(1, self.kernel - self.back):
            mixed[:, :, : frames - ahead].addcmul_(h[:, :, ahead:], taps[self.back + ahead])
        return mixed


class Conditioner(nn.Module):
    """Score features (B, T, FRAME_CHANNELS) to (B, T, width), looking at frames around; and the global vector.

    ``context`` says what is known of the sound itself (``context_features``): frames of it that are there already, and
    other stems that sound along. ``reference`` takes the statistics of latents whose timbre and mix is wanted.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.ahead = config.ahead
        width, kernel = config.width, config.ahead + 1
        self.inp = nn.Linear(FRAME_CHANNELS, width)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, kernel, groups=8) for _ in range(2))
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.style = nn.Sequential(nn.Linear(GLOBAL_CHANNELS, 512), nn.SiLU(), nn.Linear(512, config.condition))
        self.text = nn.Sequential(nn.Linear(config.text, 256), nn.SiLU(), nn.Linear(256, config.condition))
        self.style_to_frames = nn.Linear(config.condition, width)
        # Without a bias: all zeros is what it sees where nothing is known.
        self.context = nn.Linear(2 * (config.latent + 1), width, bias=False)
        self.reference = nn.Linear(2 * config.latent, config.condition, bias=False)
        nn.init.zeros_(self.context.weight)
        nn.init.zeros_(self.reference.weight)

    def globals(
        self, style: Tensor, text: Tensor, keep_style: Tensor, keep_text: Tensor, reference: Tensor | None = None
    ) -> Tensor:
        """(B, GLOBAL_CHANNELS), (B, text), and which of them to show, (B,) of 0 or 1 -> (B, condition).

        ``reference`` (B, 2 latent): ``latent_statistics``, zeros where there are none.
        """
        known: Tensor = keep_style[:, None] * self.style(style) + keep_text[:, None] * self.text(text)
        return known if reference is None else known + self.reference(reference)

    def forward(self, features: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """``features`` must reach ``ahead`` frames beyond the wanted ones on both sides: (B, T + 2 ahead, .).

        ``context`` (B, T + 2 ahead, 2 (latent + 1)) or None where nothing is known.
        """
        h = self.inp(features) + self.style_to_frames(known)[:, None]
        if context is not None:
            h = h + self.context(context)
        for conv, mix, norm in zip(self.convs, self.mixes, self.norms, strict=True):
            side = self.ahead // 2
            inner = conv(norm(h).transpose(1, 2)).transpose(1, 2)
            h = h[:, side:-side] + mix(F.silu(inner))
        out: Tensor = h
        return out


def context_features(known: Tensor, is_known: Tensor, heard: Tensor, is_heard: Tensor) -> Tensor:
    """Latents of the wanted sound as far as they are known, and of what sounds along: (B, T, 2 (latent + 1)).

    ``known``, ``heard`` (B, T, latent) count where ``is_known``, ``is_heard`` (B, T) are 1.
    """
    parts = [part for latents, there in ((known, is_known), (heard, is_heard))
             for part in (latents * there[..., None], there[..., None])]  # fmt: skip
    return torch.cat(parts, -1)


def latent_statistics(latents: Tensor) -> Tensor:
    """Mean and deviation over time of (B, T, latent): (B, 2 latent)."""
    return torch.cat([latents.mean(1), latents.std(1, correction=0)], -1)


class Transformer(nn.Module):
    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        self.conditioner = Conditioner(config)
        self.inp = nn.Linear(config.latent, config.width)
        self.time = nn.Sequential(nn.Linear(128, 256), nn.SiLU(), nn.Linear(256, config.condition))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.middle = nn.Linear(config.width, config.width)  # Shows the score once more, half way up.
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def modulations(self, known: Tensor, time: Tensor) -> list[tuple[Tensor, ...]]:
        """Per layer six (B, N, 1, width): shift, scale and gate, twice, for times (B, N). Time 1 is clean."""
        rates = torch.exp(-math.log(1e4) * torch.arange(64, device=time.device) / 64)
        angles = time[..., None] * 1000 * rates
        c = F.silu(known[:, None] + self.time(torch.cat([angles.sin(), angles.cos()], -1)))
        found = [layer.modulation(c)[:, :, None].chunk(6, -1) for layer in self._layers()]
        return [(shift, 1 + scale, gate, shift_2, 1 + scale_2, gate_2)
                for shift, scale, gate, shift_2, scale_2, gate_2 in found]  # fmt: skip

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, clean: Tensor, noisy: Tensor, time: Tensor, score: Tensor, known: Tensor) -> Tensor:
        """The parallel form, for training: velocities (B, T, latent).

        ``clean``, ``noisy`` (B, T, latent) with T a multiple of 16; ``time`` (B, T / 16); ``score`` (B, T, width) and
        ``known`` (B, condition) from the conditioner.
        """
        batch, frames, _ = clean.shape
        blocks = frames // BLOCK_FRAMES
        split = (batch, blocks, BLOCK_FRAMES, -1)
        positions = rotary(frames, self.config.width // self.config.heads, 0, clean.device)
        cos, sin = (part.reshape(blocks, BLOCK_FRAMES, 1, 1, -1) for part in positions)
        table = (cos, sin)
        mod_clean = self.modulations(known, torch.ones_like(time))
        mod_noisy = self.modulations(known, time)
        score = score.reshape(split)
        x, y = self.inp(clean).reshape(split) + score, self.inp(noisy).reshape(split) + score
        for index, layer in enumerate(self._layers()):
            if index == self.config.layers // 2:
                middle = self.middle(score)
                x, y = x + middle, y + middle
            a, b = mod_clean[index], mod_noisy[index]
            q, k, v, q_turned, k_turned = layer.project(x, a, table)
            own_kv, own_k = layer.write(k, k_turned, v)
            past_kv, past_k = _decayed_sums(own_kv, own_k, layer.decay)
            x = layer.attend(x, a, layer.read(q, q_turned, past_kv + own_kv, past_k + own_k))
            q, k, v, q_turned, k_turned = layer.project(y, b, table)
            own_kv, own_k = layer.write(k, k_turned, v)
            y = layer.attend(y, b, layer.read(q, q_turned, past_kv + own_kv, past_k + own_k))
            h_clean = layer.hidden(x, a)
            tail = F.pad(h_clean[:, :-1, -layer.back :], (0, 0, 0, 0, 1, 0))
            y = layer.feed(y, layer.hidden(y, b), tail, b)
            x = layer.feed(x, h_clean, tail, a)
        velocity: Tensor = self.out(self.norm(y))
        return velocity.reshape(batch, frames, -1)

    def init_memory(self, batch: int) -> Memory:
        config, device = self.config, self.inp.weight.device
        size = config.width // config.heads
        count = range(config.layers)
        return Memory(
            [torch.zeros(batch, config.heads, size, size, device=device) for _ in count],
            [torch.zeros(batch, config.heads, size, device=device) for _ in count],
            [torch.zeros(batch, config.kernel // 2, 2 * config.hidden, device=device) for _ in count],
            0,
        )

    def block(
        self,
        x: Tensor,
        score: Tensor,
        mods: list[tuple[Tensor, ...]],
        memory: Memory,
        *,
        absorb: bool = False,
        table: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Memory]:
        """The recurrent form: one block (B, 16, latent) against the memory of those before it.

        Returns the velocity and, with ``absorb`` (``x`` clean, ``mods`` for time 1), the memory with this block in it.
        ``table``: the rotary table of each row, where rows stand at positions of their own.
        """
        table = table or rotary(BLOCK_FRAMES, self.config.width // self.config.heads, memory.position, x.device)
        score = score[:, None]
        h = self.inp(x)[:, None] + score
        after = Memory([], [], [], memory.position + BLOCK_FRAMES)
        for index, layer in enumerate(self._layers()):
            if index == self.config.layers // 2:
                h = h + self.middle(score)
            mod = mods[index]
            q, k, v, q_turned, k_turned = layer.project(h, mod, table)
            own_kv, own_k = layer.write(k, k_turned, v)
            past_kv, past_k = memory.keys_values[index], memory.keys[index]
            read = layer.read(q, q_turned, past_kv[:, None] + own_kv, past_k[:, None] + own_k)
            h = layer.attend(h, mod, read)
            inner = layer.hidden(h, mod)
            h = layer.feed(h, inner, memory.tail[index][:, None], mod)
            if absorb:
                decay = layer.decay[None, :, None]
                after.keys_values.append(decay[..., None] * (past_kv + own_kv[:, 0]))
                after.keys.append(decay * (past_k + own_k[:, 0]))
                after.tail.append(inner[:, 0, -layer.back :].float())
        return self.out(self.norm(h))[:, 0], after if absorb else memory


def _scaled(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x * scale + shift``, in one pass over memory where no gradient is wanted."""
    return x * scale + shift if torch.is_grad_enabled() else torch.addcmul(shift, x, scale)


def _decayed_sums(keys_values: Tensor, keys: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """What each block may read of those before it: S_0 = 0, S_n = decay (S_{n-1} + own_{n-1})."""
    past_kv, past_k = [torch.zeros_like(keys_values[:, 0])], [torch.zeros_like(keys[:, 0])]
    for index in range(keys.shape[1] - 1):
        past_kv.append(decay[None, :, None, None] * (past_kv[-1] + keys_values[:, index]))
        past_k.append(decay[None, :, None] * (past_k[-1] + keys[:, index]))
    return torch.stack(past_kv, 1), torch.stack(past_k, 1)
