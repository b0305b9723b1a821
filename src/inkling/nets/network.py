"""What every denoising network is: `F(x, coordinate, cond)`, and what it declares of itself.

Optimisers, sharding, recomputation and figures ask the network; nobody looks for modules or
parameters by their names or classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inkling.contracts import Cond
from inkling.nets.dropout import with_same_masks

Watcher = Callable[[Tensor, tuple[int, int]], None]
"""Receives attention weights [B, H W, L] of positions over tokens, and (H, W)."""


class CaptionAttention(nn.Module):
    """Base of modules in which picture positions attend to the caption's tokens."""

    watcher: Watcher | None = None
    """Called with the attention weights of every forward pass, if set."""


class Unit(nn.Module):
    """A part of a network that is sharded, and whose activations are recomputed, as a whole."""

    recompute = False
    """Keep no activations for the backward pass: less memory, a third more time."""

    def run(self, part: Callable[..., Any], *arguments: Any) -> Any:
        """`part(*arguments)`, with activations recomputed in the backward pass if `recompute`."""
        if self.recompute and self.training:
            return checkpoint(with_same_masks(part), *arguments, use_reentrant=False)
        return part(*arguments)


class Network(nn.Module, ABC):
    """The raw network of a denoiser. Only `forward` must be written; the rest has defaults."""

    @abstractmethod
    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:
        """The raw prediction `F`.

        Args:
            x: scaled noisy images [B, C, H, W].
            coordinate: noise coordinate [B], `log(sigma)/4`.
            cond: the condition, batch B.

        Returns:
            [B, C, H, W].
        """

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Matrices and filters of hidden layers, which Muon may train; first and last layers,
        embeddings and vectors are not among them.
        """
        return []

    def units(self) -> Sequence[Unit]:
        """The parts that are sharded, and recomputed, one at a time."""
        return []

    def caption_attention(self) -> Sequence[CaptionAttention]:
        """The modules that attend to the caption's tokens."""
        return []

    def caption_weights(self) -> list[nn.Parameter]:
        """The weights that read the condition; their gradient shows whether it is used."""
        return []


def matrices(
    module: nn.Module, without: Iterable[nn.Module | nn.Parameter] = ()
) -> list[nn.Parameter]:
    """The parameters of a module with two axes or more, in order, without those of some parts."""
    left_out = {
        id(parameter)
        for part in without
        for parameter in ([part] if isinstance(part, nn.Parameter) else part.parameters())
    }
    return [p for p in module.parameters() if p.ndim >= 2 and id(p) not in left_out]
