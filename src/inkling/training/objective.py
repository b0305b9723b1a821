"""What every objective is: a model, and the loss that teaches it, as one module.

The training loop, the optimisers, resuming and several processes know nothing else of what is
learned. A new objective is one class and one entry in `objectives.OBJECTIVES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from inkling.config.recipe import RunRecipe
from inkling.data import Pictures
from inkling.models import checkpoint
from inkling.models.card import CallSettings
from inkling.models.checkpoint import Checkpoint
from inkling.nets.network import Unit

Autocast = Callable[[], AbstractContextManager[object]]
"""The precision of the network's arithmetic in training."""


class GradientStep(NamedTuple):
    """Which rows of which batch a loss is of."""

    step: int
    """Optimiser steps done before."""
    run_fraction: float
    """Of the run that lies before this step, 0 to 1; 0 while its length is not known."""
    batch: int
    """Pictures of the step, over all processes and accumulation."""
    rows: slice
    """Of these, the ones at hand: b of B."""

    @property
    def first(self) -> int:
        """Pictures seen before the first row of the batch."""
        return self.step * self.batch


class Validation(NamedTuple):
    """Scores of a model on held-out pictures."""

    loss: float
    scores: dict[str, float] = {}
    """Everything else, by the names that `metrics.jsonl` has."""
    levels: dict[str, float] = {}
    """Loss by noise level."""
    text: str = ""
    """The scores for a progress line."""


class BuildInputs(NamedTuple):
    """What an objective is built from, beside its recipe."""

    pictures: Pictures
    """To train on."""
    device: torch.device
    """Where pictures and model live."""
    stored: Checkpoint | None = None
    """The checkpoint whose vocabulary and codec the model takes over, when a run resumes or starts
    from another."""
    held_out: Pictures | None = None
    """To validate on: encoded with the others, where pictures are conditions."""


class Objective(nn.Module, ABC):
    """A model and the loss that trains it. Called with `inputs(step)`, it returns the loss of each
    row.
    """

    recipe_type: ClassVar[type[RunRecipe]]
    """The kind of recipe that it reads."""
    needs_whole_batch: ClassVar[bool] = False
    """Whether pictures of a batch are compared with each other, so that it cannot be accumulated
    from parts."""
    can_be_sharded: ClassVar[bool] = True
    """Whether its weights may be sharded over processes."""
    model: nn.Module
    """All that learns, and what goes into checkpoints with it."""
    recipe: RunRecipe
    """With every measured value filled in."""
    pictures: Pictures

    @classmethod
    @abstractmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        """The objective of a recipe, its model with fresh weights.

        Raises:
            UserError: recipe and pictures do not fit together.
        """

    @abstractmethod
    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """Data and randomness of the rows at hand, on the device; no gradient flows into them.

        They follow from the seed, the step and the rows alone.
        """

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss of each row [b], from `inputs`."""

    @abstractmethod
    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        """Loss and scores of a model, averaged weights perhaps, on pictures it never saw.

        The same noise at every call. `autocast` is for what trains in lower precision.
        """

    def low_noise(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """[b]: 1 for rows of `inputs` at low noise, else 0; [] 0 without noise levels."""
        return torch.zeros((), device=inputs[0].device)

    @property
    def dropout(self) -> float:
        """Largest dropout rate; with one, torch's own random stream matters."""
        return 0.0

    @property
    def conditional(self) -> bool:
        """Whether there is a prompt that the model could follow."""
        return self.pictures.conditional

    @abstractmethod
    def blank_model(self) -> nn.Module:
        """A model of the same structure on the same device, its weights of no meaning."""

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The parameters for Muon, where the recipe has it; the rest is AdamW's."""
        return []

    def frozen_parts(self) -> dict[str, int]:
        """The parameters of each part of the model that stays as it is, by its name."""
        counts = {
            name: sum(p.numel() for p in part.parameters() if not p.requires_grad)
            for name, part in self.model.named_children()
        }
        return {name: count for name, count in counts.items() if count}

    def units(self) -> Sequence[Unit]:
        """Parts that are sharded one at a time."""
        return []

    def vocabulary(self) -> str:
        """What the model knows apart from its weights, as text for checkpoints."""
        return ""

    def codec(self) -> str:
        """The recipe of the codec whose latents are modelled, as JSON; empty: pixels."""
        return ""

    def by_calls(self) -> tuple[CallSettings, ...]:
        """How the model samples in the numbers of calls that it is trained for, if it is."""
        return ()

    def completed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the run that this one starts from, completed for what its data add."""
        return weights

    def after_step(self) -> None:
        """Constrain the weights after an update."""

    def save(self, folder: Path, contents: Checkpoint) -> Path:
        """Write the finished model into a run folder, and return its path.

        Raises:
            UserError: it cannot be written.
        """
        return checkpoint.save(folder / checkpoint.FILE, contents)
