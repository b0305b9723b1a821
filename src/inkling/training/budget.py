"""How many steps a run has and how large each may be: time budgets and learning rates."""

import math
import re
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from inkling.config.recipe import Recipe

_MEASURED_SHARE = 0.08
"""Share of a budget after which the step count is fixed."""
_CORRECTIONS = 40
"""How often in a run its step count may be corrected."""
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
        self.costs = relative_costs(recipe.train.sizes)
        self.pause = 0.0  # what the caller took at the last preview
        self.look = 0.0  # the same in steps, as the caller expects it before the first one
        self.looked = 0  # previews since the step count is known
        self.beat = 0  # how many moments for a correction have passed
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
        self.beat = int(seconds / self.budget * _CORRECTIONS) if self.budget else 0
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
        enough = seconds >= _MEASURED_SHARE * self.budget
        return enough and step >= first + 3

    def fix(self, step: int, worked: float, seconds: float) -> None:
        """Set the step count, after a preview, so that steps and previews end with the budget."""
        self.looked += self.total is not None
        if self.budget and self.total is None and self.pause > 0:
            # Looking must not eat the time for learning: fewer previews where one takes long.
            afford = max(1, int(_LOOKING_SHARE * self.budget / self.pause))
            self.previews = min(self.previews, afford)
        self._count(step, worked, seconds)

    def correct(self, step: int, worked: float, seconds: float) -> None:
        """Now and then between previews, set the count anew if the machine has changed its speed.

        Where the end would be missed by more than a fiftieth; on a steady machine the first count
        stands.
        """
        beat = int(seconds / self.budget * _CORRECTIONS) if self.budget else 0
        if self.total is not None and beat != self.beat:
            self.beat = beat
            self._count(step, worked, seconds)

    def _count(self, step: int, worked: float, seconds: float) -> None:
        if not self.budget or self._window is None or step == self.total:
            return
        first, since = self._window
        unit = (worked - since) / (self._work(step) - self._work(first))
        pauses = self.pause * (self.previews if self.total is None else self._previews_left(step))
        left = self.budget - seconds - pauses
        mean = mean_cost(self.costs, 0.0, 1.0)
        wanted = max(step + 1, int((self._work(step) + left / unit) / mean))
        if self.total is None or abs(wanted - self.total) * unit * mean > self.budget / 50:
            self.total = wanted

    def eta(self, step: int, worked: float) -> float | None:
        """Seconds to go, previews included; None while the speed is being measured."""
        if self.total is None:
            return None
        rest = (self.total - step) * mean_cost(self.costs, self.share(step), 1.0)
        unit = worked / self._work(step)
        return rest * unit + self._previews_left(step) * (self.pause or self.look * unit)

    def share(self, step: int) -> float:
        """Of the run that lies before a step, 0 to 1; 0 while its length is not known."""
        return min(1.0, step / self.total) if self.total else 0.0

    def _work(self, step: int) -> float:
        """The cost of the steps so far, in steps at the full size."""
        return step * mean_cost(self.costs, 0.0, self.share(step))

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


def relative_costs(sizes: Sequence[int]) -> tuple[float, ...]:
    """What a step costs at each of the picture sizes of a run, the last one 1."""
    return tuple((size / sizes[-1]) ** 2 for size in sizes) or (1.0,)


def boundaries(costs: Sequence[float]) -> list[float]:
    """Where in a run, as shares of its steps, each size ends, so that all take the same time."""
    ends = list(accumulate(1 / cost for cost in costs))
    return [end / ends[-1] for end in ends]


def mean_cost(costs: Sequence[float], low: float, high: float) -> float:
    """The mean cost of the steps between two shares of a run."""
    ends = boundaries(costs)
    if high <= low:
        return costs[next(i for i, end in enumerate(ends) if low <= end)]
    total, begin = 0.0, 0.0
    for cost, end in zip(costs, ends, strict=True):
        total += cost * max(0.0, min(end, high) - max(begin, low))
        begin = end
    return total / (high - low)


def size_at(sizes: Sequence[int], share: float) -> int | None:
    """The picture size at a share of the run; None where it is always the full one."""
    ends = boundaries(relative_costs(sizes)) if sizes else []
    return next((size for size, end in zip(sizes, ends, strict=True) if share < end), None)


def learning_rate_factor(
    step: int, total: int | None, warmup: int, decay: float, curve: str = "linear"
) -> float:
    """Share of the peak learning rate at `step`, counted from 0: up, level, down to zero.

    "linear" or "cosine" (Loshchilov & Hutter 2017, eq. 5) says how it falls.
    """
    if total is not None:
        warmup = min(warmup, total // 4)
    rise = min(1.0, (step + 1) / (warmup + 1))
    if total is None or decay == 0:
        return rise
    left = min(1.0, (total - step) / (decay * total))
    return rise * (left if curve == "linear" else (1 - math.cos(math.pi * left)) / 2)


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
