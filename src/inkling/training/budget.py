"""How many steps a run has: given, or fixed once the speed that a time budget meets is measured."""

import math
import time
from typing import Any

from inkling.config.train import Train
from inkling.training.preview_plan import PreviewPlan
from inkling.training.progressive import mean_cost, relative_costs

_MEASURED_FRACTION = 0.08
"""Fraction of a budget after which the step count is fixed."""
_CORRECTIONS = 40
"""How often in a run its step count may be corrected."""


class StepBudget:
    """How many steps a run has.

    Args:
        train: steps, epochs or a budget, and how often a preview is due.
        started: `time.monotonic()` from which a budget counts.
        pictures: of the training set, to count epochs.
    """

    def __init__(self, train: Train, started: float, pictures: int = 1):
        epochs = max(1, math.ceil(train.epochs * pictures / train.batch)) if train.epochs else None
        self.total: int | None = train.steps or epochs
        self.budget = 0.0 if self.total else train.budget
        self.share = train.preview_share
        self.previews = PreviewPlan(train, pictures)
        self.started = started
        self.costs = relative_costs(train.sizes)
        self.last_preview_seconds = 0.0  # what the caller took for it
        self.preview_cost_steps = 0.0  # as the caller expects it before the first one
        self.first_begun = False  # the preview that shows what one costs
        self.moments_passed = 0  # moments at which the count may be corrected
        self._window: tuple[int, float] | None = None

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to keep its budget, JSON-able."""
        return {
            "total": self.total,
            "budget": self.budget,
            "previews": self.previews.state(),
            "last_preview_seconds": self.last_preview_seconds,
            "first_begun": self.first_begun,
            "window": self._window,
        }

    def restore(self, state: dict[str, Any], seconds: float) -> None:
        """Go on where `state` was taken, `seconds` into the run."""
        self.total, self.budget = state["total"], state["budget"]
        self.previews.restore(state["previews"])
        self.last_preview_seconds = state["last_preview_seconds"]
        self.first_begun = state["first_begun"]
        self._window = None if state["window"] is None else tuple(state["window"])
        self.moments_passed = int(seconds / self.budget * _CORRECTIONS) if self.budget else 0
        self.started = time.monotonic() - seconds

    @property
    def needs_clock(self) -> bool:
        """Whether what happens depends on the time, on which several processes must agree."""
        return bool(self.budget) or self.previews.cadence.unit == "seconds"

    def measured(self, step: int, worked: float, seconds: float) -> bool:
        """Take in the time at which a step ended; True when the step count can be fixed.

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

    def preview_due(self, step: int, seconds: float, measured: bool) -> bool:
        """Whether a preview belongs after this step; then it begins.

        The first one of a budget comes when the speed is measured, to show what one costs.
        """
        first = measured and bool(self.previews.cadence.number) and not self.first_begun
        due = first or self.previews.due(step, self.total, seconds)
        if due:
            self.first_begun |= measured
            self.previews.begin(self.total, seconds)
        return due

    def fix(self, step: int, worked: float, seconds: float) -> None:
        """Set the step count, after a preview, so that steps and previews end with the budget."""
        if self.budget:  # previews must not eat the time for learning
            cost = self.last_preview_seconds
            self.previews.afford(self.share, self.budget, cost, self.total)
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
        if self.previews.spread:
            left -= self.last_preview_seconds * self.previews.left(step, self.total, unit * mean)
        else:
            between = self.previews.between(unit * mean)
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
        return rest * unit + self.previews.left(step, self.total, unit) * preview

    def run_fraction(self, step: int) -> float:
        """Of the run that lies before a step, 0 to 1; 0 while its length is not known."""
        return min(1.0, step / self.total) if self.total else 0.0

    def _work(self, step: int) -> float:
        """The cost of the steps so far, in steps at the full size."""
        return step * mean_cost(self.costs, 0.0, self.run_fraction(step))
