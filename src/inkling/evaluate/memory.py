"""Does a model repeat its training pictures? Nearest neighbours in pixels, against unseen ones'."""

from typing import NamedTuple

import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.evaluate.intervals import Interval, of_a_share
from inkling.pixels import from_bytes

_CLOSE = 0.5
"""Of the usual distance of an unseen picture to its nearest training picture: closer is a copy."""
_EXCESS = 0.02
"""Share of copies beyond that of unseen pictures from which a model counts as memorising."""


def check_shapes(drawn: torch.Size, real: torch.Size) -> None:
    """Refuse to hold pictures against pictures of another shape.

    Raises:
        UserError: sizes or channels [C, H, W] differ.
    """
    if drawn != real:
        each = (f"{shape[2]}x{shape[1]} with {shape[0]} channels" for shape in (drawn, real))
        raise UserError(
            "drawn pictures are {} and real ones {}; bring both to one form first".format(*each)
        )


class Nearest(NamedTuple):
    """The nearest training picture of each picture."""

    distance: Tensor
    """[N] root mean square difference of pixels in [-1, 1]."""
    row: Tensor
    """[N] int64: which one it is."""


def nearest(images: Tensor, train: Tensor, batch: int = 250) -> Nearest:
    """The nearest of the training pictures to each picture.

    Args:
        images: uint8 [N, C, H, W].
        train: uint8 [M, C, H, W].
        batch: pictures at a time.

    Raises:
        UserError: pictures of different shapes.
    """
    check_shapes(images.shape[1:], train.shape[1:])
    known = [from_bytes(part).flatten(1) for part in torch.split(train, 20_000)]
    found = []
    for part in torch.split(images, batch):
        rows = from_bytes(part).flatten(1)
        gaps = torch.cat([torch.cdist(rows, each) for each in known], dim=1)  # [batch, M]
        found.append(gaps.min(1))
    scale = train[0].numel() ** 0.5
    return Nearest(
        torch.cat([each.values for each in found]) / scale,
        torch.cat([each.indices for each in found]),
    )


class Memory(NamedTuple):
    """How often drawn pictures are copies of training pictures."""

    threshold: float
    """Distance below which a picture counts as a copy."""
    copies: float
    """Share of drawn pictures below it."""
    interval: Interval
    usual: float
    """Share of unseen real pictures below it."""
    usual_interval: Interval

    @property
    def memorises(self) -> bool:
        """Whether there are more copies than unseen pictures would explain."""
        return self.interval.low > self.usual_interval.high + _EXCESS

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        low, high = self.interval
        verdict = "it repeats training pictures" if self.memorises else "no sign of memorisation"
        return (
            f"{verdict}: {self.copies:.1%} of drawn pictures ({low:.1%} to {high:.1%}) are nearer "
            f"than {self.threshold:.3f} to a training picture, of unseen real ones {self.usual:.1%}"
        )


def memory(drawn: Nearest, unseen: Nearest) -> Memory:
    """Compare nearest-neighbour distances of drawn and of unseen real pictures to training ones.

    Args:
        drawn: of the drawn pictures.
        unseen: of real pictures that were not trained on.
    """
    threshold = _CLOSE * unseen.distance.median().item()
    near, usual = (int((each.distance < threshold).sum()) for each in (drawn, unseen))
    count, total = len(drawn.distance), len(unseen.distance)
    return Memory(
        threshold,
        near / count,
        of_a_share(near, count),
        usual / total,
        of_a_share(usual, total),
    )
