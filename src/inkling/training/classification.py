"""The objective of a judge: which class does a real picture show?"""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.config.judge_recipe import JudgeRecipe
from inkling.config.recipe import RunRecipe
from inkling.core.augment import jitter_draws, jittered
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.data.pictures import Feed
from inkling.errors import UserError
from inkling.models.build import classifier
from inkling.nets.classifier import Classifier
from inkling.pixels import from_bytes
from inkling.training.objective import (
    Autocast,
    BuildInputs,
    GradientStep,
    Objective,
    Validation,
)

_BATCH = 500


class JudgeObjective(Objective):
    """Trains a `Classifier` on pictures with small rotations, scalings and shifts."""

    recipe_type = JudgeRecipe
    recipe: JudgeRecipe
    model: Classifier

    def __init__(self, recipe: JudgeRecipe, pictures: Pictures, model: Classifier):
        super().__init__()
        self.recipe, self.pictures, self.model = recipe, pictures, model
        self._feed = Feed(pictures, recipe.train.seed)

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, JudgeRecipe), "a judge is trained by its own kind of recipe"
        pictures = _labelled(given.pictures)
        if not pictures.classes:
            raise UserError(
                f"the pictures of {recipe.data.name!r} have no classes for a judge to learn"
            )
        torch.manual_seed(recipe.train.seed)  # for the fresh weights
        model = classifier(recipe, tuple(pictures.shape), len(pictures.classes))  # type: ignore[arg-type]
        return cls(recipe, pictures, model.to(given.device))

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(pictures [b, C, H, W] in [-1, 1], labels [b])."""
        device = next(self.model.parameters()).device
        rows, jitter = step.rows, self.recipe.augment.jitter
        generator = stream(self.recipe.train.seed, "jitter", step.step)
        moves = jitter_draws(step.batch, generator)[:, rows]
        taken = self._feed.batch(step.first + rows.start, torch.zeros(moves.shape[1]))
        ink = from_bytes(taken.images.to(device)) + 1  # zero is the paper
        x = jittered(ink, jitter * moves, padding="zeros") - 1
        return x, taken.labels.to(device)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The cross-entropy of each picture [b]."""
        x, labels = inputs
        logits = self.model(x.contiguous(memory_format=torch.channels_last))  # [b, classes]
        return F.cross_entropy(logits.float(), labels, reduction="none")

    @torch.no_grad()
    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        pictures = _labelled(pictures)
        device = next(model.parameters()).device
        losses, right = [], []
        for rows in torch.split(torch.arange(len(pictures)), _BATCH):
            labels = pictures.labels[rows].to(device)
            logits = model(from_bytes(pictures.at(rows).to(device)))
            losses.append(F.cross_entropy(logits, labels, reduction="none"))
            right.append((logits.argmax(1) == labels) & logits.isfinite().all(1))
        accuracy = torch.cat(right).double().mean().item()
        return Validation(
            loss=torch.cat(losses).mean().item(),
            scores={"accuracy": accuracy},
            text=f"accuracy {accuracy:.2%}",
        )

    def blank_model(self) -> nn.Module:
        shape: Any = tuple(self.pictures.shape)
        device = next(self.model.parameters()).device
        return classifier(self.recipe, shape, len(self.pictures.classes)).to(device)

    @property
    def dropout(self) -> float:
        return self.recipe.classifier.dropout

    @property
    def conditional(self) -> bool:
        return False

    def hidden_matrices(self) -> list[nn.Parameter]:
        return self.model.hidden_matrices()


def _labelled(pictures: Pictures) -> Pictures:
    """The pictures of which the class is known."""
    known = pictures.labels >= 0
    return pictures if bool(known.all()) else pictures.take(torch.where(known)[0])
