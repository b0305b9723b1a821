"""After which steps of a run a preview and a validation are due."""

import math
from typing import Any

from inkling.config.cadence import cadence
from inkling.config.train import Train


class PreviewPlan:
    """Previews so far apart, or so many of them, evenly spread; the last at the end of the run.

    Args:
        train: how often.
        pictures: of the training set, to count epochs.
    """

    def __init__(self, train: Train, pictures: int):
        self.cadence = cadence(train.previews, "train.previews")
        self.counted = self.cadence.unit == ""
        self.count = int(self.cadence.number) if self.counted else 0
        self.pictures, self.batch = pictures, train.batch
        self.done = 0  # previews since the step count is known
        self.last = 0.0  # seconds into the run at which the last one began
        self.owed = False  # one was begun and never finished

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, JSON-able."""
        return {name: getattr(self, name) for name in ("count", "done", "last", "owed")}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name, value in state.items():
            setattr(self, name, value)

    def due(self, step: int, total: int | None, seconds: float) -> bool:
        """Whether one belongs after this step.

        Args:
            step: steps done.
            total: steps of the run; None while they are not known.
            seconds: since the run began.
        """
        if not self.cadence.number:
            return False
        if step == total or self.owed:
            return True
        if self.cadence.unit == "seconds":
            return seconds - self.last >= self.cadence.number
        if self.counted:
            # A count of steps that is corrected must not make more of them than the recipe has.
            spent = total is None or self.done >= self.count - 1
            return not spent and self._passed(step, total) > self._passed(step - 1, total)
        every = self.cadence.steps(self.pictures, self.batch, total)
        return every is not None and step % every == 0

    def begin(self, total: int | None, seconds: float) -> None:
        """One begins now. What is stored from here on has it behind it."""
        self.done += total is not None
        self.last, self.owed = seconds, False

    def afford(self, share: float, budget: float, cost: float, total: int | None) -> None:
        """Fewer of them, where so many would take more than a share of the budget.

        Args:
            share: of the budget.
            budget: seconds.
            cost: seconds that one takes.
            total: as in `due`; None right after the first one, which showed the cost.
        """
        if self.counted and cost > 0:
            most = int(share * budget / cost) - (total is None)
            self.count = min(self.count, max(1, most, self.done))

    def left(self, step: int, total: int | None, unit: float) -> float:
        """How many are to come.

        Args:
            step: steps done.
            total: as in `due`.
            unit: seconds a step.
        """
        if not self.cadence.number:
            return 0
        if self.counted:
            return self.count - (self._passed(step, total) if total else 0)
        if self.cadence.unit == "%" and total is None:
            return math.ceil(100 / self.cadence.number)
        assert total is not None, "so far apart, previews are counted when the end is known"
        every = self.between(unit, total) / unit
        return math.ceil(total / every - 1e-9) - int(step / every)

    def between(self, unit: float, total: int | None = None) -> float:
        """Seconds of training from one to the next, which are so far apart.

        Args:
            unit: seconds a step.
            total: as in `due`.
        """
        every = self.cadence.steps(self.pictures, self.batch, total)
        return self.cadence.number if every is None else every * unit

    @property
    def spread(self) -> bool:
        """Whether there are so many of them, however long the run."""
        return self.cadence.unit in ("", "%")

    def _passed(self, step: int, total: int | None) -> int:
        """How many of the evenly spread moments lie before a step."""
        return step * self.count // total if total else 0
