"""Memorisation: distances of samples to training images, compared with those of unseen images."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.evaluate.intervals import Interval, of_a_share
from inkling.pixels import from_bytes

_BATCH = 250
"""Images whose distances are computed at a time."""
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


def nearest_images(images: Tensor, train: Iterable[Tensor], mirrored: bool = False) -> Nearest:
    """The nearest training image of each image, by pixels.

    Args:
        images: uint8 [N, C, H, W].
        train: the training images, uint8 [m, C, H, W] each, part by part: as many as there are,
            however few fit into memory.
        mirrored: whether training mirrored images, so that a mirrored copy is a copy too.

    Raises:
        UserError: the images have different shapes.
    """
    distance = torch.full((len(images),), torch.inf)
    row = torch.zeros(len(images), dtype=torch.int64)
    first = 0
    for part in train:
        check_shapes(images.shape[1:], part.shape[1:])
        seen = from_bytes(part)
        for known in (seen, seen.flip(-1)) if mirrored else (seen,):
            for rows in torch.split(torch.arange(len(images)), _BATCH):
                gaps = torch.cdist(from_bytes(images[rows]).flatten(1), known.flatten(1))
                near = gaps.min(1)  # of [batch, m]
                nearer = near.values < distance[rows]
                distance[rows] = torch.where(nearer, near.values, distance[rows])
                row[rows] = torch.where(nearer, near.indices + first, row[rows])
        first += len(part)
    return Nearest(distance / images[0].numel() ** 0.5, row)


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
    searched: int
    """Training images among which neighbours were searched."""

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
            f"{self.threshold:.3f} to one of {self.searched:,} training pictures; {self.usual:.1%} "
            "of unseen real pictures are"
        )


def memory(samples: Nearest, unseen: Nearest, searched: int) -> Memory:
    """Compare the nearest-neighbour distances of samples and of unseen real images.

    Args:
        samples: nearest training images of the samples.
        unseen: nearest training images of real images that were not trained on.
        searched: number of training images.
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
        searched,
    )
