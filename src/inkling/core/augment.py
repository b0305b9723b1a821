"""Small turns, scalings and shifts of pictures, so that a reader of them learns what matters."""

import torch
import torch.nn.functional as F
from torch import Tensor

_ANGLE, _SCALE, _SHIFT = 0.2, 0.1, 0.14


def jitter_draws(count: int, generator: torch.Generator) -> Tensor:
    """How each of `count` pictures is moved: [4, count] uniform in [-1, 1], on the CPU."""
    return torch.rand(4, count, generator=generator) * 2 - 1


def jittered(x: Tensor, draws: Tensor, padding: str = "border") -> Tensor:
    """[B, C, H, W], each picture turned, scaled and shifted by its own draw.

    At 1 by 0.2 rad, 10 % of the size and 14 % of half the side.

    Args:
        x: pictures.
        draws: [4, B] in [-1, 1].
        padding: "border" or "zeros", what comes in from outside.
    """
    turn, size, right, down = draws
    turn, size = _ANGLE * turn, 1 + _SCALE * size
    rows = [
        torch.stack([size * turn.cos(), -size * turn.sin(), _SHIFT * right], 1),
        torch.stack([size * turn.sin(), size * turn.cos(), _SHIFT * down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)
