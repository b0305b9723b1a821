"""A recipe becomes a training state: pictures read, objective built, optimisers made, weights
restored.
"""

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import AutocastKwargs
from torch import nn

from inkling.config.recipe import RunRecipe
from inkling.config.registries import check_names
from inkling.config.train import Train
from inkling.core.ema import Ema
from inkling.data import Pictures, read_pictures
from inkling.errors import UserError, UserNote, unknown_name
from inkling.models.build import described
from inkling.models.card import Card, card_of
from inkling.models.checkpoint import Checkpoint
from inkling.system import device as devices
from inkling.system.distributed import agreed_numbers, process_count, shard
from inkling.training import sizing
from inkling.training.budget import StepBudget
from inkling.training.epochs import EpochLosses
from inkling.training.gradients import threads_for
from inkling.training.objective import BuildInputs, Objective
from inkling.training.objectives import OBJECTIVES
from inkling.training.optimiser import Optimisers
from inkling.training.state import SHORT_WIDTHS, TrainState
from inkling.training.step import step_seconds
from inkling.training.warm_start import load_source, read_source, with_sigma_data_of

_PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def prepare(
    recipe: RunRecipe,
    *,
    device_name: str = "auto",
    start_from: str | Path | None = None,
    resume: Checkpoint | None = None,
    pictures: tuple[Pictures, Pictures] | None = None,
    started: float | None = None,
) -> TrainState:
    """Read the data and build the objective, its EMAs and its optimisers.

    Args:
        recipe: what to train.
        device_name: "auto", "cuda", "mps" or "cpu".
        start_from: a run whose averaged weights to begin with.
        resume: the training checkpoint to go on from.
        pictures: (to learn from, held out), where not those that the recipe names.
        started: `time.monotonic()` from which a budget counts; now, if not given.

    Raises:
        UserError: what the recipe names is not there, or does not fit together.
    """
    if not isinstance(recipe, RunRecipe):
        raise UserError(f"{recipe!r} is no recipe; give one, such as RECIPES['mnist']")
    started = time.monotonic() if started is None else started
    check_names(recipe)
    _objective(recipe)  # refuses what does not fit together before anything is read
    accelerator = _accelerator(recipe.train, device_name)
    training, validation = (
        described(recipe, each) for each in pictures or _split(recipe, accelerator)
    )
    _check_end(recipe.train)
    source = None
    if start_from is not None:
        source = read_source(recipe, Path(start_from), training)
        recipe = with_sigma_data_of(recipe, source)
    data = _Data(training, validation)
    sized = ""
    if resume is None and source is None and sizing.wanted(recipe):
        recipe, sized = _sized(recipe, data, accelerator, started)
    recipe = msgspec.structs.replace(
        recipe, train=msgspec.structs.replace(recipe.train, fit_budget=False)
    )
    objective = _built(recipe, data, accelerator, resume or source)
    if source is not None:
        load_source(objective, source, start_from)
    state = _state(objective, accelerator, data, started)
    state.sized = sized
    if resume is not None:
        _check_pictures(resume.card, training)
        state.restore(resume)
    return state


class _Data(NamedTuple):
    """What a run reads."""

    training: Pictures
    validation: Pictures


def _built(
    recipe: RunRecipe, data: _Data, accelerator: Accelerator, stored: Checkpoint | None = None
) -> Objective:
    """The objective of a recipe, with fresh weights."""
    with accelerator.main_process_first():  # where captions are encoded, one process does it
        given = BuildInputs(data.training, accelerator.device, stored, data.validation)
        return _objective(recipe).build(recipe, given)


def _state(
    objective: Objective, accelerator: Accelerator, data: _Data, started: float = 0.0
) -> TrainState:
    """The state before the first step, with EMAs and optimisers for an objective."""
    model, train = objective.model, objective.recipe.train
    objective.to(accelerator.device).train()
    prepared: nn.Module
    if train.shard and accelerator.num_processes > 1:
        shard(objective, objective.units(), accelerator.device)
        prepared = objective
    else:
        prepared = accelerator.prepare(objective)
    learning = [p for p in model.parameters() if p.requires_grad]
    threads = threads_for(objective, train, accelerator.num_processes)
    return TrainState(
        objective=objective,
        prepared=prepared,
        accelerator=accelerator,
        validation=data.validation,
        card=card_of(
            data.training,
            parameters=sum(p.numel() for p in learning),
            frozen=objective.frozen_parts(),
            device=devices.describe(accelerator.device),
            precision=_PRECISIONS[accelerator.mixed_precision],
            processes=accelerator.num_processes,
            codec=objective.codec(),
            by_calls=objective.by_calls(),
        ),
        ema=Ema(learning, width=train.ema_width, decay=train.ema_decay or None),
        short_emas=[Ema(learning, width=width) for width in SHORT_WIDTHS if train.snapshots],
        optimisers=Optimisers(train, objective, accelerator.scaler),
        budget=StepBudget(train, started, len(data.training)),
        epochs=EpochLosses(len(data.training), train.batch, accelerator.device),
        threads=threads,
    )


def _sized(
    recipe: RunRecipe, data: _Data, accelerator: Accelerator, started: float
) -> tuple[RunRecipe, str]:
    """(the recipe in the size for its budget, in words); all processes choose the same."""
    device, budget = accelerator.device, recipe.train.budget

    def seconds_of(tried: RunRecipe) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserNote)  # the run itself will say it
            state = _state(_built(tried, data, accelerator), accelerator, data)
        return agreed_numbers(device, step_seconds(state))[0]

    def left() -> float:
        return agreed_numbers(device, started + budget - time.monotonic())[0]

    parts = accelerator.num_processes * recipe.train.accumulation
    found = sizing.sized(recipe, seconds_of, left, parts)
    accelerator.free_memory()  # the networks that were tried
    return found


def _check_pictures(card: Card, now: Pictures) -> None:
    """Refuse to go on with other pictures than a run began with."""
    if card.pictures != len(now):
        raise UserError(
            f"the run was training on {card.pictures:,} pictures, and now there are "
            f"{len(now):,}; bring the data back, or start anew with --from this run"
        )
    if card.fingerprint and now.fingerprint and card.fingerprint != now.fingerprint:
        raise UserError(
            f"there are {len(now):,} pictures as before, but not those that the run was training "
            "on: pixels, captions or labels differ; bring the data back, or start anew with --from "
            "this run"
        )


def _objective(recipe: RunRecipe) -> type[Objective]:
    name = recipe.objective
    if name not in OBJECTIVES:
        raise UserError(unknown_name(name, OBJECTIVES, "train.objective"))
    objective = OBJECTIVES[name]
    if recipe.train.shard and not objective.can_be_sharded:
        raise UserError(f"the objective {name!r} cannot be sharded; leave train.shard out")
    if not isinstance(recipe, objective.recipe_type):
        raise UserError(
            f"the objective {name!r} reads other settings than this recipe has; leave "
            "train.objective as the recipe has it, or train another target (inkling train --help)"
        )
    if recipe.train.accumulation > 1 and objective.needs_whole_batch:
        raise UserError(
            f"the objective {name!r} compares the pictures of a batch with each other, so "
            f"train.accumulation={recipe.train.accumulation} would change it; set it to 1"
        )
    return objective


def _check_end(train: Train) -> None:
    """Refuse a run without an end.

    Raises:
        UserError: it says how to give one.
    """
    if not (train.steps or train.epochs or train.budget):
        raise UserError("give a run an end: --steps N, --epochs N or --budget 5m")


def _accelerator(train: Train, device_name: str) -> Accelerator:
    device = devices.choose(device_name)
    # So that a notebook may train again in another precision, or on another device.
    AcceleratorState._reset_state(reset_partial_state=process_count() == 1)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=devices.precision(train.precision, device),
        # A weight is cast once a step anyway, and the cache is one for all threads.
        kwargs_handlers=[AutocastKwargs(cache_enabled=device.type != "cpu")],
    )
    sharded = train.shard and accelerator.num_processes > 1
    if sharded and accelerator.mixed_precision == "fp16":
        raise UserError(
            "train.shard=true cannot scale the losses of float16; set train.precision=bfloat16 or "
            "float32"
        )
    parts = accelerator.num_processes * train.accumulation
    if train.batch % parts:
        raise UserError(
            f"train.batch {train.batch} does not divide over {accelerator.num_processes} "
            f"processes with train.accumulation {train.accumulation}; use a multiple of {parts}"
        )
    return accelerator


def split_pictures(recipe: RunRecipe) -> tuple[Pictures, Pictures]:
    """(training pictures, held-out ones) of a recipe.

    Raises:
        UserError: they cannot be read, or all would be held out.
    """
    everything = read_pictures(recipe.data)
    held = recipe.data.validation_count(len(everything))
    if held >= len(everything):
        raise UserError(
            f"data.validation {held} would leave nothing of {len(everything)} pictures to train on"
        )
    return everything.split(held, recipe.train.seed)


def _split(recipe: RunRecipe, accelerator: Accelerator) -> tuple[Pictures, Pictures]:
    """The pictures of a recipe, on the device if they fit there."""
    device = accelerator.device
    with accelerator.main_process_first():  # one process prepares, the others find it prepared
        training, validation = split_pictures(recipe)
    training = training.to(device, devices.room(device))
    return training, replace(validation, images=training.images)  # one copy of the pixels
