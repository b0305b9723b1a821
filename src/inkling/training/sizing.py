"""From a time budget and the speed of the machine to width and batch.

The loss after training is predicted from width, batch and steps, in the manner of the scaling laws
of Hoffmann et al. 2022 (equation 2). Its numbers are a fit to runs on MNIST over widths, batches
and lengths (docs/log.md, where the choice is also held against runs that were not used to fit).
Only the best choice is taken from it, never the loss itself.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from inkling.config.recipe import Recipe, RunRecipe
from inkling.system.progress import duration

AnyRecipe = TypeVar("AnyRecipe", bound=RunRecipe)

_FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Of the widths of the recipe. The ends of these two keep to what was tried, and to memory."""
_BATCHES = (32, 64, 128, 256)
_MEASURED = ((1.0, 64), (1.0, 128), (2.0, 64))
"""(factor, batch) of the steps that are measured."""
_SHOWN = 0.05
"""Fraction of a budget that goes to previews and validations."""


class StepTime(NamedTuple):
    """How long a step takes: `start + batch * (shared + widening * factor^2)` seconds."""

    start: float
    """Whatever the batch and the width: starting operations, optimisers."""
    shared: float
    """A picture, whatever the width."""
    widening: float
    """A picture, by the square of the factor of the widths."""

    @classmethod
    def of(cls, narrow: float, more: float, wide: float) -> "StepTime":
        """From the seconds of the three steps of `_MEASURED`; no part of it is negative."""
        (factor, batch), (_, larger), (wider, _) = _MEASURED
        picture = min(max((more - narrow) / (larger - batch), 0.0), narrow / batch)
        widening = min(max((wide - narrow) / batch / (wider**2 - factor**2), 0.0), picture)
        return cls(narrow - batch * picture, picture - widening * factor**2, widening)

    def step(self, factor: float, batch: int) -> float:
        """Seconds of a step of some batch with the widths times a factor."""
        return self.start + batch * (self.shared + self.widening * factor**2)


def wanted(recipe: RunRecipe) -> bool:
    """Whether width and batch of a run are to be chosen for its budget."""
    train = recipe.train
    by_time = train.budget and not (train.steps or train.epochs)
    return isinstance(recipe, Recipe) and train.fit_budget and bool(by_time) and not train.shard


def sized(
    recipe: AnyRecipe,
    step_seconds: Callable[[RunRecipe], float],
    left: Callable[[], float],
    divisor: int = 1,
) -> tuple[AnyRecipe, str]:
    """(the recipe with the width, batch and learning rates that its budget suits, in words).

    Args:
        recipe: of a denoiser; its own widths are the narrowest.
        step_seconds: of a recipe on this machine.
        left: seconds of the budget that are left, when it is asked.
        divisor: of the batch, which is shared out over processes and parts.
    """
    tried = [(factor, divided(batch, divisor)) for factor, batch in _MEASURED]
    time = StepTime.of(*(step_seconds(with_size(recipe, *each)) for each in tried))
    factor, batch = best_size(time, left() * (1 - _SHOWN))
    batch = divided(batch, divisor)
    chosen = with_size(recipe, factor, batch)
    return chosen, (
        f"chosen for {duration(recipe.train.budget)} at {batch / time.step(factor, batch):,.0f} "
        f"pictures/s: {in_words(chosen)}"
    )


def best_size(time: StepTime, seconds: float) -> tuple[float, int]:
    """The (factor of the widths, batch) with the smallest predicted loss.

    Args:
        time: of a step.
        seconds: to train for.
    """

    def loss(size: tuple[float, int]) -> float:
        return predicted_loss(*size, steps=seconds / time.step(*size))

    return min(product(_FACTORS, _BATCHES), key=loss)


def predicted_loss(factor: float, batch: int, steps: float) -> float:
    """The validation loss of the recipe `mnist` at the end of a run.

    What is left after endless training falls with the width. On the way there, a wider network and
    a larger batch make a step worth more: about as much as the root of either.

    Args:
        factor: of the widths (32, 64).
        batch: pictures a step.
        steps: of the run, which may be a fraction.
    """
    worth: float = steps / 500 * factor**0.496 * (batch / 64) ** 0.436
    left: float = 0.0041 * factor**-1.875
    return 0.1969 + left + 0.0275 * math.pow(worth, -1.18)


def with_size(recipe: AnyRecipe, factor: float, batch: int) -> AnyRecipe:
    """The recipe with its widths times a factor, and the learning rates of another batch.

    Rates follow the square root of the batch (Malladi et al. 2022).
    """
    assert isinstance(recipe, Recipe), "only denoisers have a size to choose"
    train = recipe.train
    by = math.sqrt(batch / train.batch)
    lr, muon_lr = (float(f"{rate * by:.2g}") for rate in (train.lr, train.muon_lr))
    return replace(
        recipe,
        net=recipe.net.scaled(factor),
        train=replace(train, batch=batch, lr=lr, muon_lr=muon_lr, fit_budget=False),
    )


def in_words(recipe: RunRecipe) -> str:
    """What was chosen, as settings."""
    assert isinstance(recipe, Recipe), "only denoisers have a size to choose"
    train = recipe.train
    names = [name for name in ("widths", "width") if hasattr(recipe.net, name)]
    sizes = [f"net.{name}={_listed(getattr(recipe.net, name))}" for name in names]
    rates = [f"train.{name}={getattr(train, name):g}" for name in ("batch", "lr", "muon_lr")]
    return " ".join([*sizes, *rates])


def divided(batch: int, divisor: int) -> int:
    """The batch, or the next larger one that can be shared out."""
    return -(-batch // divisor) * divisor


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
