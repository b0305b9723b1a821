"""The one conversion between pictures as uint8 and pictures in [-1, 1]."""

import torch
from torch import Tensor

HALF_RANGE = 127.5
"""Half of the range of grey values: what 1 is."""


def from_bytes(images: Tensor) -> Tensor:
    """uint8 [...] as float32 [...] in [-1, 1]."""
    return images.float() / HALF_RANGE - 1


def to_bytes(images: Tensor) -> Tensor:
    """[-1, 1] float [...] as uint8 [...] on the CPU, rounded; what lies outside is clipped.

    Raises:
        ValueError: values that are NaN or infinite, which would turn black or white unnoticed.
    """
    if not torch.isfinite(images).all():
        raise ValueError("pictures have values that are not finite (NaN or infinite)")
    return images.float().clamp(-1, 1).add(1).mul(HALF_RANGE).round().to(torch.uint8).cpu()
