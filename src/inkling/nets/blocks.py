"""The pieces of the networks. Every forward has its shapes on the right.

A residual branch ends in zeroed weights, so that a fresh network is the identity along its skips.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.nets.dropout import Dropout
from inkling.nets.network import CaptionAttention
from inkling.nets.norm import group_norm

Module = TypeVar("Module", bound=nn.Module)


def zeroed(module: Module) -> Module:
    """The module with every parameter set to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class StandardisedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1/fan-in, times a learned gain.

    Qiao et al. 2019, eq. 2; the gain is that of Brock et al. 2021, eq. 1.
    """

    def __init__(self, inside: int, outside: int, kernel: int, padding: int = 0):
        super().__init__(inside, outside, kernel, padding=padding)
        self.gain = nn.Parameter(torch.ones(outside))

    def forward(self, input: Tensor) -> Tensor:  # [B, in, H, W]
        flat = self.weight.flatten(1)  # [out, in k k]
        variance, mean = torch.var_mean(flat, dim=1, keepdim=True, correction=0)  # [out, 1] each
        scale = self.gain[:, None] * (variance * flat.shape[1] + 1e-6).rsqrt()  # [out, 1]
        weight = ((flat - mean) * scale).view_as(self.weight)  # [out, in, k, k]
        return F.conv2d(input, weight, self.bias, padding=self.padding)  # [B, out, H, W]


def silenced(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution with an output of zero; one with a gain keeps its filters."""
    if isinstance(conv, StandardisedConv2d):
        nn.init.zeros_(conv.gain)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        return conv
    return zeroed(conv)


def downsample(kind: str, fine: int, coarse: int) -> nn.Module:
    """[B, fine, H, W] -> [B, coarse, H / 2, W / 2], in the way of that name."""
    if kind == "conv":
        return nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
    if kind == "average":
        return nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(fine, coarse, 1))
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 1))


def upsample(kind: str, coarse: int, fine: int) -> nn.Module:
    """[B, coarse, H, W] -> [B, fine, 2 H, 2 W], in the way of that name; the plain ones have no
    weights and keep the channels.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1)
    if kind.startswith("plain_"):
        return nn.Upsample(scale_factor=2, mode=kind.removeprefix("plain_"))
    if kind in ("nearest", "bilinear"):
        # Stretched before the convolution, as in the papers: its 3x3 smooths the corners.
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(coarse, fine, 3, padding=1)
        )
    return nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))


class NoiseEmbedding(nn.Module):
    """Sinusoids of the noise coordinate, then a small MLP (Ho et al. 2020, appendix B)."""

    waves: Tensor

    def __init__(
        self, width: int, activation: str = "silu", frequencies: int = 32, factor: int = 1
    ):
        super().__init__()
        # log(sigma)/4 spans about -1.6 to 1.3: half a turn of the slowest wave, 27 of the fastest.
        waves = torch.logspace(math.log10(0.5), math.log10(64), frequencies)
        self.register_buffer("waves", waves, persistent=False)
        bend = nn.GELU() if activation == "gelu" else nn.SiLU()
        hidden = factor * width
        self.mlp = nn.Sequential(nn.Linear(2 * frequencies, hidden), bend, nn.Linear(hidden, width))

    def forward(self, coordinate: Tensor) -> Tensor:  # [B]
        angle = coordinate[:, None] * self.waves  # [B, frequencies]
        out: Tensor = self.mlp(torch.cat([angle.sin(), angle.cos()], dim=1))  # [B, width]
        return out


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; noise level and caption enter between them."""

    def __init__(
        self,
        inside: int,
        outside: int,
        embedding: int,
        *,
        condition: str,
        dropout: float,
        standardised: bool = False,
    ):
        super().__init__()
        conv = StandardisedConv2d if standardised else nn.Conv2d
        self.film = condition == "film"
        self.norm1 = group_norm(inside)
        self.conv1 = conv(inside, outside, 3, padding=1)
        self.cond_proj = zeroed(nn.Linear(embedding, 2 * outside if self.film else outside))
        self.norm2 = group_norm(outside, affine=not self.film)
        self.dropout = Dropout(dropout)
        self.conv2 = silenced(conv(outside, outside, 3, padding=1))
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # [B, in, H, W], [B, E]
        h = self.conv1(F.silu(self.norm1(x)))  # [B, out, H, W]
        projected = self.cond_proj(embedding)  # [B, out or 2 out]
        if self.film:
            scale, shift = projected.chunk(2, dim=1)  # [B, out] each
            h = self.norm2(h, 1 + scale, shift)  # [B, out, H, W]
        else:
            h = self.norm2(h + projected[:, :, None, None])  # [B, out, H, W]
        out: Tensor = self.skip(x) + self.conv2(self.dropout(F.silu(h)))  # [B, out, H, W]
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention over [B, heads, L, d]; `mask` [B, 1, 1, keys] is True at tokens.

    On the CPU the plain product: at the short sequences of small pictures it trains several times
    faster than the fused kernel there.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # [B, heads, queries, keys]
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    seen: Tensor = scores.softmax(dim=-1) @ v
    return seen


def split_heads(x: Tensor, parts: int, heads: int) -> list[Tensor]:
    """[B, L, parts * C] -> parts of [B, heads, L, C / heads]."""
    batch, length, _ = x.shape
    return list(x.view(batch, length, parts, heads, -1).permute(2, 0, 3, 1, 4))


def join_heads(x: Tensor) -> Tensor:
    """[B, heads, L, C / heads] -> [B, L, C]."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention among positions."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.heads = channels // min(channels, head_width)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, tokens: Tensor, turn: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Of tokens [B, L, C]; `turn` rotates queries and keys [B, heads, L, d] by position."""
        q, k, v = split_heads(self.qkv(tokens), 3, self.heads)  # [B, heads, L, C / heads] each
        if turn is not None:
            q, k = turn(q), turn(k)
        out: Tensor = self.out(join_heads(attend(q, k, v)))  # [B, L, C]
        return out


class CrossAttention(CaptionAttention):
    """Attention of positions to the caption's tokens."""

    def __init__(self, channels: int, head_width: int, token_width: int):
        super().__init__()
        self.heads = channels // min(channels, head_width)
        self.norm = nn.LayerNorm(channels)
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(token_width, 2 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, tokens: Tensor, cond: Cond, size: tuple[int, int]) -> Tensor:
        """Of tokens [B, H W, C] that lie in rows of a picture of this (H, W)."""
        mask = cond.mask[:, None, None, :]  # [B, 1, 1, L]
        (q,) = split_heads(self.q(self.norm(tokens)), 1, self.heads)
        k, v = split_heads(self.kv(cond.tokens), 2, self.heads)  # [B, heads, L, C / heads]
        if self.watcher is not None:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # [B, heads, HW, L]
            weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
            self.watcher(weights.mean(1), size)
        out: Tensor = self.out(join_heads(attend(q, k, v, mask)))  # [B, HW, C]
        return out


class AttentionBlock(nn.Module):
    """Self-attention over positions and, optionally, cross-attention to the caption's tokens.

    With a feed-forward part it is a whole transformer block.
    """

    def __init__(self, channels: int, head_width: int, token_width: int = 0, feedforward: int = 0):
        super().__init__()
        self.norm = group_norm(channels)
        self.attention = SelfAttention(channels, head_width)
        self.cross = CrossAttention(channels, head_width, token_width) if token_width else None
        self.feedforward = None
        if feedforward:
            self.feedforward = nn.Sequential(
                nn.LayerNorm(channels),
                nn.Linear(channels, feedforward * channels),
                nn.GELU(),
                zeroed(nn.Linear(feedforward * channels, channels)),
            )

    def forward(self, x: Tensor, cond: Cond) -> Tensor:  # [B, C, H, W]
        height, width = x.shape[-2:]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]
        h = self.attention(tokens)  # [B, HW, C]
        if self.cross is not None:
            h = h + self.cross(tokens + h, cond, (height, width))  # [B, HW, C]
        if self.feedforward is not None:
            h = h + self.feedforward(tokens + h)  # [B, HW, C]
        out: Tensor = x + h.transpose(1, 2).unflatten(2, (height, width))
        return out  # [B, C, H, W]
