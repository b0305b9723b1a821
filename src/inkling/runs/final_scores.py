"""The scores of a finished CLIP, judge or codec on pictures that no part of its training saw."""

from contextlib import nullcontext
from pathlib import Path

import msgspec

from inkling.data import DATASETS, Pictures, read_pictures
from inkling.errors import UserError
from inkling.training.state import TrainState


def final_scores(state: TrainState, out: Path) -> tuple[str, str]:
    """("test" or "held out", the scores in words); they go into the saved model's card too."""
    split, pictures = _pictures(state)
    with state.averaged() as model:
        found = state.objective.validate(model, pictures, nullcontext)
    scores = {f"{split}_{name}": round(score, 5) for name, score in found.scores.items()}
    state.card = msgspec.structs.replace(state.card, scores=scores)
    state.save(out)
    return split, f"{found.text} ({len(pictures):,} pictures)"


def _pictures(state: TrainState) -> tuple[str, Pictures]:
    """The test split, or what was held out where there is none."""
    settings = state.recipe.data
    if "test" in DATASETS[settings.name].splits:
        try:
            return "test", read_pictures(settings, "test")
        except UserError:  # a folder of one's own need not have a test split
            pass
    return "held out", state.validation if len(state.validation) else state.pictures
