"""Checks of a recipe before hours of training, each with advice on how to fix what is wrong.

Every check measures; none relies on a setting.
"""

import dataclasses
import math
import shutil
import time
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.contracts import Cond
from inkling.data import DATASETS
from inkling.errors import UserNote
from inkling.models.build import noise_schedule, sampling_start
from inkling.models.text_denoiser import TextDenoiser
from inkling.pixels import from_bytes
from inkling.system.progress import duration
from inkling.training.denoising import DenoisingObjective, step_randomness
from inkling.training.gradients import accumulate_gradients
from inkling.training.objective import GradientStep
from inkling.training.optimiser import Optimisers
from inkling.training.prepare import prepare
from inkling.training.state import TrainState

_OVERFIT_STEPS, _OVERFIT_SECONDS = 150, 25.0
_PICTURES = 8
_DRAWS = 2000
_LEFT = 0.05
"""Fraction of the signal that may be left where sampling starts from pure noise."""


class Finding(NamedTuple):
    """The result of a check."""

    check: str
    ok: bool
    measured: str
    fix: str = ""
    """How to fix it."""


def examine(recipe: Recipe, device_name: str = "auto") -> Iterator[Finding]:
    """Run all checks in order, from the data to the first training steps.

    Raises:
        UserError: the data are missing, or the recipe is inconsistent.
    """
    budget = recipe.train.budget
    once = msgspec.structs.replace(recipe.train, steps=1)
    state = prepare(msgspec.structs.replace(recipe, train=once), device_name=device_name)
    for check in (
        _value_range,
        _sigma_data,
        _channels,
        _mirroring,
        _noise_levels,
        _caption_drop,
        _null_condition,
        _weight_average,
        _disk_space,
    ):
        yield check(state)
    step_seconds = yield from _overfitting(state)
    steps = state.budget.total
    total = steps * step_seconds if steps else budget
    done = f"{steps:,} steps" if steps else f"{int(budget / step_seconds):,} steps"
    rate = recipe.train.batch / step_seconds
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
    model, used = _model(state), _recipe(state).diffusion.sigma_data
    with torch.no_grad():
        measured = model.codec.encode(_some_images(state).to(model.device)).std().item()
    return Finding(
        "sigma_data",
        0.8 < used / max(measured, 1e-9) < 1.25,
        f"set to {used:.3f}, measured {measured:.3f}",
        f"diffusion.sigma_data={measured:.3f}, or 0 to have it measured",
    )


def _model(state: TrainState) -> TextDenoiser:
    assert isinstance(state.model, TextDenoiser), "the doctor examines denoisers"
    return state.model


def _recipe(state: TrainState) -> Recipe:
    assert isinstance(state.recipe, Recipe), "the doctor examines denoisers"
    return state.recipe


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
    recipe = _recipe(state)
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


def _caption_drop(state: TrainState) -> Finding:
    recipe, batch = _recipe(state), state.recipe.train.batch
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
    null, *real = (_encoded(state, text) for text in ("", *captions))
    nearest = min((_summary(null) - _summary(cond)).norm().item() for cond in real)
    return Finding(
        "null condition",
        nearest > 1e-6,
        f"the nearest of {len(captions)} captions is {nearest:.3g} away",
        "other captions: one is encoded like the empty caption, so guidance cannot work",
    )


def _encoded(state: TrainState, caption: str) -> Cond:
    """The condition of a caption, cut as in training, which noted it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNote)
        return _model(state).encode_text([caption], cut=True)


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


def _overfitting(state: TrainState) -> Generator[Finding, None, float]:
    """Overfit eight images; returns the seconds of a step at the recipe's own batch size."""
    model, train = _model(state), state.recipe.train
    step_seconds = _step_seconds(state)
    few = msgspec.structs.replace(train, batch=_PICTURES, accumulation=1, warmup=0)
    recipe = msgspec.structs.replace(_recipe(state), train=few)
    some = state.pictures.take(torch.arange(min(_PICTURES, len(state.pictures))))
    objective = DenoisingObjective(recipe, some, model, "")
    optimisers = Optimisers(few, objective, state.accelerator.scaler)
    prepared = state.accelerator.prepare(objective)
    overfit = dataclasses.replace(
        state, objective=objective, prepared=prepared, optimisers=optimisers
    )
    losses: list[float] = []
    text_gradient, end = 0.0, time.monotonic() + _OVERFIT_SECONDS
    # A frozen encoder has no parameters; then the network's weights that read conditions.
    text = list(model.text.parameters()) or model.network.caption_weights()
    while len(losses) < _OVERFIT_STEPS and time.monotonic() < end:
        overfit.step = len(losses)
        loss = accumulate_gradients(overfit).mean
        scale = optimisers.scaler.get_scale() if optimisers.scaler else 1.0
        norm = sum(p.grad.norm().item() for p in text if p.grad is not None) / scale
        text_gradient = max(text_gradient, norm)
        optimisers.step(1.0, loss)
        losses.append(loss.item())
    part = max(1, len(losses) // 6)
    first, last = (sum(each) / part for each in (losses[:part], losses[-part:]))
    yield Finding(
        "overfitting eight",
        math.isfinite(last) and last < 0.75 * first,
        f"loss {first:.3f} to {last:.3f} in {len(losses)} steps",
        "other learning rates (train.lr, train.muon_lr), or other pictures (inspect them): the "
        "model does not even overfit eight of them",
    )
    if not state.objective.conditional:
        return step_seconds
    if not text:  # a network of one's own that does not declare them, under a frozen encoder
        yield _prompt_effect(state)
        return step_seconds
    yield Finding(
        "gradient to the text",
        text_gradient > 0,
        f"largest norm {text_gradient:.3g}",
        "text parameters that require gradients, and a network that reads the condition",
    )
    yield _prompt_effect(state)
    return step_seconds


@torch.no_grad()
def _prompt_effect(state: TrainState) -> Finding:
    """Whether the output changes with the prompt alone."""
    captions = [sentence for sentence in state.pictures.sentences if sentence][:4] or [""]
    state.model.eval()
    model, shape = _model(state), tuple(state.pictures.shape)
    shape = model.codec.encoded_shape(shape)  # type: ignore[arg-type]
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(state.accelerator.device)
    level = torch.tensor(1.0, device=x.device)
    conds: list[Cond] = [_encoded(state, text) for text in ("", *captions)]
    outputs = [model(x, level, cond) for cond in conds]
    state.model.train()
    change = max((outputs[0] - other).square().mean().sqrt().item() for other in outputs[1:])
    return Finding(
        "prompt",
        change > 1e-5,
        f"changing only the prompt changes the output by {change:.3g}",
        "a network that reads the condition: net.condition, net.cross_attention, net.template",
    )


def _step_seconds(state: TrainState) -> float:
    """Seconds of a training step; the first step does not count."""
    seconds = []
    for step in range(4):
        state.step = step
        start = time.monotonic()
        state.optimisers.step(0.0, accumulate_gradients(state).mean)
        seconds.append(time.monotonic() - start)
    state.step = 0
    return min(seconds[1:])
