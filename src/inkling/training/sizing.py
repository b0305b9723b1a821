"""From a time budget and the speed of the machine to width and batch.

The loss after training is predicted from width, batch and steps, in the manner of the scaling laws
of Hoffmann et al. 2022 (equation 2). Its numbers are a fit to runs on MNIST over widths, batches
and lengths (docs/log.md). Only the best choice is taken from it, never the loss itself. It has not
been held against budgets that were not used to fit.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from inkling.config.recipe import Recipe, RunRecipe
from inkling.system.progress import duration

AnyRecipe = TypeVar("AnyRecipe", bound=RunRecipe)

_FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Of the widths of the recipe. The ends of these two keep to what was tried, and to memory."""
_BATCHES = (32, 64, 128, 256)
_MEASURED, _WIDER = 64, 2.0
"""Batch of the steps that are measured, and the factor of one of them."""
_AS_GOOD = 0.003
"""Relative difference of losses that is within the error of the prediction."""
_LEAST = 5.0
"""Seconds for which there is always something to choose."""
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
    def of(cls, batch: int, narrow: float, double: float, wide: float) -> "StepTime":
        """From the seconds of three steps; no part of it is negative.

        Args:
            batch: of the first and the third step; the second has twice as many pictures.
            narrow: of the recipe's own widths.
            double: the same, with twice as many pictures.
            wide: of `_WIDER` times the widths.
        """
        picture = min(max((double - narrow) / batch, 0.0), narrow / batch)
        widening = min(max((wide - narrow) / batch / (_WIDER**2 - 1), 0.0), picture)
        return cls(narrow - batch * picture, picture - widening, widening)

    def step(self, factor: float, batch: int) -> float:
        """Seconds of a step of some batch with the widths times a factor."""
        return self.start + batch * (self.shared + self.widening * factor**2)


def wanted(recipe: RunRecipe) -> bool:
    """Whether width and batch of a run are to be chosen for its budget."""
    train = recipe.train
    by_time = train.budget and not (train.steps or train.epochs)
    cannot = train.shard or train.sizes  # pictures that grow have no one cost
    return isinstance(recipe, Recipe) and train.fit_budget and bool(by_time) and not cannot


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
    batch = divided(_MEASURED, divisor)
    tried = ((1.0, batch), (1.0, 2 * batch), (_WIDER, batch))
    time = StepTime.of(batch, *(step_seconds(with_size(recipe, *each)) for each in tried))
    scales = with_size(recipe, _WIDER, batch) != with_size(recipe, 1.0, batch)
    factor, batch = best_size(
        time,
        max(left() * (1 - _SHOWN), _LEAST),
        factors=_FACTORS if scales else (1.0,),
        batches=sorted({divided(each, divisor) for each in _BATCHES}),
    )
    chosen = with_size(recipe, factor, batch)
    return chosen, (
        f"chosen for {duration(recipe.train.budget)} at {batch / time.step(factor, batch):,.0f} "
        f"pictures/s: {in_words(chosen)}"
    )


def best_size(
    time: StepTime,
    seconds: float,
    factors: Sequence[float] = _FACTORS,
    batches: Sequence[int] = _BATCHES,
) -> tuple[float, int]:
    """The (factor of the widths, batch) for a budget: the narrowest network, and with it the batch,
    whose predicted loss is as good as the smallest one.

    Args:
        time: of a step.
        seconds: to train for.
        factors: to choose from.
        batches: to choose from.
    """

    def loss(size: tuple[float, int]) -> float:
        return predicted_loss(*size, steps=seconds / time.step(*size))

    losses = {size: loss(size) for size in product(factors, batches)}
    enough = min(losses.values()) * (1 + _AS_GOOD)
    factor = min(size[0] for size, value in losses.items() if value <= enough)
    return factor, min(batches, key=lambda batch: losses[factor, batch])


def predicted_loss(factor: float, batch: int, steps: float) -> float:
    """The validation loss of the recipe `mnist` at the end of a run.

    Four parts: what nothing removes, what only width removes, what is left by too few steps, of
    which wider networks need fewer, and what is left by too few pictures.

    Args:
        factor: of the widths (32, 64).
        batch: pictures a step.
        steps: of the run, which may be a fraction.
    """
    pictures = steps * batch
    width = 0.0063 * math.pow(factor, -1.209)
    too_few_steps = 0.0083 * math.pow(steps / 500 * math.pow(factor, 0.665), -1.567)
    too_few_pictures = 0.0103 * math.pow(pictures / 1e5 * math.pow(factor, 0.089), -0.678)
    return 0.1912 + width + too_few_steps + too_few_pictures


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
    names = [name for name in ("widths", "up_widths", "width") if getattr(recipe.net, name, ())]
    sizes = [f"net.{name}={_listed(getattr(recipe.net, name))}" for name in names]
    rates = [f"train.{name}={getattr(train, name):g}" for name in ("batch", "lr", "muon_lr")]
    return " ".join([*sizes, *rates])


def divided(batch: int, divisor: int) -> int:
    """The batch, or the next larger one that can be shared out."""
    return -(-batch // divisor) * divisor


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
