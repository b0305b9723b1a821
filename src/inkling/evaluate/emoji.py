"""The exact judge of the data set `emoji`: which emoji a sample is, of all that there are."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from inkling.data import Data, Pictures, read_pictures
from inkling.evaluate.measures import Measure
from inkling.evaluate.memory import nearest_images

_RESPECTS = ("itself", "name", "tone")
"""In the order of `recognition_of_each`."""


class Recognition(NamedTuple):
    """Fractions of samples in which the nearest of all emoji is right."""

    itself: float
    """It is the one asked for, or looks exactly like it."""
    name: float
    """It has its name: person and profession."""
    tone: float
    """It has its skin tone, or none where none is asked for."""


def every_picture(data: Data) -> Pictures:
    """All emoji, those that were held out of training too.

    Args:
        data: settings of a run.
    """
    return read_pictures(msgspec.structs.replace(data, hold_out=0.0, limit=None))


def recognition_of_each(prompts: Sequence[str], samples: Tensor, known: Pictures) -> np.ndarray:
    """Whether the emoji nearest to each sample is the one asked for, by pixels, and has its name
    and its tone: [N, 3] of 0 and 1.

    Args:
        prompts: [N] captions of emoji.
        samples: uint8 [N, C, H, W].
        known: as `every_picture`.
    """
    pixels = known.pixels()
    captions = [known.groups[group] for group in known.group.tolist()]
    row = {each[0]: number for number, each in enumerate(captions)}
    for number, each in enumerate(captions):
        for alias in each[1:]:
            row.setdefault(alias, number)
    parts = [each[0].partition(", ")[::2] for each in captions]
    found = np.zeros((len(prompts), len(_RESPECTS)))
    nearest = nearest_images(samples, [pixels]).row.tolist()
    for place, (near, prompt) in enumerate(zip(nearest, prompts, strict=True)):
        wanted = row[prompt]
        same = torch.equal(pixels[near], pixels[wanted])
        (name, tone), (right_name, right_tone) = parts[near], parts[wanted]
        found[place] = same, same or name == right_name, same or tone == right_tone
    return found


def recognised(prompts: Sequence[str], samples: Tensor, known: Pictures) -> Recognition:
    """The means over all samples; arguments as in `recognition_of_each`."""
    return Recognition(*recognition_of_each(prompts, samples, known).mean(0).tolist())


def of_emoji(prompts: Sequence[str], samples: Tensor, known: Pictures) -> list[Measure]:
    """The fractions as scores; arguments as in `recognition_of_each`."""
    found = recognition_of_each(prompts, samples, known)
    return [
        Measure(f"nearest emoji: {name}", "higher", each, fraction=True)
        for name, each in zip(_RESPECTS, found.T, strict=True)
    ]
