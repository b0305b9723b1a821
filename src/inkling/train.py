"""`fit(recipe)` trains a model as a generator of `Progress`; the caller drives.

Progress lines, previews, validation and files are the caller's business between the steps. A run of
a given step count depends on its recipe alone: step n draws its noise from (seed, n), and the order
of the pictures comes from (seed, epoch).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from inkling import checkpoint, device
from inkling.assemble import TextDenoiser, assemble, read_pictures, schedule, text_encoder
from inkling.core.ema import Ema
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.pace import Pace, learning_rate_factor
from inkling.recipe import Recipe
from inkling.work import Optimisation, Work, pixels

_VALIDATION = 500
"""Pictures held out where the recipe does not say."""


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
    """Pictures trained on a second, without the caller's pauses."""
    seconds: float
    """Since the run began, pauses included."""
    eta: float | None
    """Seconds to go; None while a budget is still being measured."""
    due: bool
    """Whether now is the time for a preview and a validation."""
    learner: "Learner"
    """Everything that learns."""


@dataclass
class Learner:
    """Everything that learns, and what it learns from."""

    recipe: Recipe
    """With every measured value filled in."""
    accelerator: Accelerator
    pictures: Pictures
    validation: Pictures
    model: TextDenoiser
    ema: Ema
    step: int = 0
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def averaged(self) -> Iterator[TextDenoiser]:
        """The model with its averaged weights, in eval mode; training weights return after."""
        self.ema.swap()
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.train()
            self.ema.swap()

    @torch.no_grad()
    def validate(self) -> float:
        """Loss of the averaged weights on held-out pictures, with the same noise at every call."""
        with self.averaged() as model:
            count = len(self.validation)
            place = self.accelerator.device
            generator = stream(self.recipe.train.seed, "validation")
            u = (torch.arange(count) + 0.5) / count
            sigma = schedule(self.recipe.diffusion.noise).sigma(u).float().to(place)
            sigma = sigma[torch.randperm(count, generator=generator).to(place)]
            clean = pixels(self.validation.pixels().to(place))
            noise = torch.randn(clean.shape, generator=generator).to(place)
            groups, which = torch.unique(self.validation.group, return_inverse=True)
            first = [self.validation.groups[group][0] for group in groups]
            ids = model.text.tokenize(first, cut=True).to(place)
            which = which.to(place)
            losses = [
                model(
                    clean[rows],
                    noise[rows],
                    sigma[rows],
                    ids,
                    which[rows],
                    self.recipe.diffusion.loss,
                    self.recipe.diffusion.weighting,
                )
                for rows in torch.split(torch.arange(count, device=place), 250)
            ]
        return torch.cat(losses).mean().item()

    def save(self, path: str | Path) -> Path:
        """Write the self-describing checkpoint into a run folder and return its path."""
        names = [name for name, _ in self.model.named_parameters()]
        average = dict(zip(names, self.ema.average, strict=True))
        facts = self.facts | {"steps": self.step, "seconds": round(self.seconds, 1)}
        return checkpoint.save(Path(path), self.model, average, self.recipe, facts)


def prepare(
    recipe: Recipe, *, device_name: str = "auto", start_from: str | Path | None = None
) -> Learner:
    """Read the data and build the model, its average and its accelerator.

    Raises:
        UserError: what the recipe names is not there, or does not fit together.
    """
    if recipe.train.steps == 0 and recipe.train.budget == 0:
        raise UserError("give a run an end: --steps N or --budget 5m")
    place = device.choose(device_name)
    AcceleratorState._reset_state()  # so that a notebook may train again in another precision
    accelerator = Accelerator(
        cpu=place.type == "cpu",
        mixed_precision=device.precision(recipe.train.precision, place),
    )
    share = accelerator.num_processes * recipe.train.accumulation
    if recipe.train.batch % share:
        raise UserError(
            f"train.batch {recipe.train.batch} does not divide over {accelerator.num_processes} "
            f"processes with train.accumulation {recipe.train.accumulation}; use a multiple of "
            f"{share}"
        )
    with accelerator.main_process_first():  # one process prepares, the others find it prepared
        everything = read_pictures(recipe.data)
    everything = everything.to(accelerator.device, device.room(accelerator.device))
    held = recipe.data.validation
    if held is None:
        held = min(_VALIDATION, len(everything) // 10)
    if held >= len(everything):
        raise UserError(
            f"data.validation {held} would leave nothing of {len(everything)} pictures to train on"
        )
    pictures, validation = everything.split(held, recipe.train.seed)
    if recipe.diffusion.sigma_data == 0:
        measured = msgspec.structs.replace(
            recipe.diffusion, sigma_data=round(pictures.sigma_data(), 4)
        )
        recipe = msgspec.structs.replace(recipe, diffusion=measured)

    source = None if start_from is None else checkpoint.load(Path(start_from))
    channels = everything.shape[0]
    torch.manual_seed(recipe.train.seed)  # for the fresh weights, the one use of torch's own stream
    text = text_encoder(
        recipe,
        sentences=pictures.sentences,
        vocabulary=None if source is None else source.model.text.vocabulary(),
    )
    model = assemble(recipe, text, channels)
    if source is not None:
        _start_from(model, source, start_from)
    model.to(accelerator.device).train()
    train = recipe.train
    ema = Ema(model.parameters(), width=train.ema_width, decay=train.ema_decay or None)
    return Learner(
        recipe,
        accelerator,
        pictures,
        validation,
        model,
        ema,
        facts={
            "channels": channels,
            "size": list(everything.shape[1:]),
            "classes": list(everything.classes),
            "pictures": len(pictures),
            "data": pictures.describe(),
            "problems": list(pictures.problems),
            "parameters": sum(p.numel() for p in model.parameters()),
            "device": device.describe(accelerator.device),
            "precision": {"no": "float32", "bf16": "bfloat16"}[accelerator.mixed_precision],
            "processes": accelerator.num_processes,
            "torch": torch.__version__,
        },
    )


def _start_from(model: TextDenoiser, source: checkpoint.Checkpoint, path: object) -> None:
    given, wanted = source.model.state_dict(), model.state_dict()
    for name, tensor in wanted.items():
        if name not in given or given[name].shape != tensor.shape:
            have = tuple(given[name].shape) if name in given else "missing"
            raise UserError(
                f"the weights of {path} do not fit this recipe: {name} is {have} there and "
                f"{tuple(tensor.shape)} here; use the recipe that run was trained with"
            )
    model.load_state_dict(given)


def fit(
    recipe: Recipe,
    *,
    device_name: str = "auto",
    start_from: str | Path | None = None,
    started: float | None = None,
) -> Iterator[Progress]:
    """Train a model; yields after every optimiser step.

    Args:
        recipe: what to train, on what, for how many steps or how long.
        device_name: "auto", "cuda", "mps" or "cpu".
        start_from: a run whose averaged weights to begin with.
        started: `time.monotonic()` from which a budget counts; now, if not given.

    Raises:
        UserError: what the recipe names is not there, or does not fit together.
    """
    started = time.monotonic() if started is None else started
    learner = prepare(recipe, device_name=device_name, start_from=start_from)
    train = learner.recipe.train
    work = Work(learner.recipe, learner.pictures, learner.model, learner.accelerator)
    optimisation = Optimisation(learner.recipe, learner.model, learner.accelerator)
    pace = Pace(learner.recipe, started)
    worked = 0.0
    while pace.total is None or learner.step < pace.total:
        begun = time.monotonic()
        factor = learning_rate_factor(learner.step, pace.total, train.warmup, train.decay)
        loss = work.gradients(learner.step)
        norm = optimisation.step(factor)
        learner.step += 1
        learner.ema.update(learner.step)
        worked += time.monotonic() - begun

        measured = pace.measure(learner.step, worked)
        due = measured or pace.due(learner.step)
        paused = time.monotonic()
        learner.seconds = paused - started
        yield Progress(
            step=learner.step,
            total=pace.total,
            loss=loss,
            grad_norm=norm,
            lr=train.lr * factor,
            images_per_second=learner.step * train.batch / worked,
            seconds=learner.seconds,
            eta=pace.eta(learner.step, worked),
            due=due,
            learner=learner,
        )
        if due:
            pace.pause = time.monotonic() - paused
            pace.fix(learner.step, worked)
