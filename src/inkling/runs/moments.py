"""The moments of a run at which something is stored."""

import time
import warnings
from collections.abc import Sequence

from inkling.config.cadence import Cadence, cadence, milestone
from inkling.config.train import Train
from inkling.errors import UserNote


class Every:
    """When a training checkpoint is due again.

    Args:
        train: its `checkpoint_every`.
        pictures: of the training set, to count epochs.
    """

    def __init__(self, train: Train, pictures: int):
        every = cadence(train.checkpoint_every, "train.checkpoint_every")
        self.steps = every.steps(pictures, train.batch)
        self.seconds = every.number
        self.last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether it is time after this step."""
        if self.steps:
            return step % self.steps == 0
        return time.monotonic() - self.last >= self.seconds

    def done(self) -> None:
        """It was done; count anew."""
        self.last = time.monotonic()


class Milestones:
    """Which milestones a run has passed.

    Warns of those that lie past its end.

    Args:
        train: its milestones and its steps.
        pictures: of the training set, to count epochs.
        step: steps done, in a run that goes on.
    """

    def __init__(self, train: Train, pictures: int, step: int = 0):
        self.moments: Sequence[Cadence] = [milestone(text) for text in train.milestones]
        self.pictures, self.batch = pictures, train.batch
        total = train.steps or None
        self.passed = self._passed(step, total)
        late = [
            text
            for text, moment in zip(train.milestones, self.moments, strict=True)
            if total and (moment.steps(pictures, train.batch, total) or 0) > total
        ]
        if late:
            warnings.warn(
                f"train.milestones={','.join(late)} lies past the end of the run, {total:,} steps, "
                "and will not be written; a part of the run such as 30% is always within it",
                UserNote,
                stacklevel=2,
            )

    def due(self, step: int, total: int | None) -> bool:
        """Whether a milestone was passed since this was asked last.

        Args:
            step: steps done.
            total: steps of the run; None while they are not known.
        """
        before, self.passed = self.passed, max(self.passed, self._passed(step, total))
        return self.passed > before

    def _passed(self, step: int, total: int | None) -> int:
        steps = [moment.steps(self.pictures, self.batch, total) for moment in self.moments]
        return sum(at is not None and at <= step for at in steps)
