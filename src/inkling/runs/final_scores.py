"""What the card of a finished run says: the scores of a CLIP, judge or codec on pictures that no
part of its training saw, and what the calls of a student cost.
"""

import time
import warnings
from contextlib import nullcontext

import msgspec
import torch

from inkling.config.recipe import Recipe
from inkling.data import DATASETS, Pictures, read_pictures
from inkling.errors import UserError, UserNote
from inkling.models.text_denoiser import TextDenoiser
from inkling.runs.preview import prompts_for
from inkling.sampling.pipeline import TextToImage
from inkling.training.state import TrainState

_MOST = 10_000
"""Pictures at most; a set that is rendered has a million."""
_TIMED = 64
"""Pictures on which a cost is measured, twice; the shorter time counts."""


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


def add_costs(state: TrainState) -> None:
    """Note in the card how long a picture takes in each number of calls of a student."""
    model, recipe = state.model, state.recipe
    assert isinstance(model, TextDenoiser), "a student is a denoiser"
    assert isinstance(recipe, Recipe), "a student has the recipe of a denoiser"
    prompts = prompts_for(state)[:1] * _TIMED
    with state.averaged(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNote)
        pipeline, measured = TextToImage(model, recipe, state.card), []
        for each in state.card.by_calls:
            seconds = []
            for _ in range(2):
                begun = time.perf_counter()
                pipeline(prompts, settings=each.settings)
                seconds.append(time.perf_counter() - begun)
            milliseconds = round(1000 * min(seconds) / len(prompts), 3)
            measured.append(msgspec.structs.replace(each, milliseconds=milliseconds))
    state.card = msgspec.structs.replace(state.card, by_calls=tuple(measured))


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
