"""Small turns, scalings and shifts of pictures, so that a reader of them learns what matters."""

import torch
import torch.nn.functional as F
from torch import Tensor


def jittered(
    x: Tensor,
    generator: torch.Generator,
    *,
    angle: float = 0.2,
    scale: float = 0.1,
    shift: float = 0.14,
    padding: str = "border",
) -> Tensor:
    """[B, C, H, W], each picture moved by its own uniform draw.

    Args:
        x: pictures.
        generator: of the draws, on the CPU.
        angle: radians at most.
        scale: share at most by which it grows or shrinks.
        shift: share of half the side at most, each way.
        padding: "border" or "zeros", what comes in from outside.
    """
    turn, size, right, down = torch.rand(4, len(x), generator=generator) * 2 - 1
    turn, size = angle * turn, 1 + scale * size
    rows = [
        torch.stack([size * turn.cos(), -size * turn.sin(), shift * right], 1),
        torch.stack([size * turn.sin(), size * turn.cos(), shift * down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)
