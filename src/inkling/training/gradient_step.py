"""The work of one optimiser step: draw, compare, add up gradients, update."""

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm

from inkling.config.recipe import Recipe
from inkling.core.muon import Muon
from inkling.core.noise import Schedule
from inkling.core.rng import number, stream
from inkling.data.pictures import Feed, Pictures
from inkling.models.build import TextDenoiser, hidden_matrices, schedule
from inkling.system.distributed import collected, exchange, like, whole
from inkling.training.budget import size_at


def pixels(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def trimmed(ids: Tensor) -> Tensor:
    """Token ids [M, L] without the padding that all of them have."""
    longest = int((ids != 0).sum(1).max())
    return ids[:, : max(longest, 1)]


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
    mirrored: Tensor
    """[B] bool: which pictures are mirrored, in a set that allows it."""


_FEW = 0.1
"""Share of the noise law that a run with widening levels begins with."""


def draw(
    recipe: Recipe, law: Schedule, step: int, shape: torch.Size, place: Any, share: float = 0.0
) -> Draws:
    """The randomness of a step from (seed, step), whatever the number of processes or parts.

    Args:
        share: of the run that lies behind, for noise levels that widen.
    """
    batch = recipe.train.batch
    generator = stream(recipe.train.seed, "step", step)
    wording, drop, u = torch.rand(3, batch, generator=generator)
    if recipe.diffusion.stratified:
        u = (torch.randperm(batch, generator=generator) + u) / batch
    if share < recipe.train.widen:
        u = 0.5 + (u - 0.5) * (_FEW + (1 - _FEW) * share / recipe.train.widen)
    noise_generator = stream(recipe.train.seed, "noise", step, device=place)
    noise = torch.randn(batch, *shape, generator=noise_generator, device=place)
    mirrored = torch.rand(batch, generator=stream(recipe.train.seed, "mirror", step)) < 0.5
    return Draws(wording, drop < recipe.train.caption_drop, law.sigma(u), noise, mirrored)


def shrunk(clean: Tensor, size: int | None) -> Tensor:
    """Pictures [B, C, H, W] whose longer side is `size`, averaged over areas; None: as they are."""
    longer = max(clean.shape[-2:])
    if size is None or size == longer:
        return clean
    height, width = (max(1, round(side * size / longer)) for side in clean.shape[-2:])
    return F.interpolate(clean, (height, width), mode="area")


class Work:
    """This process's share of every optimiser step: from visits to gradients."""

    def __init__(
        self, recipe: Recipe, pictures: Pictures, model: TextDenoiser, accelerator: Accelerator
    ):
        self.recipe, self.pictures, self.accelerator = recipe, pictures, accelerator
        self.sharded = recipe.train.shard and accelerator.num_processes > 1
        self.model = model if self.sharded else accelerator.prepare(model)
        self.feed = Feed(pictures, recipe.train.seed)
        self.law = schedule(recipe.diffusion.noise)
        self.ids = model.text.tokenize(pictures.sentences, cut=True)
        parts = accelerator.num_processes * recipe.train.accumulation
        size = recipe.train.batch // parts
        first = accelerator.process_index * recipe.train.accumulation
        self.parts = [
            slice(index * size, (index + 1) * size)
            for index in range(first, first + recipe.train.accumulation)
        ]

    def gradients(self, step: int, share: float = 0.0) -> Tensor:
        """Add up the gradients of step `step`; its mean loss [] over all processes.

        Args:
            step: steps done before.
            share: of the run that they are, where it matters.
        """
        train, diffusion = self.recipe.train, self.recipe.diffusion
        place = self.accelerator.device
        draws = draw(self.recipe, self.law, step, self.pictures.shape, place, share)
        size = size_at(train.sizes, share)
        mirrored = draws.mirrored if self.pictures.mirror else None
        batch = self.feed.batch(step * train.batch, train.batch, draws.wording, mirrored)
        captions = torch.where(draws.dropped, 0, batch.captions)
        total = torch.zeros((), device=place)
        for rows in self.parts:
            # Dropout reads torch's own stream: it too follows from seed, step and place.
            if self.recipe.net.dropout:
                torch.manual_seed(number(train.seed, "dropout", step, rows.start))
            needed, which = torch.unique(captions[rows], return_inverse=True)
            clean = shrunk(pixels(batch.images[rows].to(place)), size)
            height, width = clean.shape[-2:]
            # Averaging pixels averages their noise: the same level is a lower one on fewer pixels.
            finer = height / self.pictures.shape[1]
            with self.accelerator.autocast() if self.sharded else nullcontext():
                losses = self.model(
                    clean,
                    draws.noise[rows, :, :height, :width],
                    draws.sigma[rows].to(place) * finer,
                    trimmed(self.ids[needed]).to(place),
                    which.to(place),
                    diffusion.loss,
                    diffusion.weighting,
                )
            loss = losses.mean() / len(self.parts)
            # Processes exchange gradients once a step, after the last part.
            last = rows is self.parts[-1]
            exchange(self.model, last)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                self.accelerator.backward(loss)
            total += loss.detach()
        mean: Tensor = self.accelerator.reduce(total, "mean")
        return mean


def _laid_out(tensor: Tensor, pattern: Tensor) -> Tensor:
    """The values of a tensor, with the strides and the place of a parameter of its shape."""
    if tensor.shape != pattern.shape:
        return tensor.to(pattern.device)
    return torch.empty_like(pattern).copy_(like(tensor, pattern)).detach()


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
        self.plain = chosen
        self.optimisers = [accelerator.prepare(optimiser) for optimiser in chosen]
        self.peaks = [optimiser.param_groups[0]["lr"] for optimiser in chosen]
        self.clipped = others  # Muon's step has the same length whatever its gradient's
        self.matrices = matrices
        self.limit = train.clip or math.inf
        self.names = {id(p): name for name, p in model.named_parameters()}

    def step(self, factor: float, loss: Tensor) -> tuple[Tensor, bool]:
        """Update at this share of the peak learning rates, unless something is not finite.

        Returns:
            The gradient norm [] of AdamW's parameters before clipping, and whether the weights
            were updated. Processes agree on it, because they have the same gradients.
        """
        norm = whole(self.accelerator.clip_grad_norm_(self.clipped, self.limit))
        watched = norm + loss
        if self.matrices:
            watched = watched + whole(
                get_total_norm([p.grad for p in self.matrices if p.grad is not None])
            )
        sound = bool(torch.isfinite(watched))
        for optimiser, peak in zip(self.optimisers, self.peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * factor
            if sound:
                optimiser.step()
            optimiser.zero_grad()
        return norm, sound

    def tensors(self) -> dict[str, Tensor]:
        """What the optimisers remember, by optimiser, parameter and field."""
        return {
            f"{place}.{self.names[id(p)]}.{key}": collected(torch.as_tensor(value))
            for place, optimiser in enumerate(self.plain)
            for p, state in optimiser.state.items()
            for key, value in state.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave, in the memory layout of the parameters."""
        for place, optimiser in enumerate(self.plain):
            for p in optimiser.param_groups[0]["params"]:
                prefix = f"{place}.{self.names[id(p)]}."
                found = {
                    k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
                }
                if found:
                    optimiser.state[p] = {key: _laid_out(v, p) for key, v in found.items()}
