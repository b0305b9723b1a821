"""`fit(recipe)` trains a model as a generator of `Progress`; the caller drives.

Progress lines, previews, validation and files are the caller's business between the steps. A run of
a given step count depends on its recipe alone: step n draws its noise from (seed, n), and the order
of the pictures comes from (seed, epoch).
"""

import math
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
from torch import Tensor, nn

from inkling import checkpoint, data, device
from inkling.assemble import TextDenoiser, assemble, hidden_matrices, schedule, text_encoder
from inkling.core.ema import Ema
from inkling.core.muon import Muon
from inkling.core.noise import Schedule
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.data.pictures import Feed
from inkling.errors import UserError
from inkling.recipe import Recipe

_MEASURED_SHARE = 0.08
"""Share of a budget after which the step count is fixed."""


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
            clean = pixels(self.validation.images)
            noise = torch.randn(clean.shape, generator=generator).to(place)
            first = [group[0] for group in self.validation.groups]
            ids = model.text.tokenize(first).to(place)
            losses = [
                model(
                    clean[rows],
                    noise[rows],
                    sigma[rows],
                    ids,
                    self.validation.group[rows.cpu()].to(place),
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


def pixels(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


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
    folder = Path(recipe.data.path) if recipe.data.path else None
    everything = data.read(recipe.data.name, folder, "train").to(accelerator.device)
    held = recipe.data.validation
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
    channels = everything.images.shape[1]
    torch.manual_seed(recipe.train.seed)  # for the fresh weights, the one use of torch's own stream
    text = text_encoder(
        recipe,
        sentences=pictures.sentences,
        vocabulary=None if source is None else source.model.text.vocabulary(),
    )
    model = assemble(recipe, text, channels)
    if source is not None:
        _start_from(model, source, start_from)
    text.tokenize(pictures.sentences)  # a caption that is too long is found before the first step
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
            "size": list(everything.images.shape[2:]),
            "classes": list(everything.classes),
            "pictures": len(pictures),
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


class Plan:
    """How many steps the run has: given, or fixed once a budget's speed is measured."""

    def __init__(self, recipe: Recipe, started: float):
        self.total: int | None = recipe.train.steps or None
        self.budget = recipe.train.budget
        self.previews = recipe.train.previews
        self.started = started
        self.pause = 0.0  # what the caller took at the last preview
        self._window: tuple[int, float] | None = None

    def measure(self, step: int, worked: float) -> bool:
        """Take in the time at which a step ended; True when the measuring is over.

        Args:
            step: steps done.
            worked: seconds spent on them.
        """
        if self.total is not None:
            return False
        if self._window is None:
            if step >= 3:  # the first steps allocate and compile
                self._window = (step, worked)
            return False
        first, _ = self._window
        enough = time.monotonic() - self.started >= _MEASURED_SHARE * self.budget
        return enough and step >= first + 3

    def fix(self, step: int, worked: float) -> None:
        """Set the step count so that steps, previews and all end with the budget."""
        assert self._window is not None
        first, since = self._window
        step_time = (worked - since) / (step - first)
        left = self.budget - (time.monotonic() - self.started) - self.previews * self.pause
        self.total = step + max(int(left / step_time), 1)

    def eta(self, step: int, worked: float) -> float | None:
        """Seconds to go, previews included; None while the speed is being measured."""
        if self.total is None:
            return None
        every = self._every()
        left = self.total // every - step // every + bool(self.previews and self.total % every)
        return (self.total - step) * worked / step + left * self.pause

    def _every(self) -> int:
        """Steps from one preview to the next; more than the run has where there are none."""
        assert self.total is not None
        return math.ceil(self.total / self.previews) if self.previews else self.total + 1

    def due(self, step: int) -> bool:
        """Whether a preview belongs after this step: evenly spread, the last at the end."""
        if self.total is None or not self.previews:
            return False
        return step == self.total or step % self._every() == 0


def learning_rate_factor(step: int, total: int | None, warmup: int, decay: float) -> float:
    """Share of the peak learning rate at `step`, counted from 0: up, level, linearly to zero."""
    if total is not None:
        warmup = min(warmup, total // 4)
    rise = min(1.0, (step + 1) / (warmup + 1))
    if total is None or decay == 0:
        return rise
    return rise * min(1.0, (total - step) / (decay * total))


class Optimisation:
    """AdamW and, where the recipe has it, Muon beside it, under one learning-rate law."""

    def __init__(self, recipe: Recipe, model: TextDenoiser, accelerator: Accelerator):
        train = recipe.train
        matrices, others = hidden_matrices(model)
        if train.optimiser == "adamw":
            matrices, others = [], [*others, *matrices]
        beta1, beta2 = train.betas
        chosen: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                others, train.lr, betas=(beta1, beta2), weight_decay=train.weight_decay, fused=True
            )
        ]
        if matrices:
            chosen.append(Muon(matrices, train.muon_lr))
        self.accelerator = accelerator
        self.optimisers = [accelerator.prepare(optimiser) for optimiser in chosen]
        self.peaks = [optimiser.param_groups[0]["lr"] for optimiser in chosen]
        self.clipped = others  # Muon's step has the same length whatever its gradient's
        self.limit = train.clip or math.inf

    def step(self, factor: float) -> Tensor:
        """Update at this share of the peak learning rates; the gradient norm [] before clipping."""
        norm: Tensor = self.accelerator.clip_grad_norm_(self.clipped, self.limit)
        for optimiser, peak in zip(self.optimisers, self.peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * factor
            optimiser.step()
            optimiser.zero_grad()
        return norm


class Draws(NamedTuple):
    """The randomness of a step, for the global batch B; all on the CPU but the noise."""

    wording: Tensor
    """[B] uniform: which sentence each picture gets."""
    dropped: Tensor
    """[B] bool: which pictures are trained on the empty caption."""
    sigma: Tensor
    """[B] noise levels."""
    noise: Tensor
    """[B, C, H, W] standard normal."""


def draw(recipe: Recipe, law: Schedule, step: int, shape: torch.Size, place: Any) -> Draws:
    """The randomness of a step from (seed, step), whatever the number of processes or parts."""
    batch = recipe.train.batch
    generator = stream(recipe.train.seed, "step", step)
    wording, drop, u = torch.rand(3, batch, generator=generator)
    if recipe.diffusion.stratified:
        u = (torch.randperm(batch, generator=generator) + u) / batch
    noise_generator = stream(recipe.train.seed, "noise", step, device=place)
    noise = torch.randn(batch, *shape, generator=noise_generator, device=place)
    return Draws(wording, drop < recipe.train.caption_drop, law.sigma(u), noise)


class Work:
    """This process's share of every optimiser step: from visits to gradients."""

    def __init__(self, learner: Learner, model: nn.Module):
        recipe, accelerator = learner.recipe, learner.accelerator
        self.learner, self.model = learner, model
        self.feed = Feed(learner.pictures, recipe.train.seed)
        self.law = schedule(recipe.diffusion.noise)
        self.ids = learner.model.text.tokenize(learner.pictures.sentences)
        parts = accelerator.num_processes * recipe.train.accumulation
        size = recipe.train.batch // parts
        first = accelerator.process_index * recipe.train.accumulation
        self.parts = [
            slice(index * size, (index + 1) * size)
            for index in range(first, first + recipe.train.accumulation)
        ]

    def gradients(self, step: int) -> Tensor:
        """Add up the gradients of step `step`; its mean loss [] over all processes."""
        recipe, accelerator = self.learner.recipe, self.learner.accelerator
        train, diffusion, place = recipe.train, recipe.diffusion, accelerator.device
        shape = self.learner.pictures.images.shape[1:]
        draws = draw(recipe, self.law, step, shape, place)
        batch = self.feed.batch(step * train.batch, train.batch, draws.wording)
        captions = torch.where(draws.dropped, 0, batch.captions)
        total = torch.zeros((), device=place)
        for rows in self.parts:
            needed, which = torch.unique(captions[rows], return_inverse=True)
            losses = self.model(
                pixels(batch.images[rows]),
                draws.noise[rows],
                draws.sigma[rows].to(place),
                self.ids[needed].to(place),
                which.to(place),
                diffusion.loss,
                diffusion.weighting,
            )
            loss = losses.mean() / len(self.parts)
            accelerator.backward(loss)
            total += loss.detach()
        mean: Tensor = accelerator.reduce(total, "mean")
        return mean


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
    work = Work(learner, learner.accelerator.prepare(learner.model))
    optimisation = Optimisation(learner.recipe, learner.model, learner.accelerator)
    plan = Plan(learner.recipe, started)
    worked = 0.0
    while plan.total is None or learner.step < plan.total:
        begun = time.monotonic()
        factor = learning_rate_factor(learner.step, plan.total, train.warmup, train.decay)
        loss = work.gradients(learner.step)
        norm = optimisation.step(factor)
        learner.step += 1
        learner.ema.update(learner.step)
        worked += time.monotonic() - begun

        measured = plan.measure(learner.step, worked)
        due = measured or plan.due(learner.step)
        paused = time.monotonic()
        learner.seconds = paused - started
        yield Progress(
            step=learner.step,
            total=plan.total,
            loss=loss,
            grad_norm=norm,
            lr=train.lr * factor,
            images_per_second=learner.step * train.batch / worked,
            seconds=learner.seconds,
            eta=plan.eta(learner.step, worked),
            due=due,
            learner=learner,
        )
        if due:
            plan.pause = time.monotonic() - paused
        if measured:
            plan.fix(learner.step, worked)
