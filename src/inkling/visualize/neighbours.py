"""Drawn pictures beside the training pictures nearest to them."""

from PIL import Image
from torch import Tensor

from inkling.visualize import grids


def neighbours(
    drawn: Tensor, distance: Tensor, nearest: Tensor, *, across: int = 12, cell: int = 56
) -> Image.Image:
    """The closest pairs on top, an even choice of all below.

    Args:
        drawn: uint8 [N, C, H, W].
        distance: [N] to the nearest training picture.
        nearest: uint8 [N, C, H, W], those pictures.
        across: pairs in a row.
        cell: least height of a picture in pixels.
    """
    order = distance.argsort()
    across = min(across, len(order))
    even = order[:: max(1, len(order) // across)][:across]
    rows = []
    for name, chosen in (("closest", order[:across]), ("from near to far", even)):
        rows.append((f"drawn, {name}", drawn[chosen].numpy()))
        rows.append(("nearest training picture", nearest[chosen].numpy()))
    return grids.sheet(rows, cell=cell)
