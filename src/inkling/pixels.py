"""The one conversion between pictures as uint8 and pictures in [-1, 1], and to PIL images."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inkling.errors import UserError

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


def plain_picture(image: np.ndarray) -> Image.Image:
    """A PIL image of uint8 [C, H, W]; of one channel in grey."""
    if image.shape[0] == 1:
        return Image.fromarray(image[0])
    return Image.fromarray(np.ascontiguousarray(image[:3].transpose(1, 2, 0)))


def to_pil(images: Tensor | np.ndarray) -> list[Image.Image]:
    """PIL images of what a pipeline samples, to show, resize or save one by one.

    Args:
        images: uint8 [B, C, H, W], or one [C, H, W]; one channel gives grey images, three colour.

    Raises:
        UserError: other arrays than these.
    """
    pixels = images.cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise UserError(
            "to_pil takes uint8 pictures [B, C, H, W] with 1 or 3 channels, as a pipeline gives "
            f"them, and this is {pixels.dtype} {list(pixels.shape)}"
        )
    return [plain_picture(image) for image in pixels]
