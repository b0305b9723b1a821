"""A preflight: proves the wiring of a run before hours are spent on it, and says how to fix it.

Every check measures; none trusts a setting.
"""

import dataclasses
import math
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.contracts import Cond
from inkling.core.noise import ends_of
from inkling.data import DATASETS
from inkling.models.build import noise_schedule
from inkling.models.text_denoiser import TextDenoiser
from inkling.pixels import from_bytes
from inkling.system.progress import duration
from inkling.training.denoising import DenoisingObjective, step_randomness
from inkling.training.loop import accumulate_gradients
from inkling.training.objective import GradientStep
from inkling.training.optimiser import Optimisers
from inkling.training.prepare import prepare
from inkling.training.state import TrainState

_OVERFIT_STEPS, _OVERFIT_SECONDS = 150, 25.0
_PICTURES = 8
_DRAWS = 2000


class Finding(NamedTuple):
    """What a check measured."""

    check: str
    ok: bool
    measured: str
    fix: str = ""
    """What to do about it."""


def examine(recipe: Recipe, device_name: str = "auto") -> Iterator[Finding]:
    """Check after check, from the data to the first steps of learning.

    Raises:
        UserError: the data are not there, or the recipe does not fit together.
    """
    steps, budget = recipe.train.steps, recipe.train.budget
    once = msgspec.structs.replace(recipe.train, steps=1)
    state = prepare(msgspec.structs.replace(recipe, train=once), device_name=device_name)
    for check in (_range, _spread, _channels, _mirroring, _ends, _drops, _null, _average):
        yield check(state)
    yield _room(state)
    taken = yield from _learning(state)
    total = steps * taken if steps else budget
    done = f"{steps:,} steps" if steps else f"{int(budget / taken):,} steps"
    rate = recipe.train.batch / taken
    yield Finding("time", True, f"{done} in {duration(total)}, {rate:,.0f} pictures/s")


def _some(state: TrainState, count: int = 512) -> Tensor:
    """An even choice of training pictures, uint8 [N, C, H, W]."""
    every = max(1, len(state.pictures) // count)
    return state.pictures.at(torch.arange(0, len(state.pictures), every)[:count])


def _range(state: TrainState) -> Finding:
    seen = from_bytes(_some(state))
    low, high = seen.min().item(), seen.max().item()
    return Finding(
        "value range",
        high - low > 0.5 and low >= -1 and high <= 1,
        f"pixels lie in {low:.2f} .. {high:.2f} of -1 .. 1",
        "pictures should use the grey values 0 to 255; these look like 0 to 1, or empty",
    )


def _spread(state: TrainState) -> Finding:
    model, used = _model(state), _recipe(state).diffusion.sigma_data
    with torch.no_grad():
        measured = model.codec.encode(_some(state).to(model.device)).std().item()
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
    seen = _some(state)
    channels = seen.shape[1]
    same = channels == 3 and bool((seen[:, :1] == seen).all())
    return Finding(
        "channels",
        not same,
        f"{channels}" + (", all three alike" if same else ""),
        "data.channels=1: three equal channels cost time and teach nothing",
    )


def _mirroring(state: TrainState) -> Finding:
    name, mirrored = state.recipe.data.name, state.pictures.mirror
    allowed = DATASETS[name].mirror or name in ("folder", "hub")
    return Finding(
        "mirroring",
        allowed or not mirrored,
        "on" if mirrored else "off",
        f"data.mirror=false: {name} does not keep its meaning in a mirror",
    )


def _ends(state: TrainState) -> Finding:
    recipe = _recipe(state)
    (_, top), (_, start) = (
        ends_of(noise_schedule(settings))
        for settings in (recipe.diffusion.noise, recipe.sample.grid)
    )
    spread = recipe.diffusion.sigma_data
    left = spread / math.hypot(spread, min(top, start))
    return Finding(
        "noisiest level",
        left < 0.05 and start <= 1.05 * top,
        f"trained up to sigma {top:.3g}, sampled from {start:.3g}: {left:.1%} of the picture is "
        "left",
        "end at a larger sigma_max: a picture that starts from pure noise should be trained on it",
    )


def _drops(state: TrainState) -> Finding:
    recipe, batch = _recipe(state), state.recipe.train.batch
    schedule = noise_schedule(recipe.diffusion.noise)
    steps = max(1, _DRAWS // batch)
    drops = [
        step_randomness(
            recipe, schedule, GradientStep(step, 0.0, batch, slice(0, batch)), (1, 1, 1), "cpu"
        ).dropped
        for step in range(steps)
    ]
    wanted, count = recipe.train.caption_drop, steps * batch
    found = torch.cat(drops).float().mean().item()
    margin = 4 * math.sqrt(wanted * (1 - wanted) / count) + 1e-9
    return Finding(
        "caption drop",
        abs(found - wanted) <= margin,
        f"set to {wanted:.1%}, measured {found:.1%} of {count:,}",
        "`step_randomness`: drop where a uniform number is below train.caption_drop",
    )


@torch.no_grad()
def _null(state: TrainState) -> Finding:
    said = [sentence for sentence in state.pictures.sentences if sentence][:200]
    if not said:
        return Finding("null condition", True, "no captions: an unconditional model")
    null, *real = (_model(state).encode_text([text]) for text in ("", *said))
    nearest = min((_meaning(null) - _meaning(cond)).norm().item() for cond in real)
    return Finding(
        "null condition",
        nearest > 1e-6,
        f"the nearest of {len(said)} captions is {nearest:.3g} away",
        "captions that say something: one reads like the empty caption, so guidance cannot work",
    )


def _meaning(cond: Cond) -> Tensor:
    """All that a condition of one caption says, whether pooled or token by token, [2 D]."""
    tokens = cond.tokens[0, cond.mask[0]]
    mean = tokens.mean(0) if len(tokens) else torch.zeros_like(cond.vector[0])
    return torch.cat([cond.vector[0], mean])


def _average(state: TrainState) -> Finding:
    parameters = {id(p) for p in state.model.parameters() if p.requires_grad}
    strangers = sum(id(live) not in parameters for live in state.ema.live)
    complete = len(state.ema.live) == len(parameters)
    return Finding(
        "weight average",
        strangers == 0 and complete,
        f"{len(state.ema.live)} tensors, {len(parameters)} parameters, {strangers} buffers",
        "Ema(model.parameters()): averaged schedule buffers spoil the schedule",
    )


def _room(state: TrainState) -> Finding:
    need = 4 * state.card.parameters
    need = (
        need * 4 * (state.recipe.train.keep + 1) + 4 * need
    )  # checkpoints, best, model, one beside
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "disk",
        need < 0.9 * free,
        f"the run writes up to {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free",
        "room on the disk, a smaller train.keep, or --out on another one",
    )


def _learning(state: TrainState) -> Generator[Finding, None, float]:
    """Overfit eight pictures; returns the seconds of a step at the recipe's own batch."""
    model, train = _model(state), state.recipe.train
    taken = _step_time(state)
    few = msgspec.structs.replace(train, batch=_PICTURES, accumulation=1, warmup=0)
    recipe = msgspec.structs.replace(_recipe(state), train=few)
    some = state.pictures.take(torch.arange(min(_PICTURES, len(state.pictures))))
    objective = DenoisingObjective(recipe, some, model, "")
    optimisers = Optimisers(few, objective, state.accelerator)
    prepared = state.accelerator.prepare(objective)
    overfit = dataclasses.replace(
        state, objective=objective, prepared=prepared, optimisers=optimisers
    )
    losses: list[float] = []
    reached, until = 0.0, time.monotonic() + _OVERFIT_SECONDS
    # A frozen encoder has none of its own: then the weights that read its conditions.
    text = list(model.text.parameters()) or model.network.caption_weights()
    while len(losses) < _OVERFIT_STEPS and time.monotonic() < until:
        overfit.step = len(losses)
        loss = accumulate_gradients(overfit)
        reached = max(reached, sum(p.grad.norm().item() for p in text if p.grad is not None))
        optimisers.step(1.0, loss)
        losses.append(loss.item())
    part = max(1, len(losses) // 6)
    first, last = (sum(each) / part for each in (losses[:part], losses[-part:]))
    yield Finding(
        "overfitting eight",
        math.isfinite(last) and last < 0.75 * first,
        f"loss {first:.3f} to {last:.3f} in {len(losses)} steps",
        "other learning rates (train.lr, train.muon_lr), or a look at the pictures: this does not "
        "learn even what it sees again and again",
    )
    if not state.objective.conditional:
        return taken
    yield Finding(
        "gradient to the text",
        reached > 0,
        f"largest norm {reached:.3g}",
        "text parameters that require gradients, and a network that reads the condition",
    )
    yield _follows(state)
    return taken


@torch.no_grad()
def _follows(state: TrainState) -> Finding:
    """Whether the output changes when nothing but the prompt does."""
    said = [sentence for sentence in state.pictures.sentences if sentence][:4] or [""]
    state.model.eval()
    model, shape = _model(state), tuple(state.pictures.shape)
    shape = model.codec.encoded_shape(shape)  # type: ignore[arg-type]
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(state.accelerator.device)
    level = torch.tensor(1.0, device=x.device)
    conds: list[Cond] = [_model(state).encode_text([text]) for text in ("", *said)]
    drawn = [model(x, level, cond) for cond in conds]
    state.model.train()
    change = max((drawn[0] - other).square().mean().sqrt().item() for other in drawn[1:])
    return Finding(
        "prompt",
        change > 1e-5,
        f"changing it alone changes the picture by {change:.3g}",
        "a network that reads the condition: net.condition, net.cross_attention, net.template",
    )


def _step_time(state: TrainState) -> float:
    """Seconds of a training step, the first ones left out."""
    taken = []
    for step in range(4):
        state.step = step
        begun = time.monotonic()
        state.optimisers.step(0.0, accumulate_gradients(state))
        taken.append(time.monotonic() - begun)
    state.step = 0
    return min(taken[1:])
