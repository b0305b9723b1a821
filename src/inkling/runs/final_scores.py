"""The scores of a finished CLIP, judge or codec on pictures that no part of its training saw."""

from contextlib import nullcontext

import msgspec
import torch

from inkling.data import DATASETS, Pictures, read_pictures
from inkling.errors import UserError
from inkling.training.state import TrainState

_MOST = 10_000
"""Pictures at most; a set that is rendered has a million."""


def add_final_scores(state: TrainState) -> None:
    """Score the averaged model, and note the scores in its card.

    Where weights are sharded, all processes must take part.
    """
    split, pictures = _pictures(state)
    if len(pictures) > _MOST:
        generator = torch.Generator().manual_seed(0)
        pictures = pictures.take(torch.randperm(len(pictures), generator=generator)[:_MOST])
    with state.averaged() as model:
        found = state.objective.validate(model, pictures, nullcontext)
    scores = {f"{split}_{name}": round(score, 5) for name, score in found.scores.items()}
    said = f"{found.text} ({len(pictures):,} {split} pictures)"
    state.card = msgspec.structs.replace(state.card, scores=scores, summary=said)


def _pictures(state: TrainState) -> tuple[str, Pictures]:
    """The test split, or else what was held out, or else training pictures, with their name."""
    settings = state.recipe.data
    if "test" in DATASETS[settings.name].splits:
        try:
            return "test", read_pictures(settings, "test")
        except UserError:  # a folder of one's own need not have a test split
            pass
    if len(state.validation):
        return "validation", state.validation
    return "training", state.pictures
