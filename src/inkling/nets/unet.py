"""The U-Net: residual blocks on a few levels, attention where asked, one embedding for all.

The raw network `F(x, coordinate, cond)` and nothing more: it knows neither what it predicts nor
which schedule trained it.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inkling.contracts import Cond
from inkling.nets.blocks import (
    AttentionBlock,
    NoiseEmbedding,
    ResidualBlock,
    group_norm,
    growing,
    shrinking,
    zeroed,
)


class Level(nn.Module):
    """Residual blocks of one width, each followed by attention where the level has it."""

    recompute = False
    """Keep no activations of the blocks for the backward pass: less memory, a third more time."""

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        *,
        attention: bool,
        embedding: int,
        head_width: int,
        token_width: int,
        condition: str,
        dropout: float,
        standardised: bool,
        feedforward: int,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(
                a, b, embedding, condition=condition, dropout=dropout, standardised=standardised
            )
            for a, b in widths
        )
        self.attention = nn.ModuleList(
            AttentionBlock(b, head_width, token_width, feedforward) for _, b in widths if attention
        )

    def forward(
        self, x: Tensor, embedding: Tensor, cond: Cond, skips: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """What went in and what came out of each block; each takes the last of `skips` too."""
        states, waiting = [x], list(skips)
        for index in range(len(self.blocks)):
            if waiting:
                x = torch.cat([x, waiting.pop()], dim=1)  # [B, 2 width, h, w]
            if self.recompute and self.training:
                x = checkpoint(self._one, index, x, embedding, cond, use_reentrant=False)
            else:
                x = self._one(index, x, embedding, cond)  # [B, width, h, w]
            states.append(x)
        return states

    def _one(self, index: int, x: Tensor, embedding: Tensor, cond: Cond) -> Tensor:
        x = self.blocks[index](x, embedding)  # [B, width, h, w]
        if self.attention:
            x = self.attention[index](x, cond)  # [B, width, h, w]
        return x


class UNet(nn.Module):
    """Noise in, prediction out, at any picture size; sizes that do not divide are padded inside."""

    def __init__(
        self,
        channels: int,  # of the picture
        cond_width: int,  # D of the condition
        *,
        widths: Sequence[int],  # channels of each level, finest first
        blocks: Sequence[int],  # residual blocks of each level, down and again up
        attention: Sequence[bool],  # self-attention on each level
        middle: int = 1,  # residual blocks at the coarsest level
        middle_attention: bool = True,  # attention after the first of these
        head_width: int = 32,  # channels of an attention head
        cross_attention: bool = False,  # attention reads the caption's tokens too
        feedforward: int = 0,  # width of the MLP after each attention in channels, 0 for none
        condition: str = "film",  # "film" scales and shifts, "add" adds
        embedding: int = 256,  # width of the joint embedding
        activation: str = "silu",  # of the MLP of the noise level, or "gelu"
        standardised: bool = False,  # weight-standardised convolutions in residual blocks
        down: str = "shuffle",  # or "conv", "average"
        up: str = "shuffle",  # or "nearest", "bilinear", "transposed"
        skips: str = "join",  # once a level through a 1x1 convolution, or "concat" to every block
        patch: int = 1,  # pixel-unshuffle of the input
        positions: int = 0,  # side of the learned position maps, 0 for none
        template: int = 0,  # channels of a map drawn from the embedding, 0 for none
        dropout: float = 0.0,
    ):
        super().__init__()
        self.patch = patch
        self.stride = patch * 2 ** (len(widths) - 1)
        level = partial(
            Level,
            embedding=embedding,
            head_width=head_width,
            token_width=cond_width if cross_attention else 0,
            condition=condition,
            dropout=dropout,
            standardised=standardised,
            feedforward=feedforward,
        )
        self.noise = NoiseEmbedding(embedding, activation)
        self.caption = nn.Linear(cond_width, embedding)
        self.stem = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        self.maps = nn.ParameterList(
            nn.Parameter(torch.zeros(1, width, positions >> i, positions >> i))
            for i, width in enumerate(widths)
            if positions >> i
        )
        # Convolutions hardly know where they are, and scale and shift say the same everywhere: at
        # high noise, where the layout is decided, a map drawn from the caption says it in place.
        self.side = max(positions >> (len(widths) - 1), 4)
        self.template = nn.Linear(embedding, template * self.side**2) if template else None
        self.spread = nn.ModuleList(nn.Conv2d(template, width, 1) for width in widths if template)

        self.down = nn.ModuleList(
            level([(width, width)] * count, attention=attends)
            for width, count, attends in zip(widths, blocks, attention, strict=True)
        )
        self.shrink = nn.ModuleList(
            shrinking(down, fine, coarse) for fine, coarse in pairwise(widths)
        )
        last = widths[-1]
        attends = middle > 0 and middle_attention
        self.middle = level([(last, last)] * min(middle, 1), attention=attends)
        self.after_middle = level([(last, last)] * max(middle - 1, 0), attention=False)
        self.concat = skips == "concat"
        self.up = nn.ModuleList(
            level([(2 * width if self.concat else width, width)] * count, attention=attends)
            for width, count, attends in zip(widths, blocks, attention, strict=True)
        )
        self.join = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1) for width in widths if not self.concat
        )
        self.grow = nn.ModuleList(growing(up, coarse, fine) for fine, coarse in pairwise(widths))
        self.norm = group_norm(widths[0])
        self.head = zeroed(nn.Conv2d(widths[0], channels * patch**2, 3, padding=1))

    def _place(self, x: Tensor, level: int, template: Tensor | None) -> Tensor:
        """Add the level's position map and the template, both stretched to the picture."""
        size = x.shape[-2:]
        if level < len(self.maps):
            places: Tensor = self.maps[level]  # [1, width, side, side]
            if places.shape[-2:] != size:
                places = F.interpolate(places, size, mode="bilinear", align_corners=False)
            x = x + places  # [B, width, h, w]
        if template is not None:
            drawn = self.spread[level](template)  # [B, width, side, side]
            x = x + F.interpolate(drawn, size, mode="nearest")  # [B, width, h, w]
        return x

    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:
        """The raw prediction.

        Args:
            x: scaled noisy images [B, channels, H, W].
            coordinate: noise coordinate [B], `log(sigma)/4`.
            cond: the condition, batch B.

        Returns:
            [B, channels, H, W].
        """
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))  # H, W: whole strides
        x = x.contiguous(memory_format=torch.channels_last)
        embedding = F.silu(self.noise(coordinate) + self.caption(cond.vector))  # [B, E]

        template = None
        if self.template is not None:
            drawn = self.template(embedding)  # [B, K side side]
            template = drawn.view(len(x), -1, self.side, self.side)  # [B, K, side, side]

        h = self.stem(F.pixel_unshuffle(x, self.patch))  # [B, widths[0], h, w]
        h = self._place(h, 0, template)  # [B, widths[0], h, w]
        skips: list[list[Tensor]] = []
        for i, down in enumerate(self.down):
            if i:
                h = self._place(self.shrink[i - 1](h), i, template)  # [B, widths[i], h / 2, w / 2]
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
                h = self.grow[i - 1](h)  # [B, widths[i - 1], 2h, 2w]

        out = self.head(F.silu(self.norm(h)))  # [B, channels * patch^2, H / patch, W / patch]
        return F.pixel_shuffle(out, self.patch)[..., :height, :width]  # [B, channels, H, W]
