"""How many steps a run has and how large each may be: time budgets and learning rates."""

import math
import re
import time
from typing import Any

from inkling.recipe import Recipe

_MEASURED_SHARE = 0.08
"""Share of a budget after which the step count is fixed."""
_LOOKING_SHARE = 0.12
"""Share of a budget that previews and validations may take."""


def seconds_of(text: str) -> float:
    """A time such as 90s, 5m or 1h30m in seconds; 0 if it is none."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not found or not text.strip():
        return 0.0
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + rest


class Pace:
    """How many steps the run has: given, or fixed once a budget's speed is measured."""

    def __init__(self, recipe: Recipe, started: float):
        self.total: int | None = recipe.train.steps or None
        self.budget = 0.0 if self.total else recipe.train.budget
        self.previews = recipe.train.previews
        self.started = started
        self.pause = 0.0  # what the caller took at the last preview
        self.looked = 0  # previews since the step count is known
        self._window: tuple[int, float] | None = None

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to keep this pace, JSON-able."""
        return {
            "total": self.total,
            "budget": self.budget,
            "previews": self.previews,
            "pause": self.pause,
            "looked": self.looked,
            "window": self._window,
        }

    def restore(self, state: dict[str, Any], seconds: float) -> None:
        """Go on where `state` was taken, `seconds` into the run."""
        self.total, self.budget = state["total"], state["budget"]
        self.previews, self.pause = state["previews"], state["pause"]
        self.looked = state["looked"]
        self._window = None if state["window"] is None else tuple(state["window"])
        self.started = time.monotonic() - seconds

    def measure(self, step: int, worked: float) -> bool:
        """Take in the time at which a step ended; True when the measuring is over.

        Args:
            step: steps done.
            worked: seconds spent on them.
        """
        if self.total is not None:
            return False
        if self._window is None:
            if step >= 3:  # the first steps allocate and compile
                self._window = (step, worked)
            return False
        first, _ = self._window
        enough = time.monotonic() - self.started >= _MEASURED_SHARE * self.budget
        return enough and step >= first + 3

    def fix(self, step: int, worked: float) -> None:
        """Set the step count so that steps, previews and all end with the budget.

        Later calls correct it, where a machine that has become slower or faster would miss the
        end by more than a fiftieth; on a steady machine the first count stands.
        """
        self.looked += self.total is not None
        if not self.budget or self._window is None or step == self.total:
            return
        first, since = self._window
        step_time = (worked - since) / (step - first)
        if self.total is None and self.pause > 0:
            # Looking must not eat the time for learning: fewer previews where one takes long.
            afford = max(1, int(_LOOKING_SHARE * self.budget / self.pause))
            self.previews = min(self.previews, afford)
        pauses = self.pause * (self.previews if self.total is None else self._previews_left(step))
        left = self.budget - (time.monotonic() - self.started) - pauses
        wanted = step + max(int(left / step_time), 1)
        if self.total is None or abs(wanted - self.total) * step_time > self.budget / 50:
            self.total = wanted

    def eta(self, step: int, worked: float) -> float | None:
        """Seconds to go, previews included; None while the speed is being measured."""
        if self.total is None:
            return None
        return (self.total - step) * worked / step + self._previews_left(step) * self.pause

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
        # A count that is corrected must not make more of them than the recipe says.
        return step == self.total or (step % self._every() == 0 and self.looked < self.previews - 1)


def learning_rate_factor(step: int, total: int | None, warmup: int, decay: float) -> float:
    """Share of the peak learning rate at `step`, counted from 0: up, level, linearly to zero."""
    if total is not None:
        warmup = min(warmup, total // 4)
    rise = min(1.0, (step + 1) / (warmup + 1))
    if total is None or decay == 0:
        return rise
    return rise * min(1.0, (total - step) / (decay * total))


class Cadence:
    """When something is due again: every so many steps, or every so many seconds."""

    def __init__(self, every: str):
        self.steps = int(every) if every.isdigit() else 0
        self.seconds = 0.0 if self.steps else seconds_of(every)
        self.last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether it is time after this step."""
        if self.steps:
            return step % self.steps == 0
        return time.monotonic() - self.last >= self.seconds

    def done(self) -> None:
        """It was done; count anew."""
        self.last = time.monotonic()
