"""Memorisation: distances of samples to training images, compared with those of unseen images."""

from typing import NamedTuple

import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.evaluate.intervals import Interval, of_a_share
from inkling.pixels import from_bytes

_CLOSE = 0.5
"""Fraction of the median distance of unseen images to training images below which is a copy."""
_EXCESS = 0.02
"""A model memorises if its fraction of copies exceeds that of unseen images by this much."""


def check_shapes(samples: torch.Size, real: torch.Size) -> None:
    """Refuse to compare images of different shapes.

    Raises:
        UserError: sizes or channels [C, H, W] differ.
    """
    if samples != real:
        each = (f"{shape[2]}x{shape[1]} with {shape[0]} channels" for shape in (samples, real))
        raise UserError(
            "samples are {} and real ones {}; both need the same size and channels".format(*each)
        )


class Nearest(NamedTuple):
    """The nearest training image of each image."""

    distance: Tensor
    """[N] root mean square difference of pixels in [-1, 1]."""
    row: Tensor
    """[N] int64: its row among the training images."""


def nearest_images(images: Tensor, train: Tensor, batch: int = 250) -> Nearest:
    """The nearest training image of each image, by pixels.

    Args:
        images: uint8 [N, C, H, W].
        train: uint8 [M, C, H, W].
        batch: images at a time.

    Raises:
        UserError: the images have different shapes.
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
    """How often samples are copies of training images."""

    threshold: float
    """Distance below which an image counts as a copy."""
    copies: float
    """Fraction of samples below it."""
    interval: Interval
    usual: float
    """Fraction of unseen real images below it."""
    usual_interval: Interval

    @property
    def memorises(self) -> bool:
        """Whether there are clearly more copies among samples than among unseen images."""
        return self.interval.low > self.usual_interval.high + _EXCESS

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        low, high = self.interval
        result = "it repeats training pictures" if self.memorises else "no sign of memorisation"
        return (
            f"{result}: {self.copies:.1%} of samples ({low:.1%} to {high:.1%}) are closer than "
            f"{self.threshold:.3f} to a training picture; {self.usual:.1%} of unseen real pictures "
            "are"
        )


def memory(samples: Nearest, unseen: Nearest) -> Memory:
    """Compare the nearest-neighbour distances of samples and of unseen real images.

    Args:
        samples: nearest training images of the samples.
        unseen: nearest training images of real images that were not trained on.
    """
    threshold = _CLOSE * unseen.distance.median().item()
    near, usual = (int((each.distance < threshold).sum()) for each in (samples, unseen))
    count, total = len(samples.distance), len(unseen.distance)
    return Memory(
        threshold,
        near / count,
        of_a_share(near, count),
        usual / total,
        of_a_share(usual, total),
    )
