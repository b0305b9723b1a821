"""The small tuples that cross folders: what a condition, a batch and a solver step are made of.

They only hold, and pad. A folder may import these and no other folder of its own layer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""A denoiser with its condition already bound: `(x [B, C, H, W], sigma []) -> x0 [B, C, H, W]`."""


class Cond(NamedTuple):
    """A condition: what the network reads of a caption."""

    vector: Tensor
    """[B, D] float: the pooled caption; modulates every block."""
    tokens: Tensor
    """[B, L, D] float: the tokens; read by cross-attention. L may be 0."""
    mask: Tensor
    """[B, L] bool: True where there is a token, False on padding."""

    @staticmethod
    def pooled(vector: Tensor) -> "Cond":
        """A condition [B, D] without tokens: L is 0."""
        batch, width = vector.shape
        return Cond(
            vector,
            vector.new_zeros(batch, 0, width),
            torch.zeros(batch, 0, dtype=torch.bool, device=vector.device),
        )

    def padded(self, length: int) -> "Cond":
        """The same condition with its tokens padded to `length`, at least L."""
        more = length - self.tokens.shape[1]
        return Cond(self.vector, F.pad(self.tokens, (0, 0, 0, more)), F.pad(self.mask, (0, more)))

    @staticmethod
    def joined(conds: Sequence["Cond"]) -> "Cond":
        """One batch from several, tokens padded to the longest."""
        longest = max(cond.tokens.shape[1] for cond in conds)
        parts = zip(*(cond.padded(longest) for cond in conds), strict=True)
        return Cond(*(torch.cat(part) for part in parts))

    @staticmethod
    def mixed(conds: Sequence["Cond"], weights: Sequence[float]) -> "Cond":
        """The weighted sum of conditions of one batch size, tokens summed position by position.

        A position is masked only where none of them has a token.
        """
        longest = max(cond.tokens.shape[1] for cond in conds)
        padded = [cond.padded(longest) for cond in conds]
        pairs = list(zip(padded, weights, strict=True))
        return Cond(
            torch.stack([weight * cond.vector for cond, weight in pairs]).sum(0),
            torch.stack([weight * cond.tokens for cond, weight in pairs]).sum(0),
            torch.stack([cond.mask for cond in padded]).any(0),
        )

    def take(self, index: Tensor) -> "Cond":
        """The conditions at these rows [M] int64."""
        return Cond(*(part[index] for part in self))


class Batch(NamedTuple):
    """One training batch as it leaves the data room."""

    images: Tensor
    """[B, C, H, W] uint8, on the training device."""
    captions: Tensor
    """[B] int64: row in `Pictures.sentences`; row 0 is the empty caption. On the CPU."""
    labels: Tensor
    """[B] int64: class index, or -1 where the data set has no classes. On the CPU."""


class Step(NamedTuple):
    """One solver step: what a sampler yields."""

    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody calls on a step
    """0 for the first step."""
    sigma: Tensor
    """[] noise level after the step."""
    x: Tensor
    """[B, C, H, W] noisy image after the step, `x0 + sigma * noise`."""
    x0: Tensor
    """[B, C, H, W] the estimate of the clean image that the step moved along."""
