"""Checks of a recipe before hours of training, each with advice on how to fix what is wrong.

Every check measures; none relies on a setting.
"""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from inkling.config.recipe import AUTO, Recipe
from inkling.contracts import Cond
from inkling.data import DATASETS
from inkling.data.spectrum import are_drawings, deviation_at, principal_deviations
from inkling.inspect.overfitting import Finding, denoiser_of, encoded, overfitting, recipe_of
from inkling.models.build import noise_schedule, sampling_start
from inkling.pixels import from_bytes
from inkling.system.progress import duration
from inkling.training.budget import StepBudget
from inkling.training.denoising import step_randomness
from inkling.training.measured import LAYOUT
from inkling.training.objective import GradientStep
from inkling.training.prepare import prepare
from inkling.training.state import TrainState

_DRAWS = 2000
_LEFT = 0.05
"""Fraction of the signal that may be left where sampling starts from pure noise."""
_PLACING = 0.05
"""Share of training that should lie above the levels at which captions place things: with 0.02,
relations between two shapes stayed at chance level for good."""


def examine(recipe: Recipe, device_name: str = "auto") -> Iterator[Finding]:
    """Run all checks in order, from the data to the first training steps.

    Raises:
        UserError: the data are missing, or the recipe is inconsistent.
    """
    train = recipe.train
    budget = 0.0 if train.steps or train.epochs else train.budget
    if not budget:  # the run may have no end yet
        recipe = msgspec.structs.replace(recipe, train=msgspec.structs.replace(train, steps=1))
    state = prepare(recipe, device_name=device_name)
    for check in (
        _value_range,
        _sigma_data,
        _channels,
        _mirroring,
        _noise_levels,
        _layout_levels,
        _caption_drop,
        _null_condition,
        _weight_average,
        _disk_space,
    ):
        yield check(state)
    step_seconds = yield from overfitting(state)
    steps = StepBudget(train, 0.0, len(state.pictures)).total
    total = steps * step_seconds if steps else budget
    done = f"{steps:,} steps" if steps else f"{int(budget / step_seconds):,} steps"
    rate = state.recipe.train.batch / step_seconds
    yield Finding("time", True, f"{done} in {duration(total)}, {rate:,.0f} pictures/s")


def _some_images(state: TrainState, count: int = 512) -> Tensor:
    """Evenly spaced training images, uint8 [N, C, H, W]."""
    stride = max(1, len(state.pictures) // count)
    return state.pictures.at(torch.arange(0, len(state.pictures), stride)[:count])


def _value_range(state: TrainState) -> Finding:
    pixels = from_bytes(_some_images(state))
    low, high = pixels.min().item(), pixels.max().item()
    return Finding(
        "value range",
        high - low > 0.5 and low >= -1 and high <= 1,
        f"pixels lie in {low:.2f} .. {high:.2f} of -1 .. 1",
        "pictures should use the grey values 0 to 255; these look like 0 to 1, or empty",
    )


def _sigma_data(state: TrainState) -> Finding:
    model, used = denoiser_of(state), recipe_of(state).diffusion.sigma_data
    with torch.no_grad():
        measured = model.codec.encode(_some_images(state).to(model.device)).std().item()
    return Finding(
        "sigma_data",
        0.8 < used / max(measured, 1e-9) < 1.25,
        f"set to {used:.3f}, measured {measured:.3f}",
        f"diffusion.sigma_data={measured:.3f}, or 0 to have it measured",
    )


def _channels(state: TrainState) -> Finding:
    images = _some_images(state)
    channels = images.shape[1]
    same = channels == 3 and bool((images[:, :1] == images).all())
    return Finding(
        "channels",
        not same,
        f"{channels}" + (", all three equal" if same else ""),
        "data.channels=1: three equal channels cost time and add no information",
    )


def _mirroring(state: TrainState) -> Finding:
    name, mirrored = state.recipe.data.name, state.pictures.mirror
    allowed = DATASETS[name].mirror or name in ("folder", "hub")
    return Finding(
        "mirroring",
        allowed or not mirrored,
        "on" if mirrored else "off",
        f"data.mirror=false: mirroring changes the meaning of pictures in {name}",
    )


def _noise_levels(state: TrainState) -> Finding:
    recipe = recipe_of(state)
    found = sampling_start(recipe.diffusion, recipe.sample.grid)
    return Finding(
        "noise levels",
        not found.problem and found.signal < _LEFT,
        found.problem
        or f"trained up to sigma {found.trained[1]:.3g}, sampled from {found.sampled[1]:.3g}: "
        f"{found.signal:.1%} of the signal is left",
        "leave sigma_min and sigma_max out of sample.grid.options, so that sampling has the range "
        "of training, and train up to pure noise",
    )


def _layout_levels(state: TrainState) -> Finding:
    images = _some_images(state)
    check = "layout"
    if not state.pictures.conditional or not are_drawings(images):
        return Finding(check, True, "no captions, or photographs: nothing is known against it")
    with torch.no_grad():
        x = denoiser_of(state).codec.encode(images.to(denoiser_of(state).device))
    level = deviation_at(principal_deviations(x), LAYOUT)
    schedule = noise_schedule(recipe_of(state).diffusion.noise)
    above = (schedule.sigma(torch.linspace(0, 1, _DRAWS)) > level).float().mean().item()
    return Finding(
        check,
        above >= _PLACING,
        f"captions place things at noise levels around {level:.3g}, and {above:.1%} of training "
        "is above",
        f"diffusion.noise.name={AUTO} without diffusion.noise.options.mean and std: what is seldom "
        "seen at these levels is not learnt",
    )


def _caption_drop(state: TrainState) -> Finding:
    recipe, batch = recipe_of(state), state.recipe.train.batch
    schedule = noise_schedule(recipe.diffusion.noise)
    steps = max(1, _DRAWS // batch)
    drops = [
        step_randomness(
            recipe, schedule, GradientStep(step, 0.0, batch, slice(0, batch)), (1, 1, 1), "cpu"
        ).dropped
        for step in range(steps)
    ]
    setting, count = recipe.train.caption_drop, steps * batch
    measured = torch.cat(drops).float().mean().item()
    margin = 4 * math.sqrt(setting * (1 - setting) / count) + 1e-9
    return Finding(
        "caption drop",
        abs(measured - setting) <= margin,
        f"set to {setting:.1%}, measured {measured:.1%} of {count:,}",
        "`step_randomness`: drop where a uniform number is below train.caption_drop",
    )


@torch.no_grad()
def _null_condition(state: TrainState) -> Finding:
    captions = [sentence for sentence in state.pictures.sentences if sentence][:200]
    if not captions:
        return Finding("null condition", True, "no captions: an unconditional model")
    null, *real = (encoded(state, text) for text in ("", *captions))
    nearest = min((_summary(null) - _summary(cond)).norm().item() for cond in real)
    return Finding(
        "null condition",
        nearest > 1e-6,
        f"the nearest of {len(captions)} captions is {nearest:.3g} away",
        "other captions: one is encoded like the empty caption, so guidance cannot work",
    )


def _summary(cond: Cond) -> Tensor:
    """The pooled vector and the mean token of the condition of one caption, [2 D]."""
    tokens = cond.tokens[0, cond.mask[0]]
    mean = tokens.mean(0) if len(tokens) else torch.zeros_like(cond.vector[0])
    return torch.cat([cond.vector[0], mean])


def _weight_average(state: TrainState) -> Finding:
    parameters = {id(p) for p in state.model.parameters() if p.requires_grad}
    buffers = sum(id(live) not in parameters for live in state.ema.live)
    complete = len(state.ema.live) == len(parameters)
    return Finding(
        "weight average",
        buffers == 0 and complete,
        f"{len(state.ema.live)} tensors, {len(parameters)} parameters, {buffers} buffers",
        "Ema(model.parameters()): buffers must not be averaged",
    )


def _disk_space(state: TrainState) -> Finding:
    need = 4 * state.card.parameters
    need = (
        need * 4 * (state.recipe.train.keep + 1) + 4 * need
    )  # checkpoints, best, model, a temporary file
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "disk",
        need < 0.9 * free,
        f"the run writes up to {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free",
        "free space on the disk, a smaller train.keep, or --out on another disk",
    )
