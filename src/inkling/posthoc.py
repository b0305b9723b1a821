"""Averages of any length after training, from short ones that were stored (Karras et al. 2024).

A run with `train.snapshots=16` keeps two short averages at sixteen moments in RUN/averages/. Any
longer average is a mix of them, so its length can be chosen when the run is over.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import Tensor

from inkling import checkpoint
from inkling.checkpoint import Stored
from inkling.core.ema import posthoc_weights, power_from_width
from inkling.errors import UserError
from inkling.learner import SHORT, prepare
from inkling.recipe import Recipe
from inkling.validate import validate

FOLDER = "averages"
LONGEST = 0.25
SWEEP = (0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25)


def store(out: Path, model: Stored, shorts: dict[str, Tensor]) -> Path:
    """Keep the short averages of this moment, in half precision."""
    tensors = {name: tensor.half() for name, tensor in shorts.items()}
    file = out / FOLDER / f"step-{model.facts['steps']:08d}.safetensors"
    return checkpoint.save(file, model._replace(tensors=tensors))


def reconstruct(run: Path, width: float) -> Stored:
    """The finished model of a run with an average of another length in place of its own.

    Args:
        run: its folder.
        width: standard deviation of the weighting, as a share of training; up to 0.25.

    Raises:
        UserError: no such length, or the run stored no averages.
    """
    if not 0 < width <= LONGEST:
        raise UserError(f"--length {width} is no share of training; choose 0.01 to {LONGEST}")
    files = sorted((run / FOLDER).glob("step-*.safetensors"))
    if not files:
        raise UserError(
            f"{run} holds no stored averages; train with --set train.snapshots=16 to choose the "
            "length of the average afterwards"
        )
    model = checkpoint.read(checkpoint.locate(run))
    kept = [checkpoint.read(file) for file in files]
    times = torch.tensor([stored.facts["steps"] for stored in kept for _ in SHORT])
    powers = torch.tensor([power_from_width(short) for _ in kept for short in SHORT])
    weights = posthoc_weights(times, powers, model.facts["steps"], power_from_width(width))
    mixed: dict[str, Tensor] = {}
    for place, stored in enumerate(kept):
        for number in range(len(SHORT)):
            weight = weights[place * len(SHORT) + number]
            for name, tensor in stored.part(f"short{number}").items():
                mixed[name] = mixed.get(name, 0) + weight * tensor.double()
    own = {f"ema.{name}": tensor.float() for name, tensor in mixed.items()}
    raw = {f"raw.{name}": tensor for name, tensor in model.part("raw").items()}
    return model._replace(tensors=raw | own, facts=model.facts | {"ema_width": width})


def sweep(
    run: Path, widths: Sequence[float] = SWEEP, device_name: str = "auto"
) -> Iterator[tuple[float, float]]:
    """(length, loss on held-out pictures) for each length.

    Raises:
        UserError: as `reconstruct`, or the pictures are not there any more.
    """
    candidates = [(width, reconstruct(run, width)) for width in widths]
    recipe: Recipe = candidates[0][1].recipe
    learner = prepare(
        replace(recipe, train=replace(recipe.train, steps=1)), device_name=device_name
    )
    names = [name for name, _ in learner.model.named_parameters()]
    for width, stored in candidates:
        average = stored.part("ema")
        for name, tensor in zip(names, learner.ema.average, strict=True):
            tensor.copy_(average[name])
        yield width, validate(learner).loss
