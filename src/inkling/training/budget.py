"""How many steps a run has: given, or fixed once the speed that a time budget meets is measured."""

import math
import time
from typing import Any

from inkling.config.cadence import cadence
from inkling.config.train import Train
from inkling.training.progressive import mean_cost, relative_costs

_MEASURED_FRACTION = 0.08
"""Fraction of a budget after which the step count is fixed."""
_CORRECTIONS = 40
"""How often in a run its step count may be corrected."""


class StepBudget:
    """How many steps a run has, and after which of them a preview is due.

    Args:
        train: steps or a budget, and how often a preview is due.
        started: `time.monotonic()` from which a budget counts.
        pictures: of the training set, to count epochs.
    """

    def __init__(self, train: Train, started: float, pictures: int = 1):
        self.total: int | None = train.steps or None
        self.budget = 0.0 if self.total else train.budget
        self.share, self.batch, self.pictures = train.preview_share, train.batch, pictures
        self.cadence = cadence(train.previews, "train.previews")
        self.counted = self.cadence.unit in ("", "%")  # so many, rather than so far apart
        self.previews = self.cadence.times() if self.counted else 0
        self.started = started
        self.costs = relative_costs(train.sizes)
        self.last_preview_seconds = 0.0  # what the caller took for it
        self.preview_cost_steps = 0.0  # as the caller expects it before the first one
        self.previews_done = 0  # previews since the step count is known
        self.last_preview = 0.0  # seconds into the run
        self.moments_passed = 0  # moments at which the count may be corrected
        self._window: tuple[int, float] | None = None

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to keep its budget, JSON-able."""
        return {
            "total": self.total,
            "budget": self.budget,
            "previews": self.previews,
            "last_preview_seconds": self.last_preview_seconds,
            "previews_done": self.previews_done,
            "last_preview": self.last_preview,
            "window": self._window,
        }

    def restore(self, state: dict[str, Any], seconds: float) -> None:
        """Go on where `state` was taken, `seconds` into the run."""
        self.total, self.budget = state["total"], state["budget"]
        self.previews, self.last_preview_seconds = state["previews"], state["last_preview_seconds"]
        self.previews_done, self.last_preview = state["previews_done"], state["last_preview"]
        self._window = None if state["window"] is None else tuple(state["window"])
        self.moments_passed = int(seconds / self.budget * _CORRECTIONS) if self.budget else 0
        self.started = time.monotonic() - seconds

    def measure(self, step: int, worked: float, seconds: float) -> bool:
        """Take in the time at which a step ended; True when the measuring is over.

        Args:
            step: steps done.
            worked: seconds spent on them.
            seconds: since the run began, pauses included.
        """
        if self.total is not None:
            return False
        if self._window is None:
            if step >= 3:  # the first steps allocate and compile
                self._window = (step, worked)
            return False
        first, _ = self._window
        enough = seconds >= _MEASURED_FRACTION * self.budget
        return enough and step >= first + 3

    @property
    def needs_clock(self) -> bool:
        """Whether what happens depends on the time, on which several processes must agree."""
        return bool(self.budget) or self.cadence.unit == "seconds"

    def fix(self, step: int, worked: float, seconds: float) -> None:
        """Set the step count, after a preview, so that steps and previews end with the budget."""
        self.previews_done += self.total is not None
        self.last_preview = seconds
        if self.budget and self.counted and self.last_preview_seconds > 0:
            # Previews must not eat the time for learning: fewer of them where one takes long.
            afford = int(self.share * self.budget / self.last_preview_seconds) - 1  # the first one
            self.previews = min(self.previews, max(1, afford, self.previews_done))
        self._count(step, worked, seconds)

    def correct(self, step: int, worked: float, seconds: float) -> None:
        """Now and then between previews, set the count anew if the machine has changed its speed.

        Where the end would be missed by more than a fiftieth; on a steady machine the first count
        stands.
        """
        moment = int(seconds / self.budget * _CORRECTIONS) if self.budget else 0
        if self.total is not None and moment != self.moments_passed:
            self.moments_passed = moment
            self._count(step, worked, seconds)

    def _count(self, step: int, worked: float, seconds: float) -> None:
        if not self.budget or self._window is None or step == self.total:
            return
        first, since = self._window
        unit = (worked - since) / (self._work(step) - self._work(first))
        mean = mean_cost(self.costs, 0.0, 1.0)
        left = self.budget - seconds
        if self.counted:
            left -= self.last_preview_seconds * (
                self.previews if self.total is None else self._previews_left(step, unit * mean)
            )
        else:
            between = self._every(unit * mean) * unit * mean  # seconds from one to the next
            left *= between / (between + self.last_preview_seconds)
        wanted = max(step + 1, int((self._work(step) + left / unit) / mean))
        if self.total is None or abs(wanted - self.total) * unit * mean > self.budget / 50:
            self.total = wanted

    def eta(self, step: int, worked: float) -> float | None:
        """Seconds to go, previews included; None while the speed is being measured."""
        if self.total is None:
            return None
        rest = (self.total - step) * mean_cost(self.costs, self.run_fraction(step), 1.0)
        unit = worked / self._work(step)
        preview = self.last_preview_seconds or self.preview_cost_steps * unit
        return rest * unit + self._previews_left(step, unit) * preview

    def run_fraction(self, step: int) -> float:
        """Of the run that lies before a step, 0 to 1; 0 while its length is not known."""
        return min(1.0, step / self.total) if self.total else 0.0

    def _work(self, step: int) -> float:
        """The cost of the steps so far, in steps at the full size."""
        return step * mean_cost(self.costs, 0.0, self.run_fraction(step))

    def _previews_left(self, step: int, unit: float) -> int:
        assert self.total is not None
        if not self.cadence.number:
            return 0
        every = self._every(unit)
        return self.total // every - step // every + (self.total % every > 0)

    def _every(self, unit: float = 1.0) -> int:
        """Steps from one preview to the next.

        Args:
            unit: seconds a step, where previews are so much time apart.
        """
        if self.counted:
            assert self.total is not None
            return math.ceil(self.total / max(1, self.previews))
        steps = self.cadence.steps(self.pictures, self.batch)
        return steps or max(1, round(self.cadence.number / unit))

    def due(self, step: int, seconds: float) -> bool:
        """Whether a preview belongs after this step; the last one at the end of the run.

        Args:
            step: steps done.
            seconds: since the run began.
        """
        if not self.cadence.number or (self.counted and self.total is None):
            return False
        if step == self.total:
            return True
        if self.cadence.unit == "seconds":
            return seconds - self.last_preview >= self.cadence.number
        # A count that is corrected must not make more of them than the recipe has.
        spent = self.counted and self.previews_done >= self.previews - 1
        return step % self._every() == 0 and not spent
