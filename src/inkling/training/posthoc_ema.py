"""Averages of any length after training, from short ones that were stored (Karras et al. 2024).

A run with `train.snapshots=16` keeps two short averages at sixteen moments in RUN/averages/. Any
longer average is a mix of them, so its length can be chosen when the run is over.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.config.overrides import override
from inkling.core.ema import posthoc_weights, power_from_width
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.checkpoint import Stored
from inkling.training.state import SHORT, prepare
from inkling.training.validation import validate

FOLDER = "averages"
LONGEST = 0.25
SWEEP = (0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25)


def store(out: Path, model: Stored, shorts: dict[str, Tensor]) -> Path:
    """Keep the short averages of this moment, in half precision."""
    tensors = {name: tensor.half() for name, tensor in shorts.items()}
    file = out / FOLDER / f"step-{model.facts['steps']:08d}.safetensors"
    return checkpoint.save(file, model._replace(tensors=tensors))


class Kept(NamedTuple):
    """A finished run with the short averages that it kept."""

    model: Stored
    shorts: list[Stored]
    """In the order of training."""

    def mix(self, width: float) -> Stored:
        """The model with an average of this width in place of its own."""
        times = torch.tensor([stored.facts["steps"] for stored in self.shorts for _ in SHORT])
        powers = torch.tensor([power_from_width(short) for _ in self.shorts for short in SHORT])
        steps = self.model.facts["steps"]
        weights = iter(posthoc_weights(times, powers, steps, power_from_width(width)))
        tensors = {f"raw.{name}": tensor for name, tensor in self.model.part("raw").items()}
        mixed: dict[str, Tensor] = {}
        for stored in self.shorts:
            for number in range(len(SHORT)):
                weight = next(weights)
                for name, tensor in stored.part(f"short{number}").items():
                    mixed[name] = mixed.get(name, 0) + weight * tensor.double()
        tensors |= {f"ema.{name}": tensor.float() for name, tensor in mixed.items()}
        return self.model._replace(tensors=tensors, facts=self.model.facts | {"ema_width": width})


def kept(run: Path) -> Kept:
    """What a run kept.

    Raises:
        UserError: no run, or one that stored no averages.
    """
    files = sorted((run / FOLDER).glob("step-*.safetensors"))
    if not files:
        raise UserError(
            f"{run} holds no stored averages; train with --set train.snapshots=16 to choose the "
            "length of the average afterwards"
        )
    return Kept(checkpoint.read(checkpoint.locate(run)), [checkpoint.read(file) for file in files])


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
    return kept(run).mix(width)


@torch.no_grad()
def sweep(
    run: Path, widths: Sequence[float] = SWEEP, device_name: str = "auto"
) -> Iterator[tuple[float, float]]:
    """(length, loss on held-out pictures) for each length.

    Raises:
        UserError: as `reconstruct`, or the pictures are not there any more.
    """
    stored = kept(run)
    learner = prepare(override(stored.model.recipe, ["train.steps=1"]), device_name=device_name)
    for width in widths:
        average = stored.mix(width).part("ema")
        for name, tensor in learner.named(learner.ema).items():
            tensor.copy_(average[name])
        yield width, validate(learner).loss
