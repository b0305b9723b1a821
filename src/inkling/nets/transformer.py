"""A transformer over patches (DiT, Peebles & Xie 2023): noise level and caption set every norm.

The raw network `F(x, coordinate, cond)` for grey or colour pictures or latents of any size.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.nets.blocks import CrossAttention, NoiseEmbedding, SelfAttention, zeroed
from inkling.nets.configs import TransformerConfig
from inkling.nets.dropout import Dropout
from inkling.nets.network import Network, Unit, matrices

_LONGEST = 100.0
"""Positions after which the slowest rotation has turned about once."""


def rotations(height: int, width: int, head_width: int, device: torch.device) -> Tensor:
    """Angles by which each pair of channels turns, [H W, head_width / 2].

    Half of the pairs turn with the row, half with the column (Su et al. 2021, eq. 15, for each
    axis).
    """
    count = head_width // 4
    speeds = _LONGEST ** (-torch.arange(count, device=device) / count)  # [count]
    rows, columns = (torch.arange(n, device=device)[:, None] * speeds for n in (height, width))
    both = torch.cat(
        [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=2
    )
    return both.flatten(0, 1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring channels of [B, heads, L, d] by angles [L, d / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]  # [B, heads, L, d / 2] each
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(3)


class Block(Unit):
    """Self-attention, optional cross-attention, an MLP; each gated by the embedding."""

    def __init__(self, config: TransformerConfig, token_width: int):
        super().__init__()
        width = config.width
        self.modulation = zeroed(nn.Linear(config.embedding, 6 * width))
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = SelfAttention(width, config.head_width)
        self.cross = CrossAttention(width, config.head_width, token_width) if token_width else None
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.feedforward * width),
            nn.GELU(approximate="tanh"),
            Dropout(config.dropout),
            nn.Linear(config.feedforward * width, width),
        )
        # The gates are zero at first, so this projection may start like any other.
        nn.init.xavier_uniform_(self.attention.out.weight)

    def forward(
        self, x: Tensor, embedding: Tensor, cond: Cond, size: tuple[int, int], angles: Tensor | None
    ) -> Tensor:  # [B, L, D], [B, E]
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(embedding)[:, None].chunk(
            6, dim=2
        )  # [B, 1, D] each
        turn = None if angles is None else (lambda q: rotate(q, angles))
        h = torch.addcmul(shift1, self.norm1(x), 1 + scale1)  # [B, L, D]
        x = torch.addcmul(x, gate1, self.attention(h, turn))  # [B, L, D]
        if self.cross is not None:
            x = x + self.cross(x, cond, size)  # [B, L, D]
        h = torch.addcmul(shift2, self.norm2(x), 1 + scale2)  # [B, L, D]
        return torch.addcmul(x, gate2, self.mlp(h))  # [B, L, D]


class Transformer(Network):
    """Patches in, patches out; sizes that the patch does not divide are padded inside.

    Args:
        channels: of the pictures or latents.
        cond_width: D of the condition.
        config: everything else.
    """

    def __init__(
        self, channels: int, cond_width: int, config: TransformerConfig = TransformerConfig()
    ):
        super().__init__()
        self.patch, self.head_width = config.patch, config.head_width
        width, values = config.width, channels * config.patch**2
        self.noise = NoiseEmbedding(config.embedding)
        self.caption = nn.Linear(cond_width, config.embedding)
        self.stem = nn.Linear(values, width)
        self.position_embedding = None
        if config.positions == "learned":
            self.position_embedding = nn.Parameter(
                0.02 * torch.randn(1, width, config.side, config.side)
            )
        token_width = cond_width if config.cross_attention else 0
        self.blocks = nn.ModuleList(Block(config, token_width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(nn.Linear(config.embedding, 2 * width))
        self.head = zeroed(nn.Linear(width, values))

    def units(self) -> list[Unit]:
        return cast("list[Unit]", [*self.blocks])

    def hidden_matrices(self) -> list[nn.Parameter]:
        tables = [] if self.position_embedding is None else [self.position_embedding]
        return matrices(self, without=[self.stem, self.head, self.noise.mlp[0], *tables])

    def caption_attention(self) -> list[CrossAttention]:
        blocks = cast("list[Block]", self.units())
        return [block.cross for block in blocks if block.cross is not None]

    def caption_weights(self) -> list[nn.Parameter]:
        readers = [self.caption, *(cross.kv for cross in self.caption_attention())]
        return [weight for reader in readers for weight in matrices(reader)]

    def _positions(self, size: tuple[int, int]) -> Tensor:
        """The position vectors stretched to a grid of (H, W) patches, [1, H W, D]."""
        assert self.position_embedding is not None, "rotary positions have no vectors"
        table: Tensor = self.position_embedding
        if table.shape[-2:] != size:
            table = F.interpolate(table, size, mode="bilinear", align_corners=False)
        return table.flatten(2).transpose(1, 2)

    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.patch, 0, -height % self.patch))  # H, W: whole patches
        patches = F.pixel_unshuffle(x, self.patch)  # [B, C p p, h, w]
        size = (patches.shape[2], patches.shape[3])
        embedding = F.silu(self.noise(coordinate) + self.caption(cond.vector))  # [B, E]
        tokens = self.stem(patches.flatten(2).transpose(1, 2))  # [B, h w, D]
        angles = None
        if self.position_embedding is None:
            angles = rotations(*size, self.head_width, x.device)  # [h w, d / 2]
        else:
            tokens = tokens + self._positions(size)  # [B, h w, D]

        for block in self.units():
            tokens = block.run(block, tokens, embedding, cond, size, angles)  # [B, h w, D]

        shift, scale = self.modulation(embedding)[:, None].chunk(2, dim=2)  # [B, 1, D] each
        out = self.head(torch.addcmul(shift, self.norm(tokens), 1 + scale))  # [B, h w, C p p]
        out = out.transpose(1, 2).unflatten(2, size)  # [B, C p p, h, w]
        return F.pixel_shuffle(out, self.patch)[..., :height, :width]  # [B, C, H, W]
