"""The exact judge of `shapes`: reads a picture back into what it shows.

No network: components, their colour, and the outline that fits best.
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

_INK = 0.4
"""Share of full ink from which a pixel belongs to a thing."""
_SPECK = 0.01
"""Components below this share of the picture are specks."""
_TOUCHES = np.ones((3, 3))
_RADII_TRIED = (1 - 0.7 * SPREAD, 1.0, 1 + 0.7 * SPREAD)


class Found(NamedTuple):
    """A thing and where its centre is, in pixels."""

    thing: Thing
    x: float
    y: float


def read_scenes(images: Tensor) -> Iterator[Scene | None]:
    """What each picture shows; None where it is not two things.

    Args:
        images: uint8 [N, 3, H, W].
    """
    for image in images.numpy():
        things = _things(image)
        yield _scene(things) if len(things) == 2 else None


def _things(image: np.ndarray) -> list[Found]:
    """Every thing in a picture [3, H, W]."""
    ink = 1 - image.min(0) / 255  # every colour has a channel near zero, the paper has none
    labelled, count = ndimage.label(ink > _INK, _TOUCHES)
    sizes = ndimage.sum_labels(np.ones_like(ink), labelled, range(1, count + 1))
    kept = [label for label, size in enumerate(sizes, start=1) if size > _SPECK * ink.size]
    return [_thing(image, ink, labelled == label) for label in kept]


def _thing(image: np.ndarray, ink: np.ndarray, inside: np.ndarray) -> Found:
    full = inside & (ink >= 0.9 * ink[inside].max())
    seen = np.median(image[:, full], axis=1)
    colour = min(COLOURS, key=lambda name: float(np.square(seen - COLOURS[name]).sum()))
    near = ndimage.binary_dilation(inside, _TOUCHES)
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
    """(size, outline) and coverage of everything that could stand at this place."""
    sizes = [(size, RADII[size] * shape[0] * r) for size in RADII for r in _RADII_TRIED]
    radii = torch.tensor([radius for _, radius in sizes])
    centres = torch.tensor([[x, y]], dtype=torch.float32).expand(len(sizes), 2)
    height, width = shape
    drawn = [
        coverage(outline, centres[:, 0], centres[:, 1], radii, (height, width))
        for outline in SHAPES_BY_NAME
    ]
    names = [(size, outline) for outline in SHAPES_BY_NAME for size, _ in sizes]
    return names, torch.cat(drawn).numpy()


def _scene(things: Sequence[Found]) -> Scene:
    one, two = things
    above, beside = RELATIONS
    upright = abs(one.y - two.y) > abs(one.x - two.x)
    first, second = sorted((one, two), key=lambda found: found.y if upright else found.x)
    return Scene(first.thing, second.thing, above if upright else beside)


class Faithfulness(NamedTuple):
    """Shares of what was asked that was drawn; of colour, shape and size over both things."""

    colour: float
    shape: float
    size: float
    relation: float
    everything: float
    unreadable: float
    """Share of pictures that do not show two things; they count as wrong in all."""


def faithfulness_of_each(asked: Sequence[Scene], images: Tensor) -> np.ndarray:
    """How far each picture shows what was asked: colours, shapes, sizes, relation, [N, 4] shares.

    Each drawn thing is taken for the asked one to which it is more alike, so that a wrong place
    is a wrong relation and not two wrong things. What cannot be read is all wrong.

    Args:
        asked: [N] scenes.
        images: uint8 [N, 3, H, W].
    """
    rights = np.zeros((len(asked), 4))
    for row, (wanted, seen) in enumerate(zip(asked, read_scenes(images), strict=True)):
        if seen is None:
            continue
        straight = _alike(wanted, seen.first, seen.second)
        crossed = _alike(wanted, seen.second, seen.first)
        kept = straight.sum() >= crossed.sum()
        size, colour, shape = straight if kept else crossed
        rights[row] = colour, shape, size, kept and seen.relation == wanted.relation
    return rights


def faithfulness(asked: Sequence[Scene], images: Tensor) -> Faithfulness:
    """The shares over all pictures; arguments as in `faithfulness_of_each`."""
    rights = faithfulness_of_each(asked, images)
    lost = sum(seen is None for seen in read_scenes(images))
    everything = float((rights == 1).all(1).mean())
    colour, shape, size, relation = rights.mean(0).tolist()
    return Faithfulness(colour, shape, size, relation, everything, lost / len(asked))


def _alike(wanted: Scene, first: Thing, second: Thing) -> np.ndarray:
    """Share of sizes, colours and shapes that agree, [3]."""
    pairs = ((wanted.first, first), (wanted.second, second))
    equal = np.array([[a == b for a, b in zip(*pair, strict=True)] for pair in pairs])
    shares: np.ndarray = equal.mean(axis=0)
    return shares
