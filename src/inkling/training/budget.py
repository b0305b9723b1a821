"""How many steps a run has: given, or fixed once the speed that a time budget meets is measured."""

import math
import re
import time
from typing import Any

from inkling.config.recipe import Train
from inkling.training.progressive import mean_cost, relative_costs

_MEASURED_FRACTION = 0.08
"""Fraction of a budget after which the step count is fixed."""
_CORRECTIONS = 40
"""How often in a run its step count may be corrected."""
_PREVIEW_FRACTION = 0.12
"""Fraction of a budget that previews and validations may take."""


def seconds_of(text: str) -> float:
    """A time such as 90s, 5m or 1h30m in seconds; 0 if it is none."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not found or not text.strip():
        return 0.0
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + rest


class StepBudget:
    """How many steps a run has, and after which of them a preview is due.

    Args:
        train: steps or a budget, and how many previews.
        started: `time.monotonic()` from which a budget counts.
    """

    def __init__(self, train: Train, started: float):
        self.total: int | None = train.steps or None
        self.budget = 0.0 if self.total else train.budget
        self.previews = train.previews
        self.started = started
        self.costs = relative_costs(train.sizes)
        self.last_preview_seconds = 0.0  # what the caller took for it
        self.preview_cost_steps = 0.0  # as the caller expects it before the first one
        self.previews_done = 0  # previews since the step count is known
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
            "window": self._window,
        }

    def restore(self, state: dict[str, Any], seconds: float) -> None:
        """Go on where `state` was taken, `seconds` into the run."""
        self.total, self.budget = state["total"], state["budget"]
        self.previews, self.last_preview_seconds = state["previews"], state["last_preview_seconds"]
        self.previews_done = state["previews_done"]
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

    def fix(self, step: int, worked: float, seconds: float) -> None:
        """Set the step count, after a preview, so that steps and previews end with the budget."""
        self.previews_done += self.total is not None
        if self.budget and self.total is None and self.last_preview_seconds > 0:
            # Previews must not eat the time for learning: fewer of them where one takes long.
            afford = max(1, int(_PREVIEW_FRACTION * self.budget / self.last_preview_seconds))
            self.previews = min(self.previews, afford)
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
        pauses = self.last_preview_seconds * (
            self.previews if self.total is None else self._previews_left(step)
        )
        left = self.budget - seconds - pauses
        mean = mean_cost(self.costs, 0.0, 1.0)
        wanted = max(step + 1, int((self._work(step) + left / unit) / mean))
        if self.total is None or abs(wanted - self.total) * unit * mean > self.budget / 50:
            self.total = wanted

    def eta(self, step: int, worked: float) -> float | None:
        """Seconds to go, previews included; None while the speed is being measured."""
        if self.total is None:
            return None
        rest = (self.total - step) * mean_cost(self.costs, self.run_fraction(step), 1.0)
        unit = worked / self._work(step)
        return rest * unit + self._previews_left(step) * (
            self.last_preview_seconds or self.preview_cost_steps * unit
        )

    def run_fraction(self, step: int) -> float:
        """Of the run that lies before a step, 0 to 1; 0 while its length is not known."""
        return min(1.0, step / self.total) if self.total else 0.0

    def _work(self, step: int) -> float:
        """The cost of the steps so far, in steps at the full size."""
        return step * mean_cost(self.costs, 0.0, self.run_fraction(step))

    def _previews_left(self, step: int) -> int:
        assert self.total is not None
        every = self._every()
        return self.total // every - step // every + bool(self.previews and self.total % every)

    def _every(self) -> int:
        """Steps from one preview to the next; more than the run has where there are none."""
        assert self.total is not None
        return math.ceil(self.total / self.previews) if self.previews else self.total + 1

    def due(self, step: int) -> bool:
        """Whether a preview belongs after this step: evenly spread, the last at the end."""
        if self.total is None or not self.previews:
            return False
        # A count that is corrected must not make more of them than the recipe has.
        return step == self.total or (
            step % self._every() == 0 and self.previews_done < self.previews - 1
        )
