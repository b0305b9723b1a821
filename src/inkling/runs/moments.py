"""The moments of a run at which something is stored."""

import time
import warnings

from inkling.config.cadence import cadence, milestone
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
        train: its milestones.
        pictures: of the training set, to count epochs.
        step: steps done, in a run that goes on.
        total: steps of the run; None while they are not known.
    """

    def __init__(self, train: Train, pictures: int, step: int = 0, total: int | None = None):
        self.moments = [milestone(text) for text in train.milestones]
        self.pictures, self.batch = pictures, train.batch
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
            total: as above.
        """
        new = self._passed(step, total) - self.passed
        self.passed |= new
        return bool(new)

    def _passed(self, step: int, total: int | None) -> set[int]:
        """The numbers of those up to a step."""
        steps = [moment.steps(self.pictures, self.batch, total) for moment in self.moments]
        return {number for number, at in enumerate(steps) if at is not None and at <= step}
