"""The exact judge of the data set `emoji`: which emoji a sample is, of all that there are."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.data import Pictures
from inkling.evaluate.memory import nearest_images


class Recognition(NamedTuple):
    """Fractions of samples in which the nearest of all emoji is right."""

    own: float
    """It is the one asked for, or looks exactly like it."""
    name: float
    """It has its name: person and profession."""
    tone: float
    """It has its skin tone; of the samples whose prompt names one, NaN without any."""


def recognised(samples: Tensor, asked: Sequence[int], known: Pictures) -> Recognition:
    """Which emoji samples show, by the smallest squared distance of pixels.

    Args:
        samples: uint8 [N, C, H, W].
        asked: [N] rows in `known` of the emoji asked for.
        known: all emoji, those that were held out of training too.
    """
    pixels = known.pixels()
    nearest = nearest_images(samples, [pixels]).row.tolist()
    parts = [known.groups[group][0].partition(", ")[::2] for group in known.group.tolist()]
    own, named, toned = [], [], []
    for near, wanted in zip(nearest, asked, strict=True):
        same = torch.equal(pixels[near], pixels[wanted])
        (name, tone), (right_name, right_tone) = parts[near], parts[wanted]
        own.append(same)
        named.append(same or name == right_name)
        if right_tone:
            toned.append(same or tone == right_tone)
    share = (sum(each) / len(each) if each else math.nan for each in (own, named, toned))
    return Recognition(*share)
