"""Synthetic images of two coloured shapes in a spatial relation, at any size and without end.

"a small red circle above a large blue square". Each image is a function of its number and is
rendered on access. Its content is known exactly, so samples can be scored without a trained judge
(`inkling.evaluate.shapes`), and combinations can be held out of training.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from inkling.data.pictures import Dataset, Pictures
from inkling.data.settings import Options
from inkling.errors import UserError

COLOURS = {
    "red": (214, 39, 40),
    "orange": (250, 125, 0),
    "yellow": (250, 220, 40),
    "green": (44, 160, 44),
    "cyan": (23, 190, 207),
    "blue": (31, 80, 200),
    "purple": (140, 60, 190),
    "black": (20, 20, 20),
}
RADII = {"small": 0.125, "large": 0.205}
"""Mean radius of the circle around a shape, as a fraction of the image's side."""
SPREAD = 0.07
"""Largest relative deviation of a radius from its mean."""
RELATIONS = {"above": "below", "to the left of": "to the right of"}
"""Relation of the first shape to the second, and the inverse relation."""
EPOCH = 1_000_000
"""Number of images that count as one epoch of the endless set, without a limit."""

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]


def _ring(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return ((x * x + y * y).sqrt() - 0.7 * r).abs() - 0.3 * r


def _triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(y - 0.5 * r, 0.75**0.5 * x.abs() - 0.5 * y - 0.5 * r)


def _cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    return torch.maximum(long - r, short - 0.33 * r)


SHAPES_BY_NAME: dict[str, Distance] = {
    "circle": lambda x, y, r: (x * x + y * y).sqrt() - r,
    "square": lambda x, y, r: torch.maximum(x.abs(), y.abs()) - 0.89 * r,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}
"""Signed distance from the edge, negative inside: (x, y from the centre, radius) -> pixels."""


class Thing(NamedTuple):
    """One coloured shape."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.shape}"


class Scene(NamedTuple):
    """Two shapes: the first is above, or to the left of, the second."""

    first: Thing
    second: Thing
    relation: str

    def sentences(self) -> tuple[str, str]:
        """The two captions of the scene."""
        return (
            f"{self.first} {self.relation} {self.second}",
            f"{self.second} {RELATIONS[self.relation]} {self.first}",
        )


THINGS = tuple(Thing(*each) for each in product(RADII, COLOURS, SHAPES_BY_NAME))
_SENTENCE = re.compile(
    r"an? (\w+) (\w+) (\w+) (above|below|to the left of|to the right of) an? (\w+) (\w+) (\w+)"
)


def parse(sentence: str) -> Scene:
    """The scene that a sentence describes.

    Raises:
        UserError: the sentence does not follow the grammar.
    """
    found = _SENTENCE.fullmatch(sentence.strip().lower())
    if found:
        one, two = Thing(*found.groups()[:3]), Thing(*found.groups()[4:])
        relation = found.group(4)
        forward = {inverse: relation for relation, inverse in RELATIONS.items()}
        if one in THINGS and two in THINGS:
            if relation in forward:
                return Scene(two, one, forward[relation])
            return Scene(one, two, relation)
    raise UserError(
        f"{sentence!r} is no sentence about shapes; say it like "
        f"{scenes(0.0, held=False)[0].sentences()[0]!r}, with the sizes {', '.join(RADII)}, the "
        f"colours {', '.join(COLOURS)} and the shapes {', '.join(SHAPES_BY_NAME)}"
    )


def held_out_pairs(fraction: float) -> frozenset[tuple[str, str]]:
    """The (colour, shape) pairs held out of training: this fraction, spread evenly over both."""
    colours, shapes = tuple(COLOURS), tuple(SHAPES_BY_NAME)
    # Eight and five are coprime, so stepping both indices together visits every pair once.
    count = round(fraction * len(colours) * len(shapes))
    return frozenset((colours[i % len(colours)], shapes[i % len(shapes)]) for i in range(count))


def scenes(hold_out: float, *, held: bool) -> tuple[Scene, ...]:
    """All scenes without a held-out pair; with `held`, all scenes with one."""
    pairs = held_out_pairs(hold_out)
    held_out = {thing: (thing.colour, thing.shape) in pairs for thing in THINGS}
    every = product(THINGS, THINGS, RELATIONS)
    return tuple(Scene(a, b, rel) for a, b, rel in every if (held_out[a] or held_out[b]) == held)


def coverage(shape: str, x: Tensor, y: Tensor, radius: Tensor, size: tuple[int, int]) -> Tensor:
    """The fraction of each pixel that a shape covers, antialiased: [B, H, W] in 0 .. 1.

    Args:
        shape: a key of `SHAPES_BY_NAME`.
        x: [B] centres in pixels.
        y: [B].
        radius: [B] in pixels.
        size: (H, W).
    """
    across = torch.arange(size[1], device=x.device) + 0.5
    down = torch.arange(size[0], device=x.device) + 0.5
    right = across[None, None, :] - x[:, None, None]  # [B, 1, W]
    below = down[None, :, None] - y[:, None, None]  # [B, H, 1]
    distance = SHAPES_BY_NAME[shape](right, below, radius[:, None, None])
    return (0.5 - distance).clamp(0, 1)


def _uniform(rows: np.ndarray, number: int) -> np.ndarray:
    """Uniform random number `number` of each row [N], float64 in [0, 1): SplitMix64 of both."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((number + 1) * 0xD1B54A32D192ED03 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    uniform: np.ndarray = (z >> np.uint64(11)).astype(np.float64) / 2**53
    return uniform


def choose(rows: np.ndarray, count: int) -> np.ndarray:
    """The index of each image's scene, out of `count`: [N] int64 for image numbers [N]."""
    return (_uniform(rows, 0) * count).astype(np.int64)


def draw(shown: Sequence[Scene], rows: np.ndarray, side: int) -> Tensor:
    """Renders images: uint8 [B, 3, side, side] on white.

    Args:
        shown: the scene of each image, [B].
        rows: [B] image numbers, which determine positions and exact sizes.
        side: height and width in pixels.
    """
    pixels = torch.full((len(rows), 3, side, side), 255.0)
    horizontal = torch.tensor([scene.relation != "above" for scene in shown])
    for order in (0, 1):  # the first and the second shape of every scene
        things = [(scene.first, scene.second)[order] for scene in shown]
        jitter = 1 + SPREAD * (2 * _uniform(rows, 1 + order) - 1)
        radius = np.array([RADII[thing.size] for thing in things]) * jitter
        # Each shape stays in its half along the axis of the relation, and near the middle across.
        low, high = radius + 0.02, 0.475 - radius
        along = low + (high - low) * _uniform(rows, 3 + order)
        along = 1 - along if order else along
        across = 0.5 + 0.12 * (2 * _uniform(rows, 5 + order) - 1)
        main, cross, r = (torch.from_numpy(side * each).float() for each in (along, across, radius))
        x, y = torch.where(horizontal, main, cross), torch.where(horizontal, cross, main)
        for shape in SHAPES_BY_NAME:
            index = torch.tensor([row for row, thing in enumerate(things) if thing.shape == shape])
            if len(index) == 0:
                continue
            cover = coverage(shape, x[index], y[index], r[index], (side, side)).unsqueeze(1)
            ink = torch.tensor([COLOURS[things[row].colour] for row in index.tolist()])
            pixels[index] += cover * (ink[:, :, None, None] - pixels[index])
    return pixels.round().to(torch.uint8)


_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Rendered:
    """Images that are rendered on access."""

    shown: tuple[Scene, ...]
    """The scenes to choose from."""
    side: int
    count: int
    first: int
    """Number of the image in row 0; splits have disjoint numbers, so they share no image."""
    device: torch.device = _CPU

    @property
    def shape(self) -> torch.Size:
        """[N, 3, side, side]."""
        return torch.Size((self.count, 3, self.side, self.side))

    def __getitem__(self, rows: Tensor) -> Tensor:
        numbers = rows.cpu().numpy() + self.first
        which = choose(numbers, len(self.shown))
        return draw([self.shown[i] for i in which], numbers, self.side).to(self.device)

    def to(self, device: torch.device | str) -> Self:
        """The same images, on another device."""
        return type(self)(self.shown, self.side, self.count, self.first, torch.device(device))


_FIRST = {"train": 0, "test": 1 << 40, "held_out": 1 << 41}


def find(folder: Path | None, split: str, options: Options) -> Pictures:
    """Images for training, new images of the same scenes ("test"), or images of the scenes that
    `options.hold_out` holds out of training ("held_out").

    Raises:
        UserError: a folder was given, or an option that does not apply to rendered images.
    """
    if folder is not None:
        raise UserError(f"shapes are drawn, not read; leave --data {folder} out")
    if options.classes:
        raise UserError("shapes have no classes; leave data.classes out")
    if options.channels == 1:
        raise UserError("shapes are coloured; leave data.channels=1 out")
    if options.hold_out and not held_out_pairs(options.hold_out):
        raise UserError(f"data.hold_out={options.hold_out} is less than one pair in forty")
    shown = scenes(options.hold_out, held=split == "held_out")
    if not shown:
        raise UserError("no scene is left; set data.hold_out to a fraction such as 0.1")
    count = options.limit or EPOCH
    images = Rendered(shown, options.size or 32, count, _FIRST[split])
    numbers = np.arange(count) + images.first
    captioned = options.captions
    return Pictures(
        images=images,
        group=torch.from_numpy(choose(numbers, len(shown)) if captioned else np.zeros(count, int)),
        groups=tuple(scene.sentences() for scene in shown) if captioned else (("",),),
        labels=torch.full((count,), -1),
    )


SHAPES = Dataset(
    title="two coloured shapes in a spatial relation, rendered by inkling, endless",
    find=find,
    licence="CC0",
    citation="rendered by inkling",
    size=32,
    channels=3,
    classes=False,
    splits=("train", "test", "held_out"),
)
