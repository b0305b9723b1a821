"""Everything that a training run is at a step, and how it is saved and restored."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from inkling.config.recipe import RunRecipe
from inkling.core.ema import Ema
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models.card import Card
from inkling.models.checkpoint import Checkpoint
from inkling.system.distributed import (
    distribute_like,
    full_tensor,
    gather_to_rank0,
    set_gradient_sync,
)
from inkling.training.budget import StepBudget
from inkling.training.epochs import EpochLosses
from inkling.training.objective import GradientStep, Objective, Validation
from inkling.training.optimiser import Optimisers

SHORT_WIDTHS = (0.05, 0.1)
"""Widths of the EMAs from which any longer one can be made."""
_COUNTERS = ("step", "skipped", "skipped_in_a_row", "worked", "seconds", "previewed", "threads")
"""Counters that a training checkpoint keeps beside the tensors."""


@dataclass
class TrainState:
    """Everything that a training run is at a step."""

    objective: Objective
    """The model, and the loss that teaches it."""
    prepared: nn.Module
    """The objective as its gradients are computed: in the run's precision, over its processes."""
    accelerator: Accelerator
    validation: Pictures
    """Held out of training."""
    card: Card
    ema: Ema
    short_emas: list[Ema]
    """Of which snapshots are stored, if any are."""
    optimisers: Optimisers
    budget: StepBudget
    epochs: EpochLosses
    sized: str = ""
    """What was chosen for the budget, in words; empty: nothing was."""
    threads: int = 1
    """That each compute a part of the batch; sums of gradients depend on it by their rounding, so a
    resumed run goes on with as many."""
    step: int = 0
    """Steps done, skipped ones included."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite, so that the weights stayed as they were."""
    skipped_in_a_row: int = 0
    """Of these, how many since the last finite one."""
    worked: float = 0.0
    """Seconds spent on steps and between them, previews left out."""
    seconds: float = 0.0
    """Seconds since the run began, previews included."""
    previewed: float = 0.0
    """Seconds that previews and validations took."""
    learning: list[nn.Parameter] = field(init=False)
    """The parameters that learn."""
    _names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        named = self.objective.model.named_parameters()
        learning = {name: parameter for name, parameter in named if parameter.requires_grad}
        self._names, self.learning = list(learning), list(learning.values())

    @property
    def recipe(self) -> RunRecipe:
        """With every measured value filled in."""
        return self.objective.recipe

    @property
    def pictures(self) -> Pictures:
        """Trained on."""
        return self.objective.pictures

    @property
    def model(self) -> nn.Module:
        """With the weights of this step; `averaged` has their average."""
        return self.objective.model

    @property
    def sharded(self) -> bool:
        """Whether weights are sharded over several processes."""
        return self.recipe.train.shard and self.accelerator.num_processes > 1

    def parts(self) -> list[slice]:
        """The rows of the global batch that this process works through, part by part."""
        train, accelerator = self.recipe.train, self.accelerator
        count = train.accumulation
        size = train.batch // (accelerator.num_processes * count)
        first = accelerator.process_index * count
        return [slice(i * size, (i + 1) * size) for i in range(first, first + count)]

    def gradient_step(self, rows: slice) -> GradientStep:
        """What the next loss is of."""
        fraction = self.budget.run_fraction(self.step)
        return GradientStep(self.step, fraction, self.recipe.train.batch, rows)

    @contextmanager
    def gradient_sync(self, wanted: bool) -> Iterator[None]:
        """Within it, backward passes reduce gradients over processes, or only add to them."""
        set_gradient_sync(self.prepared, wanted)
        with nullcontext() if wanted else self.accelerator.no_sync(self.prepared):
            yield

    def finish_step(self, finite: bool) -> None:
        """Count a step; take the new weights into every EMA, unless it changed nothing.

        Args:
            finite: whether loss and gradient were, so that the weights were updated.

        Raises:
            UserError: too many steps in a row changed nothing.
        """
        self.step += 1
        if finite:
            self.skipped_in_a_row = 0
            self.objective.after_step()
            for ema in (self.ema, *self.short_emas):
                ema.update(self.step)
            return
        self.skipped += 1
        self.skipped_in_a_row += 1
        train = self.recipe.train
        if self.skipped_in_a_row >= train.most_skipped:
            raise UserError(
                f"the loss or the gradient was not finite in {self.skipped_in_a_row} steps in a "
                f"row, up to step {self.step}; go back to the last checkpoint with a lower "
                f"learning rate (train.lr={train.lr:g}, train.muon_lr={train.muon_lr:g}), "
                "train.clip=1 or train.precision=float32, and look at the pictures with "
                "`inkling doctor`"
            )

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model with its averaged weights, in eval mode; training weights return after.

        Where weights are sharded, all processes must ask, and each gets a whole copy.
        """
        if self.sharded:
            yield self._whole_copy()
            return
        self.ema.swap()
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.train()
            self.ema.swap()

    def validate(self) -> Validation:
        """Scores of the averaged weights on held-out pictures."""
        with self.averaged() as model:
            return self.objective.validate(model, self.validation, self.accelerator.autocast)

    def named(self, ema: Ema) -> dict[str, Tensor]:
        """The tensors of an EMA by the names of the parameters."""
        return dict(zip(self._names, ema.average, strict=True))

    @torch.no_grad()
    def _whole_copy(self) -> nn.Module:
        """The averaged model, every weight of it on this process."""
        with torch.random.fork_rng(devices=[]):
            copy = self.objective.blank_model()
        tensors = self.model.state_dict() | self.named(self.ema)
        copy.load_state_dict({name: full_tensor(tensors[name]) for name in copy.state_dict()})
        return copy.eval()

    def model_checkpoint(self) -> Checkpoint:
        """The model as it is now.

        Where weights are sharded, all processes must ask, and the first gets it.
        """
        tensors = {f"raw.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.named(self.ema).items()}
        tensors = {name: gather_to_rank0(tensor) for name, tensor in tensors.items()}
        card = msgspec.structs.replace(
            self.card, steps=self.step, seconds=round(self.seconds, 1), skipped=self.skipped
        )
        return Checkpoint(tensors, self.recipe, self.objective.vocabulary(), card, {})

    def training_checkpoint(self) -> Checkpoint:
        """Everything that this run needs to go on as if it had never stopped.

        Order, noise and drops follow from the seed and the step, so they are not stored.
        """
        model = self.model_checkpoint()
        tensors = {f"optimiser.{name}": t for name, t in self.optimisers.tensors().items()}
        progress = {name: getattr(self, name) for name in _COUNTERS}
        return model._replace(
            tensors=model.tensors | tensors | self.short_averages(),
            progress=progress
            | {"budget": self.budget.state(), "epoch": self.epochs.state()}
            | self.optimisers.counters(),
        )

    def short_averages(self) -> dict[str, Tensor]:
        """The short EMAs by number and name of parameter."""
        return {
            f"short{number}.{name}": gather_to_rank0(tensor)
            for number, ema in enumerate(self.short_emas)
            for name, tensor in self.named(ema).items()
        }

    def save(self, folder: str | Path) -> Path:
        """Write the finished model into a run folder and return its path.

        Raises:
            UserError: it cannot be written.
        """
        return self.objective.save(Path(folder), self.model_checkpoint())

    @torch.no_grad()
    def restore(self, stored: Checkpoint) -> None:
        """Go back to where `training_checkpoint` was taken."""
        raw = stored.part("raw")
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(distribute_like(raw[name], tensor))
        parts = ["ema", *(f"short{number}" for number in range(len(self.short_emas)))]
        for part, ema in zip(parts, (self.ema, *self.short_emas), strict=True):
            average = stored.part(part)
            for name, tensor in self.named(ema).items():
                tensor.copy_(distribute_like(average[name], tensor))
        self.optimisers.restore(stored.part("optimiser"), stored.progress)
        for name in _COUNTERS:
            setattr(self, name, stored.progress[name])
        self.budget.restore(stored.progress["budget"], self.seconds)
        self.epochs.restore(**stored.progress["epoch"])
