"""A recipe for pictures that no named recipe was made for: chosen from what the data are.

Everything chosen here is an ordinary setting: it is printed, recorded and can be overridden.
"""

from collections.abc import Sequence
from math import inf
from pathlib import Path

from msgspec.structs import replace

from inkling.models.build import read_pictures
from inkling.data import DATASETS, Pictures
from inkling.errors import UserError, nearest
from inkling.config.overrides import override
from inkling.config.recipe import Data, Diffusion, Net, Recipe, Sample, Schedule, Text
from inkling.config.recipes import MNIST, RECIPES, small

_FORMS: tuple[tuple[float, int, tuple[int, ...]], ...] = (
    (16, 1, (32, 64)),
    (40, 2, (32, 64)),
    (80, 2, (32, 64, 128)),
    (inf, 4, (64, 128, 256)),
)
"""(side at most, patch, widths): a quarter of the positions costs a quarter of the time, as long
as the first width holds the pixels of a patch."""
_PLACES = ("folder", "hub")
"""Data sets that mean nothing without a place."""
_CAPTIONED = 400
"""More distinct sentences than this are captions rather than names of classes."""


def recipe_for(name: str, data: Data, pictures: Pictures) -> Recipe:
    """A recipe for these pictures, for five minutes on two cores, or as long as one likes.

    Args:
        name: what to call it.
        data: where the pictures came from.
        pictures: what is there.
    """
    channels, height, width = pictures.shape
    side = max(height, width)
    colour, captioned = channels == 3, len(pictures.sentences) > _CAPTIONED
    patch, widths = next((p, w) for most, p, w in _FORMS if side <= most)
    positions = -(-side // patch)
    net = Net(
        widths=widths,
        blocks=(1,) * len(widths),
        attention=(False,) * len(widths),
        middle=1,
        cross_attention=captioned,
        patch=patch,
        positions=positions,
        template=8 if pictures.conditional else 0,
        embedding=256 if colour else 128,
    )
    text = Text(encoder="transformer", width=128, layers=2 if captioned else 1, max_tokens=64)
    if not pictures.conditional:
        text = Text(encoder="label", width=16, heads=1)
    # Photographs have detail at every scale, drawings an outline: the noise that teaches most
    # lies lower for the first (Karras et al. 2022, table 1, for CIFAR-10).
    mean, std = (-0.6, 1.2) if colour else (0.3, 1.0)
    law = {"mean": mean, "std": std, "sigma_min": 0.005, "sigma_max": 80.0}
    scale = MNIST.sample.scale if pictures.conditional else 1.0
    return Recipe(
        name=name,
        source="chosen by inkling from the pictures: their size, colours and captions",
        data=data,
        net=net,
        text=text,
        diffusion=Diffusion(prediction="edm", noise=Schedule(name="lognormal", options=law)),
        train=MNIST.train,
        sample=_sample(colour, scale),
    )


def _sample(colour: bool, scale: float) -> Sample:
    if not colour:
        return replace(MNIST.sample, scale=scale)
    grid = Schedule(name="karras", options={"sigma_min": 0.01, "sigma_max": 80.0})
    return replace(MNIST.sample, steps=15, grid=grid, scale=scale)


def resolve(target: str, assignments: Sequence[str], trial: bool = False) -> Recipe:
    """The recipe for what a user names: a recipe, a data set, a path or a hub id.

    Args:
        target: `mnist`, `cifar10`, `./photographs`, `hub:owner/name`.
        assignments: settings as for `override`.
        trial: make the recipe small before these.

    Raises:
        UserError: nothing of that name, pictures that cannot be read, or a wrong setting.
    """
    if target in RECIPES:
        recipe = RECIPES[target]
        return override(small(recipe) if trial else recipe, assignments)
    about_data = [each for each in assignments if each.strip().startswith("data.")]
    name, settings, pictures = read_target(target, about_data)
    recipe = recipe_for(name, settings, pictures)
    return override(small(recipe) if trial else recipe, assignments)


def read_target(
    target: str, assignments: Sequence[str], split: str = "train"
) -> tuple[str, Data, Pictures]:
    """(name, settings, pictures) of a target, as `resolve` takes it; only `data.*` settings count.

    Raises:
        UserError: nothing of that name, pictures that cannot be read, or a wrong setting.
    """
    name, found = located(target)
    settings = override(Recipe(name=name, source="", data=found), assignments).data
    return name, settings, read_pictures(settings, split)


def located(target: str) -> tuple[str, Data]:
    """(a name for it, where the pictures of a target are).

    Raises:
        UserError: nothing of that name.
    """
    if target in DATASETS and target not in _PLACES:
        return target, Data(name=target)
    if target in RECIPES:
        return target, RECIPES[target].data
    kind, sign, rest = target.partition(":")
    if sign and kind == "hub":
        return rest.replace("/", "-").replace(":", "-"), Data(name="hub", path=rest)
    path = Path(target).expanduser()
    if path.exists():
        return path.resolve().name.split(".")[0], Data(name="folder", path=str(path))
    known = [name for name in dict.fromkeys([*RECIPES, *DATASETS]) if name not in _PLACES]
    raise UserError(
        nearest(target, known, "recipe, data set or folder") + ", or name a folder of pictures"
    )
