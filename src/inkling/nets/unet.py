"""The U-Net: residual blocks on a few levels, optional attention, one embedding for all.

The raw network `F(x, coordinate, cond)` and nothing more: it knows neither what it predicts nor
which schedule trained it.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.nets.blocks import (
    AttentionBlock,
    CrossAttention,
    NoiseEmbedding,
    ResidualBlock,
    downsample,
    upsample,
    zeroed,
)
from inkling.nets.configs import UNetConfig
from inkling.nets.network import Network, Unit, matrices
from inkling.nets.norm import group_norm


class Level(Unit):
    """Residual blocks, each or only the last followed by attention where the level has it.

    Args:
        widths: channels into and out of each block.
        config: of the network.
        token_width: of the caption's tokens, where attention reads them; else 0.
        attention: whether the level has it.
    """

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        config: UNetConfig,
        token_width: int,
        *,
        attention: bool,
    ):
        super().__init__()
        self.unattended = max(len(widths) - 1, 0) if config.attention_after == "last" else 0
        self.blocks = nn.ModuleList(
            ResidualBlock(
                a,
                b,
                config.embedding,
                condition=config.condition,
                dropout=config.dropout,
                standardised=config.standardised,
            )
            for a, b in widths
        )
        self.attention = nn.ModuleList(
            AttentionBlock(b, config.head_width, token_width, config.feedforward)
            for _, b in widths[self.unattended :]
            if attention
        )

    def forward(
        self, x: Tensor, embedding: Tensor, cond: Cond, skips: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """What went in and what came out of each block; each takes the last of `skips` too, as long
        as there are some.
        """
        states, waiting = [x], list(skips)
        for index in range(len(self.blocks)):
            if waiting:
                x = torch.cat([x, waiting.pop()], dim=1)  # [B, in, h, w]
            x = self.run(self._one, index, x, embedding, cond)  # [B, width, h, w]
            states.append(x)
        return states

    def _one(self, index: int, x: Tensor, embedding: Tensor, cond: Cond) -> Tensor:
        x = self.blocks[index](x, embedding)  # [B, width, h, w]
        if self.attention and index >= self.unattended:
            x = self.attention[index - self.unattended](x, cond)  # [B, width, h, w]
        return x


class Way(NamedTuple):
    """The channels of one way through the levels, finest first."""

    inside: tuple[int, ...]
    """That reach each level from the one before."""
    outside: tuple[int, ...]
    """That each level has."""


def ways(config: UNetConfig) -> tuple[Way, Way]:
    """The channels of the ways down and up."""
    down, up = config.widths, config.up_widths_by_level()
    in_block = config.width_change == "block"
    into = (down[0], *down[:-1]) if in_block else down
    below = (*up[1:], down[-1])
    resampled = below if in_block or config.up.startswith("plain") else up
    coarsest = resampled[-1] if config.downsample_last else down[-1]
    return Way(into, down), Way((*resampled[:-1], coarsest), up)


def block_widths(inside: int, outside: int, blocks: int, skip: int = 0) -> list[tuple[int, int]]:
    """Channels into and out of each block of a level; all after the first also get a skip."""
    return [(inside, outside), *[(outside + skip, outside)] * (blocks - 1)]


class UNet(Network):
    """Noise in, prediction out, at any picture size; sizes that do not divide are padded inside.

    Args:
        channels: of the pictures or latents.
        cond_width: D of the condition.
        config: everything else.
    """

    def __init__(self, channels: int, cond_width: int, config: UNetConfig = UNetConfig()):
        super().__init__()
        down, up = ways(config)
        widths, last = down.outside, down.outside[-1]
        blocks, middle = config.blocks_by_level(), config.middle
        embedding, positions, template = config.embedding, config.positions, config.template
        self.patch = config.patch
        halvings = len(widths) - 1 + config.downsample_last
        self.stride = self.patch * 2**halvings
        token_width = cond_width if config.cross_attention else 0
        level = partial(Level, config=config, token_width=token_width)
        self.noise = NoiseEmbedding(
            embedding, config.activation, config.frequencies, config.embedding_factor
        )
        self.caption = nn.Linear(cond_width, embedding)
        self.stem = nn.Conv2d(channels * self.patch**2, widths[0], 3, padding=1)
        self.maps = nn.ParameterList(
            nn.Parameter(torch.zeros(1, width, positions >> i, positions >> i))
            for i, width in enumerate(down.inside)
            if positions >> i
        )
        # Convolutions hardly know where they are, and scale and shift are equal everywhere: at high
        # noise, where the layout is decided, a map made from the caption acts on positions.
        self.side = max(positions >> (len(widths) - 1), 4)
        self.template = nn.Linear(embedding, template * self.side**2) if template else None
        self.spread = nn.ModuleList(
            nn.Conv2d(template, width, 1) for width in down.inside if template
        )

        self.down = nn.ModuleList(
            level(block_widths(inside, width, count), attention=attends)
            for inside, width, count, attends in zip(
                *down, blocks, config.attention_by_level(), strict=True
            )
        )
        coarser = (*down.inside[1:], last)
        self.downsample = nn.ModuleList(
            downsample(config.down, widths[i], coarser[i]) for i in range(halvings)
        )
        attends = middle > 0 and config.middle_attention
        self.middle = level([(last, last)] * min(middle, 1), attention=attends)
        self.after_middle = level([(last, last)] * max(middle - 1, 0), attention=False)
        self.skips = config.skips
        self.up = nn.ModuleList(
            level(self._up_blocks(inside, width, skip, count), attention=attends)
            for inside, width, skip, count, attends in zip(
                *up, widths, blocks, config.up_attention_by_level(), strict=True
            )
        )
        self.join = nn.ModuleList(
            nn.Conv2d(inside + skip, width, 1)
            for inside, width, skip in zip(*up, widths, strict=True)
            if self.skips == "join"
        )
        below = (*up.outside[1:], last)
        self.upsample = nn.ModuleList(
            upsample(config.up, below[i], up.inside[i]) for i in range(halvings)
        )
        self.norm = group_norm(up.outside[0])
        self.head = zeroed(nn.Conv2d(up.outside[0], channels * self.patch**2, 3, padding=1))

    def _up_blocks(
        self, inside: int, outside: int, skip: int, blocks: int
    ) -> list[tuple[int, int]]:
        """Channels into and out of each block of a level on the way up, skips included."""
        if self.skips == "join":
            return block_widths(outside, outside, blocks)
        return block_widths(inside + skip, outside, blocks, skip if self.skips == "concat" else 0)

    def units(self) -> list[Unit]:
        return [*self.down, self.middle, self.after_middle, *self.up]

    def hidden_matrices(self) -> list[nn.Parameter]:
        embeddings = [self.noise.mlp[0], self.maps, *([self.template] if self.template else [])]
        return matrices(self, without=[self.stem, self.head, *embeddings])

    def caption_attention(self) -> list[CrossAttention]:
        levels = cast("list[Level]", self.units())
        blocks = [cast("AttentionBlock", block) for level in levels for block in level.attention]
        return [block.cross for block in blocks if block.cross is not None]

    def caption_weights(self) -> list[nn.Parameter]:
        readers = [self.caption, *(cross.kv for cross in self.caption_attention())]
        return [weight for reader in readers for weight in matrices(reader)]

    def _add_maps(self, x: Tensor, level: int, template: Tensor | None) -> Tensor:
        """Add the level's position map and the template, both stretched to the picture."""
        size = x.shape[-2:]
        if level < len(self.maps):
            maps: Tensor = self.maps[level]  # [1, width, side, side]
            if maps.shape[-2:] != size:
                maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
            x = x + maps  # [B, width, h, w]
        if template is not None:
            spread = self.spread[level](template)  # [B, width, side, side]
            x = x + F.interpolate(spread, size, mode="nearest")  # [B, width, h, w]
        return x

    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))  # H, W: whole strides
        x = x.contiguous(memory_format=torch.channels_last)
        embedding = F.silu(self.noise(coordinate) + self.caption(cond.vector))  # [B, E]

        template = None
        if self.template is not None:
            values = self.template(embedding)  # [B, K side side]
            template = values.view(len(x), -1, self.side, self.side)  # [B, K, side, side]

        h = self.stem(F.pixel_unshuffle(x, self.patch))  # [B, widths[0], h, w]
        h = self._add_maps(h, 0, template)  # [B, widths[0], h, w]
        skips: list[list[Tensor]] = []
        for i, down in enumerate(self.down):
            if i:
                h = self._add_maps(
                    self.downsample[i - 1](h), i, template
                )  # [B, down.inside[i], h / 2, w / 2]
            _, *made = down(h, embedding, cond)  # [B, widths[i], h, w] each
            skips.append(made if self.skips == "concat" else made[-1:])
            h = made[-1]
        if len(self.downsample) == len(self.down):
            h = self.downsample[-1](h)  # [B, widths[-1], h / 2, w / 2]

        *_, h = self.middle(h, embedding, cond)  # [B, widths[-1], h, w]
        *_, h = self.after_middle(h, embedding, cond)  # [B, widths[-1], h, w]

        for i in reversed(range(len(self.up))):
            if i < len(self.upsample):
                h = self.upsample[i](h)  # [B, up.inside[i], 2h, 2w]
            taken = skips[i]
            if self.skips == "join":
                h = self.join[i](torch.cat([h, *taken], dim=1))  # [B, up widths[i], h, w]
                taken = []
            *_, h = self.up[i](h, embedding, cond, taken)  # [B, up widths[i], h, w]

        out = self.head(F.silu(self.norm(h)))  # [B, channels * patch^2, H / patch, W / patch]
        return F.pixel_shuffle(out, self.patch)[..., :height, :width]  # [B, channels, H, W]
