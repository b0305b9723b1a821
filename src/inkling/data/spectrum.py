"""What pictures are like as a whole: flat or textured, and how their variance is spread."""

import torch
from torch import Tensor

from inkling.data.pictures import Pictures

MEASURED = 1500
"""Pictures that are measured, evenly spread over a set: twice as many move the levels of noise
that follow by 2 %."""
_FLAT = 0.2
"""Between the 0.04 of photographs (COCO at 128x128; CIFAR-10: 0.02) and the 0.38 of drawings
(8x8 digits; Quick, Draw! 0.69, MNIST 0.81, shapes at 32x32 0.90)."""


def some(pictures: Pictures) -> Tensor:
    """Up to `MEASURED` images, evenly spread over the set: uint8 [M, C, H, W]."""
    return pictures.at(torch.arange(0, len(pictures), -(-len(pictures) // MEASURED)))


def flat_share(images: Tensor) -> float:
    """The share of neighbouring pixels that are exactly equal, 0 to 1.

    Args:
        images: uint8 [N, C, H, W].
    """
    beside = (images[..., 1:] == images[..., :-1]).all(1).float().mean()
    below = (images[..., 1:, :] == images[..., :-1, :]).all(1).float().mean()
    return ((beside + below) / 2).item()


def are_drawings(images: Tensor) -> bool:
    """Whether these are drawings, with flat areas, rather than photographs; as `flat_share`."""
    return flat_share(images) > _FLAT


def principal_deviations(x: Tensor) -> Tensor:
    """The standard deviations of data along their principal axes, falling: [min(N, D)] float64.

    Args:
        x: float [N, ...] of D numbers each.
    """
    rows = x.flatten(1).double()
    rows = rows - rows.mean(0)
    small = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    variances: Tensor = torch.linalg.eigvalsh(small).flip(0).clamp(min=0) / len(rows)
    return variances.sqrt()


def deviation_at(deviations: Tensor, share: float) -> float:
    """The deviation of the axis at which the larger ones hold this share of the variance.

    Args:
        deviations: falling, as of `principal_deviations`.
        share: in (0, 1).
    """
    reached = deviations.square().cumsum(0) / deviations.square().sum()
    return deviations[(reached < share).sum()].item()
