"""Samples with their nearest training images."""

from PIL import Image
from torch import Tensor

from inkling.visualize import grids


def neighbours(
    samples: Tensor, distance: Tensor, nearest: Tensor, *, across: int = 12, cell: int = 56
) -> Image.Image:
    """Pairs of sample and nearest training image: the closest, then some from near to far.

    Args:
        samples: uint8 [N, C, H, W].
        distance: [N] distance of each sample to its nearest training image.
        nearest: uint8 [N, C, H, W], those training images.
        across: pairs in a row.
        cell: smallest height of an image in pixels.
    """
    order = distance.argsort()
    across = min(across, len(order))
    even = order[:: max(1, len(order) // across)][:across]
    rows = []
    for name, chosen in (("closest", order[:across]), ("from near to far", even)):
        rows.append((f"samples, {name}", samples[chosen].numpy()))
        rows.append(("nearest training picture", nearest[chosen].numpy()))
    return grids.sheet(rows, cell=cell)
