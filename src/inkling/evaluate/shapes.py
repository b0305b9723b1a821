"""The exact judge of the data set `shapes`: recovers the scene that an image shows.

No network: connected components, their median colour, and the outline that fits best.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from inkling.data.sets.shapes import (
    COLOURS,
    RADII,
    RELATIONS,
    SHAPES_BY_NAME,
    SPREAD,
    Scene,
    Thing,
    coverage,
)
from inkling.evaluate.measures import Measure

FAITHFUL = "faithful: all"
_RESPECTS = ("colour", "shape", "size", "relation")
"""In the order of `faithfulness_of_each`."""
_INK = 0.4
"""Smallest fraction of full ink at which a pixel belongs to a shape."""
_SPECK = 0.01
"""Components smaller than this fraction of the image are ignored."""
_NEIGHBOURHOOD = np.ones((3, 3))
_RADII_TRIED = (1 - 0.7 * SPREAD, 1.0, 1 + 0.7 * SPREAD)


class Found(NamedTuple):
    """A coloured shape and its centre in pixels."""

    thing: Thing
    x: float
    y: float


def read_scenes(images: Tensor) -> Iterator[Scene | None]:
    """The scene in each image; None if it does not show exactly two shapes.

    Args:
        images: uint8 [N, 3, H, W].
    """
    for image in images.numpy():
        things = _things(image)
        yield _scene(things) if len(things) == 2 else None


def _things(image: np.ndarray) -> list[Found]:
    """All shapes in an image [3, H, W]."""
    ink = 1 - image.min(0) / 255  # every colour has a channel near zero, the background has none
    labelled, count = ndimage.label(ink > _INK, _NEIGHBOURHOOD)
    sizes = ndimage.sum_labels(np.ones_like(ink), labelled, range(1, count + 1))
    kept = [label for label, size in enumerate(sizes, start=1) if size > _SPECK * ink.size]
    return [_thing(image, ink, labelled == label) for label in kept]


def _thing(image: np.ndarray, ink: np.ndarray, inside: np.ndarray) -> Found:
    full = inside & (ink >= 0.9 * ink[inside].max())
    median = np.median(image[:, full], axis=1)
    colour = min(COLOURS, key=lambda name: float(np.square(median - COLOURS[name]).sum()))
    near = ndimage.binary_dilation(inside, _NEIGHBOURHOOD)
    cover = np.where(near, ink / (1 - min(COLOURS[colour]) / 255), 0).clip(0, 1)
    y, x = ((grid + 0.5) @ cover.ravel() / cover.sum() for grid in _grids(cover.shape))
    names, templates = _templates(cover.shape, x, y)
    misfit = np.square(templates - cover).sum((1, 2))
    size, shape = names[int(misfit.argmin())]
    return Found(Thing(size, colour, shape), x, y)


def _grids(shape: tuple[int, ...]) -> np.ndarray:
    return np.indices(shape).reshape(2, -1)


def _templates(
    shape: tuple[int, ...], x: float, y: float
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """(size, outline) and pixel coverage of every possible shape centred at (x, y)."""
    sizes = [(size, RADII[size] * shape[0] * r) for size in RADII for r in _RADII_TRIED]
    radii = torch.tensor([radius for _, radius in sizes])
    centres = torch.tensor([[x, y]], dtype=torch.float32).expand(len(sizes), 2)
    height, width = shape
    covers = [
        coverage(outline, centres[:, 0], centres[:, 1], radii, (height, width))
        for outline in SHAPES_BY_NAME
    ]
    names = [(size, outline) for outline in SHAPES_BY_NAME for size, _ in sizes]
    return names, torch.cat(covers).numpy()


def _scene(things: Sequence[Found]) -> Scene:
    one, two = things
    above, beside = RELATIONS
    upright = abs(one.y - two.y) > abs(one.x - two.x)
    first, second = sorted((one, two), key=lambda found: found.y if upright else found.x)
    return Scene(first.thing, second.thing, above if upright else beside)


class Faithfulness(NamedTuple):
    """Fractions of the prompt that samples follow; colour, shape and size over both shapes."""

    colour: float
    shape: float
    size: float
    relation: float
    everything: float
    unreadable: float
    """Fraction of images that do not show two shapes; they count as wrong in everything."""


def faithfulness_of_each(prompted: Sequence[Scene], images: Tensor) -> np.ndarray:
    """How well each image follows its prompt: [N, 4] fractions of colours, shapes, sizes, relation.

    Each recognised shape is matched to the more similar shape of the prompt, so that swapped
    positions count as a wrong relation and not as two wrong shapes. An image that cannot be read
    is wrong in everything.

    Args:
        prompted: [N] scenes of the prompts.
        images: uint8 [N, 3, H, W].
    """
    correct = np.zeros((len(prompted), 4))
    for row, (wanted, found) in enumerate(zip(prompted, read_scenes(images), strict=True)):
        if found is None:
            continue
        in_order = _agreement(wanted, found.first, found.second)
        swapped = _agreement(wanted, found.second, found.first)
        keeps_order = in_order.sum() >= swapped.sum()
        size, colour, shape = in_order if keeps_order else swapped
        relation = keeps_order and found.relation == wanted.relation
        correct[row] = colour, shape, size, relation
    return correct


def of_scenes(prompted: Sequence[Scene], images: Tensor) -> list[Measure]:
    """Faithfulness to the prompts in each respect, and in all of them at once; arguments as in
    `faithfulness_of_each`.
    """
    correct = faithfulness_of_each(prompted, images)
    respects = {f"faithful: {name}": each for name, each in zip(_RESPECTS, correct.T, strict=True)}
    respects[FAITHFUL] = (correct == 1).all(1).astype(float)
    return [
        Measure(name, "higher", each, fraction=bool(np.isin(each, (0, 1)).all()))
        for name, each in respects.items()
    ]


def faithfulness(prompted: Sequence[Scene], images: Tensor) -> Faithfulness:
    """The means over all images; arguments as in `faithfulness_of_each`."""
    correct = faithfulness_of_each(prompted, images)
    unreadable = sum(scene is None for scene in read_scenes(images))
    everything = float((correct == 1).all(1).mean())
    colour, shape, size, relation = correct.mean(0).tolist()
    return Faithfulness(colour, shape, size, relation, everything, unreadable / len(prompted))


def _agreement(wanted: Scene, first: Thing, second: Thing) -> np.ndarray:
    """Fractions of sizes, colours and shapes that agree, [3]."""
    pairs = ((wanted.first, first), (wanted.second, second))
    equal = np.array([[a == b for a, b in zip(*pair, strict=True)] for pair in pairs])
    fractions: np.ndarray = equal.mean(axis=0)
    return fractions
