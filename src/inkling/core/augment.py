"""Augmentation for classifiers and CLIPs: small rotations, scalings and shifts of images."""

import torch
import torch.nn.functional as F
from torch import Tensor

_ANGLE, _SCALE, _SHIFT = 0.2, 0.1, 0.14


def jitter_draws(count: int, generator: torch.Generator) -> Tensor:
    """Augmentation parameters of `count` images: [4, count] uniform in [-1, 1], on the CPU."""
    return torch.rand(4, count, generator=generator) * 2 - 1


def jittered(x: Tensor, draws: Tensor, padding: str = "border") -> Tensor:
    """Images [B, C, H, W], each rotated, scaled and shifted by its own parameters.

    A parameter of 1 means a rotation by 0.2 rad, a scaling by 10 %, a shift by 14 % of half the
    side.

    Args:
        x: images [B, C, H, W].
        draws: [4, B] in [-1, 1]: rotation, scale, horizontal and vertical shift.
        padding: "border" or "zeros": the pixels beyond the edge of the image.
    """
    rotation, size, shift_x, shift_y = draws
    angle, scale = _ANGLE * rotation, 1 + _SCALE * size
    rows = [
        torch.stack([scale * angle.cos(), -scale * angle.sin(), _SHIFT * shift_x], 1),
        torch.stack([scale * angle.sin(), scale * angle.cos(), _SHIFT * shift_y], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)
