"""A preflight: proves the wiring of a run before hours are spent on it, and says how to mend it.

Every check measures; none trusts a setting.
"""

import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.config.overrides import override
from inkling.config.recipe import Recipe
from inkling.contracts import Cond
from inkling.data import DATASETS
from inkling.models.build import schedule
from inkling.runs.console import duration
from inkling.training.gradient_step import Optimisation, Work, draw, pixels
from inkling.training.state import Learner, prepare

_OVERFIT_STEPS, _OVERFIT_SECONDS = 150, 25.0
_PICTURES = 8
_DRAWS = 2000


class Finding(NamedTuple):
    """What a check found."""

    check: str
    sound: bool
    says: str
    mend: str = ""
    """What to do about it."""


def examine(recipe: Recipe, device_name: str = "auto") -> Iterator[Finding]:
    """Check after check, from the data to the first steps of learning.

    Raises:
        UserError: the data are not there, or the recipe does not fit together.
    """
    steps, budget = recipe.train.steps, recipe.train.budget
    learner = prepare(override(recipe, ["train.steps=1"]), device_name=device_name)
    for check in (_range, _spread, _channels, _mirroring, _ends, _drops, _null, _average):
        yield check(learner)
    yield _room(learner)
    taken = yield from _learning(learner)
    total = steps * taken if steps else budget
    done = f"{steps:,} steps" if steps else f"{int(budget / taken):,} steps"
    rate = recipe.train.batch / taken
    yield Finding("time", True, f"{done} in {duration(total)}, {rate:,.0f} pictures/s")


def _some(learner: Learner, count: int = 512) -> Tensor:
    """An even choice of training pictures, uint8 [N, C, H, W]."""
    every = max(1, len(learner.pictures) // count)
    return learner.pictures.at(torch.arange(0, len(learner.pictures), every)[:count])


def _range(learner: Learner) -> Finding:
    seen = pixels(_some(learner))
    low, high = seen.min().item(), seen.max().item()
    return Finding(
        "value range",
        high - low > 0.5 and low >= -1 and high <= 1,
        f"pixels lie in {low:.2f} .. {high:.2f} of -1 .. 1",
        "pictures should use the grey values 0 to 255; these look like 0 to 1, or empty",
    )


def _spread(learner: Learner) -> Finding:
    measured, used = learner.pictures.sigma_data(), learner.recipe.diffusion.sigma_data
    return Finding(
        "sigma_data",
        0.8 < used / max(measured, 1e-9) < 1.25,
        f"set to {used:.3f}, measured {measured:.3f}",
        f"diffusion.sigma_data={measured:.3f}, or 0 to have it measured",
    )


def _channels(learner: Learner) -> Finding:
    seen = _some(learner)
    channels = seen.shape[1]
    same = channels == 3 and bool((seen[:, :1] == seen).all())
    return Finding(
        "channels",
        not same,
        f"{channels}" + (", all three alike" if same else ""),
        "data.channels=1: three equal channels cost time and teach nothing",
    )


def _mirroring(learner: Learner) -> Finding:
    name, mirrored = learner.recipe.data.name, learner.pictures.mirror
    allowed = DATASETS[name].mirror or name in ("folder", "hub")
    return Finding(
        "mirroring",
        allowed or not mirrored,
        "on" if mirrored else "off",
        f"data.mirror=false: {name} does not keep its meaning in a mirror",
    )


def _ends(learner: Learner) -> Finding:
    law, grid = (
        schedule(settings)
        for settings in (learner.recipe.diffusion.noise, learner.recipe.sample.grid)
    )
    top, start = (each.sigma(torch.ones(())).item() for each in (law, grid))
    spread = learner.recipe.diffusion.sigma_data
    left = spread / math.hypot(spread, min(top, start))
    return Finding(
        "noisiest level",
        left < 0.05 and start <= 1.05 * top,
        f"trained up to sigma {top:.3g}, drawn from {start:.3g}: {left:.1%} of the picture is left",
        "end at a larger sigma_max: a picture that starts from pure noise should be trained on it",
    )


def _drops(learner: Learner) -> Finding:
    recipe = learner.recipe
    law, shape = schedule(recipe.diffusion.noise), torch.Size((1, 1, 1))
    steps = max(1, _DRAWS // recipe.train.batch)
    drops = [draw(recipe, law, step, shape, "cpu").dropped for step in range(steps)]
    wanted, count = recipe.train.caption_drop, steps * recipe.train.batch
    found = torch.cat(drops).float().mean().item()
    margin = 4 * math.sqrt(wanted * (1 - wanted) / count) + 1e-9
    return Finding(
        "caption drop",
        abs(found - wanted) <= margin,
        f"set to {wanted:.1%}, measured {found:.1%} of {count:,}",
        "a mended `work.draw`: drop where a uniform number is below train.caption_drop",
    )


@torch.no_grad()
def _null(learner: Learner) -> Finding:
    said = [sentence for sentence in learner.pictures.sentences if sentence][:200]
    if not said:
        return Finding("null condition", True, "no captions: an unconditional model")
    null, *real = (learner.model.condition([text]) for text in ("", *said))
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


def _average(learner: Learner) -> Finding:
    parameters = {id(p) for p in learner.model.parameters()}
    strangers = sum(id(live) not in parameters for live in learner.ema.live)
    complete = len(learner.ema.live) == len(parameters)
    return Finding(
        "weight average",
        strangers == 0 and complete,
        f"{len(learner.ema.live)} tensors, {len(parameters)} parameters, {strangers} buffers",
        "Ema(model.parameters()): averaged schedule buffers spoil the schedule",
    )


def _room(learner: Learner) -> Finding:
    need = 4 * sum(p.numel() for p in learner.model.parameters())
    need = need * 4 * (learner.recipe.train.keep + 1) + 4 * need  # states, best, model, one beside
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "disk",
        need < 0.9 * free,
        f"the run writes up to {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free",
        "room on the disk, a smaller train.keep, or --out on another one",
    )


def _learning(learner: Learner) -> Generator[Finding, None, float]:
    """Overfit eight pictures; returns the seconds of a step at the recipe's own batch."""
    model, recipe = learner.model, learner.recipe
    taken = _step_time(learner)
    few = override(recipe, [f"train.batch={_PICTURES}", "train.accumulation=1", "train.warmup=0"])
    some = learner.pictures.take(torch.arange(min(_PICTURES, len(learner.pictures))))
    work = Work(few, some, model, learner.accelerator)
    optimisation = Optimisation(few, model, learner.accelerator)
    losses: list[float] = []
    reached, until = 0.0, time.monotonic() + _OVERFIT_SECONDS
    # A frozen encoder has none of its own: then those that read what it says.
    text = list(model.text.parameters()) or [
        parameter
        for name, parameter in model.denoiser.named_parameters()
        if (".caption.weight" in name and recipe.text.pooled) or ".cross_kv.weight" in name
    ]
    while len(losses) < _OVERFIT_STEPS and time.monotonic() < until:
        loss = work.gradients(len(losses), 1.0)
        reached = max(reached, sum(p.grad.norm().item() for p in text if p.grad is not None))
        optimisation.step(1.0, loss)
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
    if not learner.conditional:
        return taken
    yield Finding(
        "gradient to the text",
        reached > 0,
        f"largest norm {reached:.3g}",
        "text parameters that require gradients, and a network that reads the condition",
    )
    yield _follows(learner)
    return taken


@torch.no_grad()
def _follows(learner: Learner) -> Finding:
    """Whether the output changes when nothing but the prompt does."""
    said = [sentence for sentence in learner.pictures.sentences if sentence][:4] or [""]
    learner.model.eval()
    noise = torch.randn(1, *learner.pictures.shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(learner.accelerator.device)
    level = torch.tensor(1.0, device=x.device)
    conds: list[Cond] = [learner.model.condition([text]) for text in ("", *said)]
    drawn = [learner.model.denoiser(x, level, cond) for cond in conds]
    learner.model.train()
    change = max((drawn[0] - other).square().mean().sqrt().item() for other in drawn[1:])
    return Finding(
        "prompt",
        change > 1e-5,
        f"changing it alone changes the picture by {change:.3g}",
        "a network that reads the condition: net.condition, net.cross_attention, net.template",
    )


def _step_time(learner: Learner) -> float:
    """Seconds of a training step, the first ones left out."""
    work: Callable[[int, float], Tensor] = learner.work.gradients
    taken = []
    for step in range(4):
        begun = time.monotonic()
        learner.optimisation.step(0.0, work(step, 1.0))
        taken.append(time.monotonic() - begun)
    return min(taken[1:])
