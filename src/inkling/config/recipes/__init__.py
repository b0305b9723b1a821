"""The named recipes: Python values, each with its source, expected time and score.

Our own stand in `own`, those that follow a public description in `reproductions`, with where each
value comes from. `small` makes any of them fit for a two-minute trial.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from inkling.config.recipe import Recipe
from inkling.config.recipes.differences import DIFFERENCES
from inkling.config.recipes.origins import ORIGINS, OURS
from inkling.config.recipes.own import DIGITS, EMOJI, MNIST, MNIST_TRANSFORMER, SHAPES, SHAPES64
from inkling.config.recipes.reproductions import REPRODUCTIONS
from inkling.config.recipes.small import small
from inkling.config.registries import leaves
from inkling.config.values import shown
from inkling.errors import UserError, unknown_name


class _Recipes(dict[str, Recipe]):
    """Recipes by name; one that there is not is answered with the one meant."""

    def __missing__(self, name: str) -> Recipe:
        raise UserError(unknown_name(name, self, "recipe"))


RECIPES: dict[str, Recipe] = _Recipes(
    (recipe.name, recipe)
    for recipe in (DIGITS, MNIST, MNIST_TRANSFORMER, SHAPES, SHAPES64, EMOJI, *REPRODUCTIONS)
)


class Explained(NamedTuple):
    """A setting of a recipe, its value, and where that comes from."""

    setting: str
    value: str
    origin: str
    usual: bool
    """Whether the value is the default."""


def explained(recipe: Recipe, named: Recipe | None = None) -> Iterator[Explained]:
    """Every setting of a recipe.

    Args:
        recipe: perhaps changed.
        named: the named recipe that it was; itself if None.
    """
    net = type(recipe.net)()
    plain = dict(leaves(msgspec.to_builtins(Recipe(name="", source="", net=net))))
    before = dict(leaves(msgspec.to_builtins(named or recipe)))
    known = ORIGINS.get(recipe.name)
    for setting, value in leaves(msgspec.to_builtins(recipe)):
        if "." not in setting:
            continue  # name, source and expectation are printed apart
        said = "" if known is None else known.get(setting, "")
        if value != before.get(setting):
            said = "changed for the trial"
        elif not said and value != plain.get(setting):
            said = recipe.source if known is None else OURS
        usual = value == plain.get(setting)
        yield Explained(setting, shown(value), said or "inkling's default", usual)


__all__ = [
    "DIFFERENCES",
    "DIGITS",
    "EMOJI",
    "MNIST",
    "MNIST_TRANSFORMER",
    "ORIGINS",
    "RECIPES",
    "SHAPES",
    "SHAPES64",
    "explained",
    "small",
]
