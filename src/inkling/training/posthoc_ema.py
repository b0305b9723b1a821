"""EMAs of any length after training, from short ones that were stored (Karras et al. 2024).

A run with `train.snapshots=16` stores two short EMAs at sixteen moments in RUN/averages/. Any
longer one is a mix of them, so its length can be chosen when the run is over.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.core.ema import PosthocMix, posthoc_mix, power_from_width
from inkling.errors import UserError, UserNote
from inkling.models import checkpoint
from inkling.models.build import described, load_denoiser, load_weights
from inkling.models.checkpoint import Checkpoint
from inkling.system import device as devices
from inkling.training.prepare import split_pictures
from inkling.training.state import SHORT_WIDTHS
from inkling.training.validation import validate_denoiser

FOLDER = "averages"
LONGEST = 0.25
_FARTHEST = 0.2
"""Residual of a mixture from which it is another average than the one asked for."""
SWEEP = (0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25)


def store(out: Path, model: Checkpoint, short_emas: dict[str, Tensor]) -> Path:
    """Write the short EMAs of this moment, in half precision."""
    tensors = {name: tensor.half() for name, tensor in short_emas.items()}
    file = out / FOLDER / f"step-{model.card.steps:08d}.safetensors"
    return checkpoint.save(file, model._replace(tensors=tensors))


class EmaSnapshots(NamedTuple):
    """A finished run with the short EMAs that it stored."""

    model: Checkpoint
    snapshots: list[Checkpoint]
    """In the order of training."""

    def solve(self, width: float) -> PosthocMix:
        """The mixture of the stored EMAs for an EMA of this width that ends with the last of them.

        Raises:
            UserError: they are too few for this width.
        """
        steps = [stored.card.steps for stored in self.snapshots for _ in SHORT_WIDTHS]
        powers = [power_from_width(short) for _ in self.snapshots for short in SHORT_WIDTHS]
        found = posthoc_mix(
            torch.tensor(steps), torch.tensor(powers), steps[-1], power_from_width(width)
        )
        if found.residual > _FARTHEST:
            raise UserError(
                f"{len(self.snapshots)} stored EMAs cannot be mixed into one of length {width:g} "
                f"(residual {found.residual:.0%}, at most {_FARTHEST:.0%}); choose a length nearer "
                f"to {SHORT_WIDTHS[-1]:g}, or train with a larger train.snapshots"
            )
        return found

    def mix(self, width: float) -> Checkpoint:
        """The model with an EMA of this width in place of its own.

        Raises:
            UserError: as `solve`.
        """
        weights = iter(self.solve(width).weights.tolist())
        tensors = {f"raw.{name}": tensor for name, tensor in self.model.part("raw").items()}
        mixed: dict[str, Tensor] = {}
        for stored in self.snapshots:
            for number in range(len(SHORT_WIDTHS)):
                weight = next(weights)
                for name, tensor in stored.part(f"short{number}").items():
                    mixed[name] = mixed.get(name, 0) + weight * tensor.double()
        tensors |= {f"ema.{name}": tensor.float() for name, tensor in mixed.items()}
        card = msgspec.structs.replace(self.model.card, ema_width=width)
        return self.model._replace(tensors=tensors, card=card)


class LengthLoss(NamedTuple):
    """An EMA length and how well it does."""

    width: float
    loss: float
    """On held-out pictures."""
    residual: float
    """Of the mixture, see `PosthocMix`."""


def snapshots_of(run: Path) -> EmaSnapshots:
    """The EMAs that a run stored.

    Raises:
        UserError: no run, or one that stored none.
    """
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}; name one that `inkling train` has finished")
    files = sorted((run / FOLDER).glob("step-*.safetensors"))
    if not files:
        raise UserError(
            f"{run} holds no stored EMAs; train with --set train.snapshots=16 to choose the EMA "
            "length after training"
        )
    model = checkpoint.read(checkpoint.locate(run))
    return EmaSnapshots(model, [checkpoint.read(file) for file in files])


def reconstruct(run: Path, width: float) -> Checkpoint:
    """The finished model of a run with an EMA of another length in place of its own.

    Args:
        run: its folder.
        width: standard deviation of the weighting, as a fraction of training; up to 0.25.

    Raises:
        UserError: no such length, or the run stored no EMAs or too few of them.
    """
    if not 0 < width <= LONGEST:
        raise UserError(f"--length {width} is no fraction of training; choose 0.01 to {LONGEST}")
    return snapshots_of(run).mix(width)


@torch.no_grad()
def compare_lengths(
    run: Path,
    widths: Sequence[float] = SWEEP,
    device_name: str = "auto",
    path: Path | None = None,
) -> Iterator[LengthLoss]:
    """Each length with its loss on held-out pictures; those that cannot be made are left out.

    Args:
        run: its folder.
        widths: the lengths.
        device_name: "auto", "cuda", "mps" or "cpu".
        path: folder of the data set, if it has moved since training.

    Raises:
        UserError: as `reconstruct`, or the pictures are not there any more.
    """
    stored = snapshots_of(run)
    recipe = stored.model.recipe
    if not isinstance(recipe, Recipe):
        raise UserError(f"{run} holds a {recipe.objective}; EMAs are compared for denoisers")
    if path is not None:
        moved = msgspec.structs.replace(recipe.data, path=str(path))
        recipe = msgspec.structs.replace(recipe, data=moved)
    model = load_denoiser(run, device=devices.choose(device_name)).model
    validation = described(recipe, split_pictures(recipe)[1])
    if not len(validation):
        raise UserError(
            f"{run} held no pictures out (data.validation=0) to compare EMA lengths on; "
            "choose one with --length"
        )
    model.see(validation)
    for width in widths:
        try:
            residual = stored.solve(width).residual
        except UserError as error:
            warnings.warn(f"length {width:g} is left out: {error}", UserNote, stacklevel=2)
            continue
        load_weights(model, stored.mix(width))
        seed = recipe.train.seed
        found = validate_denoiser(
            model, validation, recipe.diffusion, seed=seed, autocast=nullcontext
        )
        yield LengthLoss(width, found.loss, residual)
