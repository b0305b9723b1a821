"""What pictures are like as a whole: flat or textured, and how their variance is spread."""

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.data.pictures import Pictures

MEASURED = 1500
"""Pictures that are measured, evenly spread over a set: twice as many move the levels of noise
that follow by 2 %."""
_PICTURES, _COARSE = 4, 64
"""Dimensions of a batch of pictures, and the side to which larger ones are averaged."""
_FLAT = 0.1
"""Between the 0.04 of photographs (COCO at 128x128; CIFAR-10: 0.02) and the 0.23 of drawings
(8x8 digits; emoji 0.34, Quick, Draw! 0.49, MNIST 0.53, shapes 0.75)."""


def some(pictures: Pictures) -> Tensor:
    """Up to `MEASURED` images, evenly spread over the set: uint8 [M, C, H, W]."""
    return pictures.at(torch.arange(0, len(pictures), -(-len(pictures) // MEASURED)))


def flat_share(images: Tensor) -> float:
    """The share of neighbouring pixels that are exactly equal, 0 to 1.

    Rows and columns of one colour at the edges are left out: photographs may be padded.

    Args:
        images: uint8 [N, C, H, W].
    """
    inside = _filled(images, -1)[:, :, None] & _filled(images, -2)[:, None, :]  # [N, H, W]
    equal, pairs = 0.0, 0.0
    for dim in (-1, -2):
        size = images.shape[dim] - 1
        same = images.narrow(dim, 0, size) == images.narrow(dim, 1, size)
        counted = inside.narrow(dim, 0, size) & inside.narrow(dim, 1, size)
        equal += (same.all(1) & counted).sum().item()
        pairs += counted.sum().item()
    return equal / pairs if pairs else 1.0


def _filled(images: Tensor, along: int) -> Tensor:
    """Which rows (`along` -1) or columns (-2) lie between the first and the last that is not of one
    colour: bool [N, H] or [N, W].
    """
    uneven = (images != images.narrow(along, 0, 1)).any(along).any(1).int()
    return (uneven.cummax(1).values & uneven.flip(1).cummax(1).values.flip(1)).bool()


def are_drawings(images: Tensor) -> bool:
    """Whether these are drawings, with flat areas, rather than photographs; as `flat_share`."""
    return flat_share(images) > _FLAT


def principal_deviations(x: Tensor) -> Tensor:
    """The standard deviations of data along their principal axes, falling: float64.

    Of pictures larger than 64 pixels those of the coarse structure, as averages show it.

    Args:
        x: float [N, ...], such as pictures [N, C, H, W].
    """
    scale = 1.0
    if x.ndim == _PICTURES and max(x.shape[-2:]) > _COARSE:
        full, height, width = x.shape[-2] * x.shape[-1], *x.shape[-2:]
        by = _COARSE / max(height, width)
        x = F.interpolate(x, (max(1, round(height * by)), max(1, round(width * by))), mode="area")
        scale = (full / (x.shape[-2] * x.shape[-1])) ** 0.5  # an average stands for many pixels
    rows = x.flatten(1).cpu().double()
    rows = rows - rows.mean(0)
    small = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    variances: Tensor = torch.linalg.eigvalsh(small).flip(0).clamp(min=0) / len(rows)
    return scale * variances.sqrt()


def deviation_at(deviations: Tensor, share: float) -> float:
    """The deviation of the axis at which the larger ones hold this share of the variance.

    Args:
        deviations: falling, as of `principal_deviations`.
        share: in (0, 1).
    """
    reached = deviations.square().cumsum(0) / deviations.square().sum()
    return deviations[(reached < share).sum()].item()
