"""Checks that train: a few pictures must be learnt by heart, and the prompt must have an effect."""

import dataclasses
import math
import time
import warnings
from collections.abc import Generator
from typing import NamedTuple

import msgspec
import torch

from inkling.config.recipe import Recipe
from inkling.contracts import Cond
from inkling.errors import UserNote
from inkling.models.text_denoiser import TextDenoiser
from inkling.training.denoising import DenoisingObjective
from inkling.training.gradients import accumulate_gradients
from inkling.training.optimiser import Optimisers
from inkling.training.state import TrainState
from inkling.training.step import step_seconds

_OVERFIT_STEPS, _OVERFIT_SECONDS = 150, 25.0
_PICTURES = 8


class Finding(NamedTuple):
    """The result of a check."""

    check: str
    ok: bool
    measured: str
    fix: str = ""
    """How to fix it."""


def denoiser_of(state: TrainState) -> TextDenoiser:
    """The model of a run that trains a denoiser."""
    assert isinstance(state.model, TextDenoiser), "the doctor examines denoisers"
    return state.model


def recipe_of(state: TrainState) -> Recipe:
    """Its recipe."""
    assert isinstance(state.recipe, Recipe), "the doctor examines denoisers"
    return state.recipe


def encoded(state: TrainState, caption: str) -> Cond:
    """The condition of a caption, cut as in training, which noted it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNote)
        return denoiser_of(state).encode_text([caption], cut=True)


def overfitting(state: TrainState) -> Generator[Finding, None, float]:
    """Overfit eight images; returns the seconds of a step at the recipe's own batch size."""
    model, train = denoiser_of(state), state.recipe.train
    seconds = step_seconds(state)
    few = msgspec.structs.replace(train, batch=_PICTURES, accumulation=1, warmup=0)
    recipe = msgspec.structs.replace(recipe_of(state), train=few)
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
        return seconds
    if not text:  # a network of one's own that does not declare them, under a frozen encoder
        yield _prompt_effect(state)
        return seconds
    yield Finding(
        "gradient to the text",
        text_gradient > 0,
        f"largest norm {text_gradient:.3g}",
        "text parameters that require gradients, and a network that reads the condition",
    )
    yield _prompt_effect(state)
    return seconds


@torch.no_grad()
def _prompt_effect(state: TrainState) -> Finding:
    """Whether the output changes with the prompt alone."""
    captions = [sentence for sentence in state.pictures.sentences if sentence][:4] or [""]
    state.model.eval()
    model, shape = denoiser_of(state), tuple(state.pictures.shape)
    shape = model.codec.encoded_shape(shape)  # type: ignore[arg-type]
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(state.accelerator.device)
    level = torch.tensor(1.0, device=x.device)
    conds: list[Cond] = [encoded(state, text) for text in ("", *captions)]
    outputs = [model(x, level, cond) for cond in conds]
    state.model.train()
    change = max((outputs[0] - other).square().mean().sqrt().item() for other in outputs[1:])
    return Finding(
        "prompt",
        change > 1e-5,
        f"changing only the prompt changes the output by {change:.3g}",
        "a network that reads the condition: net.condition, net.cross_attention, net.template",
    )
