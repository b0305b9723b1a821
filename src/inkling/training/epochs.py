"""Training losses by epoch, from the steps themselves: every step knows its noise levels."""

from typing import NamedTuple

import torch
from torch import Tensor

_LEAST = 10
"""Steps at least from one mean to the next, where an epoch is shorter."""


class StepLosses(NamedTuple):
    """The losses of one step, over all processes."""

    mean: Tensor
    """[] over the batch."""
    low: Tensor
    """[2]: the sum over the pictures at low noise, and how many these are; zeros where the
    objective has no noise levels."""


class EpochMeans(NamedTuple):
    """Mean training losses since the last means, one epoch at least."""

    epoch: float
    """Passes over the training pictures by now."""
    loss: float
    low: float | None
    """At low noise, t < 100 of 1000; None where no picture was."""


class EpochLosses:
    """Adds up losses, and gives their means when an epoch ends.

    Args:
        pictures: of the training set.
        batch: pictures a step.
        device: where the losses come from.
    """

    def __init__(self, pictures: int, batch: int, device: torch.device):
        self.pictures, self.batch = pictures, batch
        self.first = 0  # the first of the steps that are added up
        self.sums = torch.zeros(4, device=device)  # loss, steps, low loss, low pictures

    def add(self, losses: StepLosses, finite: bool) -> None:
        """Take in the losses of a step, unless they are not finite."""
        if finite:
            one = torch.ones(1, device=self.sums.device)
            self.sums += torch.cat([losses.mean[None], one, losses.low])

    def means(self, step: int, last: bool) -> EpochMeans | None:
        """The means, if an epoch ended with the last step added; then count anew.

        Args:
            step: steps done.
            last: whether the run ends here, in the middle of an epoch perhaps.
        """
        ended = self._epochs(step) > self._epochs(self.first) and step - self.first >= _LEAST
        if not (ended or last):
            return None
        loss, steps, low, count = self.sums.tolist()
        self.first = step
        self.sums.zero_()
        if not steps:
            return None
        epoch = round(step * self.batch / self.pictures, 3)
        return EpochMeans(epoch, loss / steps, low / count if count else None)

    def _epochs(self, step: int) -> int:
        """Epochs that have ended after so many steps."""
        return step * self.batch // self.pictures

    def state(self) -> dict[str, object]:
        """What a resumed run needs to go on in the middle of an epoch, JSON-able."""
        return {"first": self.first, "sums": self.sums.tolist()}

    def restore(self, first: int, sums: list[float]) -> None:
        """Go on where `state` was taken."""
        self.first = first
        self.sums.copy_(torch.tensor(sums))
