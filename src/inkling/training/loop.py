"""`fit(recipe)` trains a model as a generator of `Progress`; the caller drives.

Progress lines, previews, validation and files are the caller's business between the steps. A run of
a given step count depends on its recipe alone: step n draws its noise from (seed, n), and the order
of the pictures comes from (seed, epoch).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.errors import UserError
from inkling.models.checkpoint import Stored
from inkling.training.budget import Pace, learning_rate_factor
from inkling.training.state import Learner, prepare


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
    """Pictures trained on a second, without the caller's pauses where one is due."""
    seconds: float
    """Since the run began, pauses included."""
    eta: float | None
    """Seconds to go; None while a budget is still being measured."""
    due: bool
    """Whether now is the time for a preview and a validation."""
    learner: Learner
    """Everything that learns."""
    pace: Pace
    """How many steps the run has."""

    def state(self) -> Stored:
        """Everything that the run needs to go on from here."""
        return self.learner.state(self.pace.state())


def fit(
    recipe: Recipe,
    *,
    device_name: str = "auto",
    start_from: str | Path | None = None,
    resume: Stored | None = None,
    started: float | None = None,
) -> Iterator[Progress]:
    """Train a model; yields after every optimiser step.

    Args:
        recipe: what to train, on what, for how many steps or how long.
        device_name: "auto", "cuda", "mps" or "cpu".
        start_from: a run whose averaged weights to begin with.
        resume: the training state to go on from; the run is then the uninterrupted one.
        started: `time.monotonic()` from which a budget counts; now, if not given.

    Raises:
        UserError: what the recipe names is not there, or does not fit together; or too many
            steps in a row had a loss or gradient that is not finite.
    """
    started = time.monotonic() if started is None else started
    learner = prepare(recipe, device_name=device_name, start_from=start_from, resume=resume)
    train = learner.recipe.train
    pace = Pace(learner.recipe, started)
    if resume is not None:
        pace.restore(resume.progress["pace"], learner.seconds)
    begun = time.monotonic()
    while pace.total is None or learner.step < pace.total:
        factor = learning_rate_factor(
            learner.step, pace.total, train.warmup, train.decay, train.curve
        )
        loss = learner.work.gradients(learner.step, pace.share(learner.step))
        norm, sound = learner.optimisation.step(factor, loss)
        learner.step += 1
        if sound:
            learner.average()
            learner.in_a_row = 0
        else:
            _count_skipped(learner)
        ended = time.monotonic()
        learner.worked, begun = learner.worked + ended - begun, ended
        learner.seconds = ended - pace.started
        if pace.budget:  # one clock says how many steps fit
            learner.worked, learner.seconds = of_the_first(
                learner.accelerator, learner.worked, learner.seconds
            )

        measured = pace.measure(learner.step, learner.worked, learner.seconds)
        due = measured or pace.due(learner.step)
        yield Progress(
            step=learner.step,
            total=pace.total,
            loss=loss,
            grad_norm=norm,
            lr=train.lr * factor,
            images_per_second=learner.step * train.batch / learner.worked,
            seconds=learner.seconds,
            eta=pace.eta(learner.step, learner.worked),
            due=due,
            learner=learner,
            pace=pace,
        )
        if due:
            begun = time.monotonic()
            (pace.pause,) = of_the_first(learner.accelerator, begun - ended)
            pace.fix(learner.step, learner.worked, learner.seconds + pace.pause)
        else:
            pace.correct(learner.step, learner.worked, learner.seconds)


def of_the_first(accelerator: Accelerator, *numbers: float) -> tuple[float, ...]:
    """Numbers of the first process on every process: they must agree on what to do."""
    if accelerator.num_processes == 1:
        return numbers
    place = accelerator.device
    kind = torch.float32 if place.type == "mps" else torch.float64
    return tuple(broadcast(torch.tensor(numbers, dtype=kind, device=place)).tolist())


def _count_skipped(learner: Learner) -> None:
    """Count a step that changed nothing; stop where none changes anything any more."""
    learner.skipped += 1
    learner.in_a_row += 1
    train = learner.recipe.train
    if learner.in_a_row >= train.most_skipped:
        raise UserError(
            f"the loss or the gradient was not finite in {learner.in_a_row} steps in a row, up to "
            f"step {learner.step}; go back to the last saved state with a lower learning rate "
            f"(train.lr={train.lr:g}, train.muon_lr={train.muon_lr:g}), train.clip=1 or "
            "train.precision=float32, and look at the pictures with `inkling doctor`"
        )
