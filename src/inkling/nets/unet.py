"""The U-Net: residual blocks on a few levels, optional attention, one embedding for all.

The raw network `F(x, coordinate, cond)` and nothing more: it knows neither what it predicts nor
which schedule trained it.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import cast

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
    group_norm,
    upsample,
    zeroed,
)
from inkling.nets.configs import UNetConfig
from inkling.nets.network import Network, Unit, matrices


class Level(Unit):
    """Residual blocks of one width, each followed by attention where the level has it."""

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        config: UNetConfig,
        token_width: int,
        *,
        attention: bool,
    ):
        super().__init__()
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
            for _, b in widths
            if attention
        )

    def forward(
        self, x: Tensor, embedding: Tensor, cond: Cond, skips: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """What went in and what came out of each block; each takes the last of `skips` too."""
        states, waiting = [x], list(skips)
        for index in range(len(self.blocks)):
            if waiting:
                x = torch.cat([x, waiting.pop()], dim=1)  # [B, 2 width, h, w]
            x = self.run(self._one, index, x, embedding, cond)  # [B, width, h, w]
            states.append(x)
        return states

    def _one(self, index: int, x: Tensor, embedding: Tensor, cond: Cond) -> Tensor:
        x = self.blocks[index](x, embedding)  # [B, width, h, w]
        if self.attention:
            x = self.attention[index](x, cond)  # [B, width, h, w]
        return x


class UNet(Network):
    """Noise in, prediction out, at any picture size; sizes that do not divide are padded inside.

    Args:
        channels: of the pictures or latents.
        cond_width: D of the condition.
        config: everything else.
    """

    def __init__(self, channels: int, cond_width: int, config: UNetConfig = UNetConfig()):
        super().__init__()
        widths = config.widths
        blocks, attention = config.blocks_by_level(), config.attention_by_level()
        embedding, positions, template = config.embedding, config.positions, config.template
        self.patch = config.patch
        self.stride = self.patch * 2 ** (len(widths) - 1)
        token_width = cond_width if config.cross_attention else 0
        level = partial(Level, config=config, token_width=token_width)
        self.noise = NoiseEmbedding(embedding, config.activation)
        self.caption = nn.Linear(cond_width, embedding)
        self.stem = nn.Conv2d(channels * self.patch**2, widths[0], 3, padding=1)
        self.maps = nn.ParameterList(
            nn.Parameter(torch.zeros(1, width, positions >> i, positions >> i))
            for i, width in enumerate(widths)
            if positions >> i
        )
        # Convolutions hardly know where they are, and scale and shift are equal everywhere: at high
        # noise, where the layout is decided, a map made from the caption acts on positions.
        self.side = max(positions >> (len(widths) - 1), 4)
        self.template = nn.Linear(embedding, template * self.side**2) if template else None
        self.spread = nn.ModuleList(nn.Conv2d(template, width, 1) for width in widths if template)

        self.down = nn.ModuleList(
            level([(width, width)] * count, attention=attends)
            for width, count, attends in zip(widths, blocks, attention, strict=True)
        )
        self.downsample = nn.ModuleList(
            downsample(config.down, fine, coarse) for fine, coarse in pairwise(widths)
        )
        last, middle = widths[-1], config.middle
        attends = middle > 0 and config.middle_attention
        self.middle = level([(last, last)] * min(middle, 1), attention=attends)
        self.after_middle = level([(last, last)] * max(middle - 1, 0), attention=False)
        self.concat = config.skips == "concat"
        self.up = nn.ModuleList(
            level([(2 * width if self.concat else width, width)] * count, attention=attends)
            for width, count, attends in zip(widths, blocks, attention, strict=True)
        )
        self.join = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1) for width in widths if not self.concat
        )
        self.upsample = nn.ModuleList(
            upsample(config.up, coarse, fine) for fine, coarse in pairwise(widths)
        )
        self.norm = group_norm(widths[0])
        self.head = zeroed(nn.Conv2d(widths[0], channels * self.patch**2, 3, padding=1))

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
                )  # [B, widths[i], h / 2, w / 2]
            _, *made = down(h, embedding, cond)  # [B, widths[i], h, w] each
            skips.append(made)
            h = made[-1]

        *_, h = self.middle(h, embedding, cond)  # [B, widths[-1], h, w]
        *_, h = self.after_middle(h, embedding, cond)  # [B, widths[-1], h, w]

        for i in reversed(range(len(self.up))):
            if self.concat:
                *_, h = self.up[i](h, embedding, cond, skips[i])  # [B, widths[i], h, w]
            else:
                h = self.join[i](torch.cat([h, skips[i][-1]], dim=1))  # [B, widths[i], h, w]
                *_, h = self.up[i](h, embedding, cond)  # [B, widths[i], h, w]
            if i:
                h = self.upsample[i - 1](h)  # [B, widths[i - 1], 2h, 2w]

        out = self.head(F.silu(self.norm(h)))  # [B, channels * patch^2, H / patch, W / patch]
        return F.pixel_shuffle(out, self.patch)[..., :height, :width]  # [B, channels, H, W]
