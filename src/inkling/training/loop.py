"""`fit(recipe)` trains anything that has an objective, as a generator of `Progress`.

Progress lines, previews, validation and files are the caller's business between the steps. A run of
a given step count depends on its recipe alone: step n draws its noise from (seed, n), and the order
of the pictures comes from (seed, epoch).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from inkling.config.recipe import RunRecipe
from inkling.data import Pictures
from inkling.models.checkpoint import Checkpoint
from inkling.system.distributed import agreed_numbers
from inkling.training.epochs import EpochMeans
from inkling.training.optimiser import learning_rate_factor
from inkling.training.prepare import prepare
from inkling.training.state import TrainState
from inkling.training.step import take_step


class Progress(NamedTuple):
    """What `fit` yields after every optimiser step."""

    step: int
    """Optimiser steps done."""
    total: int | None
    """Steps of the whole run; None while a budget is still being measured."""
    loss: Tensor
    """[] mean training loss of the batch, on the training device."""
    grad_norm: Tensor
    """[] gradient norm of AdamW's parameters before clipping."""
    lr: float
    """AdamW's learning rate at this step."""
    images_per_second: float
    """Pictures trained on a second, without the caller's previews."""
    seconds: float
    """Since the run began, previews included."""
    eta: float | None
    """Seconds to go; None while a budget is still being measured."""
    preview_due: bool
    """Whether now is the time for a preview and a validation."""
    epoch: EpochMeans | None
    """Mean training losses of the epoch that ended with this step, if one did."""
    state: TrainState
    """Everything that learns; `state.save(folder)` writes the model."""


def fit(
    recipe: RunRecipe,
    *,
    device_name: str = "auto",
    start_from: str | Path | None = None,
    resume: Checkpoint | None = None,
    pictures: tuple[Pictures, Pictures] | None = None,
    started: float | None = None,
) -> Iterator[Progress]:
    """Train what a recipe describes; yields after every optimiser step.

    Args:
        recipe: what to train, on what, for how many steps or how long.
        device_name: "auto", "cuda", "mps" or "cpu".
        start_from: a run whose averaged weights to begin with.
        resume: the training checkpoint to go on from; the run is then the uninterrupted one.
        pictures: (to learn from, held out), where not those that the recipe names.
        started: `time.monotonic()` from which a budget counts; now, if not given.

    Raises:
        UserError: what the recipe names is not there, or does not fit together; or too many
            steps in a row had a loss or gradient that is not finite.
    """
    state = prepare(
        recipe,
        device_name=device_name,
        start_from=start_from,
        resume=resume,
        pictures=pictures,
        started=started,
    )
    budget, train, device = state.budget, state.recipe.train, state.accelerator.device
    begun = time.monotonic()
    while budget.total is None or state.step < budget.total:
        factor = learning_rate_factor(
            state.step, budget.total, train.warmup, train.decay, train.curve
        )
        done = take_step(state, factor)
        ended = time.monotonic()
        state.worked, begun = state.worked + ended - begun, ended
        state.seconds = ended - budget.started
        if budget.needs_clock:  # one clock for all processes
            state.worked, state.seconds = agreed_numbers(device, state.worked, state.seconds)

        measured = budget.measured(state.step, state.worked, state.seconds)
        due = budget.preview_due(state.step, state.seconds, measured)
        yield Progress(
            step=state.step,
            total=budget.total,
            loss=done.loss,
            grad_norm=done.grad_norm,
            lr=train.lr * factor,
            images_per_second=state.step * train.batch / state.worked,
            seconds=state.seconds,
            eta=budget.eta(state.step, state.worked),
            preview_due=due,
            epoch=state.epochs.means(state.step, last=state.step == budget.total),
            state=state,
        )
        if due:
            begun = time.monotonic()
            (budget.last_preview_seconds,) = agreed_numbers(device, begun - ended)
            state.previewed += budget.last_preview_seconds
        if due or measured:
            pause = budget.last_preview_seconds if due else 0.0
            budget.fix(state.step, state.worked, state.seconds + pause)
        else:
            budget.correct(state.step, state.worked, state.seconds)
