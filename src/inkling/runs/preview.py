"""What a run shows of itself as it goes: samples of the model, or reconstructions of a codec.

A new kind is one function and one entry in `PREVIEWS`.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from msgspec.structs import replace
from torch import nn

from inkling.config.codec_recipe import CodecRecipe
from inkling.config.recipe import Recipe, RunRecipe
from inkling.config.sample import Sample
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserNote
from inkling.models.text_denoiser import TextDenoiser
from inkling.nets.autoencoder import Autoencoder
from inkling.pixels import from_bytes, to_bytes
from inkling.sampling.calls import network_calls
from inkling.sampling.pipeline import TextToImage
from inkling.sampling.prompts import caption_of
from inkling.training.distillation import DistillationObjective
from inkling.training.state import TrainState

_PROMPTS = 10
_COUNT = 8
_UNCONDITIONAL = 24
"""Pictures of a preview at least: of a model without prompts this many."""
NO_PROMPT = "(no prompt)"
"""The caption of samples without a prompt."""
_QUICK, _QUICK_CALLS = "dpmpp_2m", 12
"""Solver of previews where the recommended one takes more calls than twice this."""
_BATCH = 20
"""Pictures between two checks of the stop flag."""
_RECONSTRUCTED = 12
_TAUGHT = 20
"""Pictures in a row of a student's preview, at least."""

Rows = list[tuple[str, np.ndarray]]
"""(caption, uint8 [N, C, H, W]) of each row of a preview."""
Stopped = Callable[[], bool]


class Preview(NamedTuple):
    """How a kind of run shows itself."""

    draw: Callable[[TrainState, nn.Module, Stopped], Rows | None]
    """Rows of pictures of the averaged model; None if it was stopped on the way."""
    cost: Callable[[TrainState], float]
    """What drawing takes, in calls of the model for one picture."""


def prompts_for(state: TrainState) -> list[str]:
    """Prompts of previews: those of the recipe, or the classes, or sentences from all over the set,
    or pictures held out of it.

    Raises:
        UserError: the model cannot read a prompt of the recipe.
    """
    model, classes = state.model, state.card.classes
    assert isinstance(model, TextDenoiser), "only denoisers have prompts"
    if given := state.recipe.train.preview_prompts:
        prompts = [str(caption_of(prompt, classes, model.text)) for prompt in given]
        model.text.tokenize(prompts)
        return prompts
    if state.pictures.own_conditions:
        return list(_conditions(state))
    if classes:
        return list(classes[:_PROMPTS])
    said = [sentence for sentence in state.pictures.distinctive if sentence]
    some = said[:: max(1, len(said) // (2 * _PROMPTS))]
    return [each for each in some if model.text.takes(each)][:_PROMPTS] or [""]


def _conditions(state: TrainState) -> dict[str, np.ndarray]:
    """Some pictures that are conditions, uint8 [C, H, W] by name; held-out ones if there are any.

    Empty where captions are the conditions.
    """
    pictures = state.validation if len(state.validation) else state.pictures
    if not pictures.own_conditions:
        return {}
    some = pictures.take(pictures.examples(_PROMPTS))
    return dict(zip(some.names(), some.pixels().cpu().numpy(), strict=True))


def _rows(state: TrainState) -> tuple[list[str], int]:
    """The prompts of a preview, and how many pictures of each."""
    prompts = prompts_for(state)
    if state.objective.conditional and state.recipe.train.caption_drop:
        prompts = [*prompts, ""]
    usual = max(_COUNT if state.card.classes else _COUNT // 2, _UNCONDITIONAL // len(prompts))
    return prompts, state.recipe.train.preview_count or usual


def preview_settings(recipe: Recipe) -> Sample:
    """The recommended sampling; where that takes many calls, a better solver with few."""
    sample = recipe.sample
    if SAMPLERS[sample.sampler].calls(sample.steps) <= 2 * _QUICK_CALLS:
        return sample
    return replace(sample, sampler=_QUICK, steps=_QUICK_CALLS, sigmas=())


def _samples(state: TrainState, model: nn.Module, stopped: Stopped) -> Rows | None:
    """The same prompts and noise at every preview."""
    assert isinstance(model, TextDenoiser), "a copy of the model is of its kind"
    assert isinstance(state.recipe, Recipe), "a denoiser is trained by its own kind of recipe"
    if isinstance(state.objective, DistillationObjective):
        return _beside_teacher(state.objective, state, model, stopped)
    prompts, count = _rows(state)
    captions = [prompt for prompt in prompts for _ in range(count)]
    pipeline = TextToImage(model, state.recipe, state.card)
    parts = []
    settings = preview_settings(state.recipe)
    seeds = range(len(captions))
    with warnings.catch_warnings():  # it would be the same at every preview
        warnings.simplefilter("ignore", UserNote)
        for images in pipeline.batches(captions, seeds=seeds, settings=settings, batch=_BATCH):
            parts.append(images)
            if stopped():
                return None
    shown = [prompt or NO_PROMPT for prompt in prompts]
    first = [*map(_conditions(state).get, prompts)]
    return by_prompt(torch.cat(parts).numpy(), shown, first)


def _beside_teacher(
    objective: DistillationObjective, state: TrainState, model: TextDenoiser, stopped: Stopped
) -> Rows | None:
    """The same prompts and noise as the teacher, in each number of a student's calls."""
    recipe = replace(objective.recipe, distil=None)  # the teacher is no student
    prompts = _taught_prompts(state)
    ways = [("teacher", objective.teacher.model, objective.teacher.settings)] + [
        (f"calls: {each.calls}", model, each.settings) for each in objective.by_calls()
    ]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNote)
        for name, sampled, settings in ways:
            pipeline = TextToImage(sampled, recipe, state.card)
            images = pipeline(prompts, settings=settings)
            rows.append((name, images.numpy()))
            if stopped():
                return None
    return rows


def _taught_prompts(state: TrainState) -> list[str]:
    """One for each picture in a row of a student's preview."""
    prompts = prompts_for(state)
    return [prompts[row % len(prompts)] for row in range(max(_TAUGHT, len(prompts)))]


def _samples_cost(state: TrainState) -> float:
    assert isinstance(state.recipe, Recipe), "a denoiser is trained by its own kind of recipe"
    if isinstance(state.objective, DistillationObjective):
        recipe, each = state.recipe, [each.calls for each in state.objective.by_calls()]
        assert recipe.distil is not None, "a student has a teacher"
        calls = network_calls(recipe.distil.sample, recipe.diffusion.noise) + sum(each)
        return len(_taught_prompts(state)) * calls
    prompts, count = _rows(state)
    sample = preview_settings(state.recipe)
    guided = sample.scale != 1 and state.objective.conditional
    calls = SAMPLERS[sample.sampler].calls(sample.steps) * (2 if guided else 1)
    return len(prompts) * count * calls


def _reconstructions(state: TrainState, model: nn.Module, stopped: Stopped) -> Rows | None:
    """Held-out pictures above what comes back of them."""
    assert isinstance(model, Autoencoder), "a copy of the model is of its kind"
    pictures = state.validation if len(state.validation) else state.pictures
    images = pictures.at(torch.arange(min(_RECONSTRUCTED, len(pictures))))
    with torch.no_grad():
        back = model.decode(model.encode(from_bytes(images.to(state.accelerator.device))))
    return [("picture", images.cpu().numpy()), ("reconstruction", to_bytes(back).numpy())]


PREVIEWS: dict[type[RunRecipe], Preview] = {
    Recipe: Preview(_samples, _samples_cost),
    CodecRecipe: Preview(_reconstructions, lambda state: 2.0 * _RECONSTRUCTED),
}
"""By kind of recipe; one that has none here only validates."""


def cost_in_steps(state: TrainState) -> float:
    """What a preview and a validation take, in optimiser steps.

    A step is three calls a picture: forwards, and twice as much backwards.
    """
    preview = PREVIEWS.get(type(state.recipe))
    calls = preview.cost(state) if preview else 0.0
    return (calls + 2 * len(state.validation)) / (3 * state.recipe.train.batch)


def by_prompt(
    images: np.ndarray, prompts: Sequence[str], first: Sequence[np.ndarray | None] = ()
) -> Rows:
    """Pictures in rows, one a prompt.

    Args:
        images: uint8 [N, C, H, W], as many of each prompt.
        prompts: in order.
        first: a picture [C, H, W] that goes before those of each prompt, or None; left out where it
            is of another size.
    """
    rows = []
    parts = np.split(images, len(prompts))
    for prompt, part, before in zip(prompts, parts, first or [None] * len(prompts), strict=True):
        if before is not None and before.shape == part.shape[1:]:
            part = np.concatenate([before[None], part])
        rows.append((prompt, part))
    return rows
