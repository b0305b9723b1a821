"""Recipes as text, and settings changed by name: `override(recipe, ["train.lr=1e-3"])`.

Everything that comes in is checked by its type and range; msgspec does the checking.
"""

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.recipe import Recipe
from inkling.errors import UserError, nearest

AnyRecipe = TypeVar("AnyRecipe", Recipe, ClipRecipe)


def to_json(recipe: Recipe | ClipRecipe) -> str:
    """The recipe as indented JSON; `from_json` takes it back."""
    return msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode()


def from_json(text: str, kind: type[AnyRecipe] = Recipe) -> AnyRecipe:  # type: ignore[assignment]
    """The recipe that `to_json` wrote, `Recipe` or `ClipRecipe`.

    Raises:
        UserError: the text is no recipe.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise UserError(f"this is not an inkling recipe: {error}") from None


def override(recipe: AnyRecipe, assignments: Iterable[str]) -> AnyRecipe:
    """The recipe with settings changed, each given as `"train.lr=1e-3"`.

    Raises:
        UserError: an unknown setting (the nearest is offered), or a value of the wrong type or
            out of range.
    """
    tree: dict[str, Any] = msgspec.to_builtins(recipe)
    for assignment in assignments:
        path, sign, text = (part.strip() for part in assignment.partition("="))
        if not sign:
            raise UserError(f"--set takes name=value, such as train.lr=1e-3; got {assignment!r}")
        _assign(tree, path, text)
        _check_value(type(recipe), tree, path, text)
    try:
        return msgspec.convert(tree, type(recipe))
    except msgspec.ValidationError as error:
        raise UserError(str(error)) from None


def _value(text: str) -> Any:
    """A JSON value, a bare list such as `32,64`, or the text itself."""
    for candidate in (text, f"[{text}]") if "," in text else (text,):
        try:
            return json.loads(
                candidate.replace("True", "true").replace("False", "false").replace("None", "null")
            )
        except json.JSONDecodeError:
            pass
    return text


def _assign(tree: dict[str, Any], path: str, text: str) -> None:
    value = _value(text)
    *parents, leaf = path.split(".")
    node: Any = tree
    for depth, key in enumerate([*parents, leaf]):
        if depth and parents[depth - 1] == "options":
            break  # a schedule's options are checked by the schedule itself
        if not isinstance(node, dict) or key not in node:
            raise UserError(nearest(path, _paths(tree), "setting"))
        if depth < len(parents):
            node = node[key]
    if isinstance(node.get(leaf), dict):
        raise UserError(nearest(path, _paths(tree), "setting"))
    if isinstance(node.get(leaf), list | tuple) and not isinstance(value, list):
        value = value.split(",") if isinstance(value, str) else [value]
    node[leaf] = text if isinstance(node.get(leaf), str) else value


def _paths(tree: dict[str, Any], before: str = "") -> list[str]:
    paths = []
    for key, value in tree.items():
        inner = isinstance(value, dict) and key != "options"
        paths += _paths(value, f"{before}{key}.") if inner else [before + key]
    return paths


def _check_value(whole: type, tree: dict[str, Any], path: str, text: str) -> None:
    """Check one setting by its own type; how settings fit together is checked when all are in."""
    part = path.split(".")[0]
    kind = get_type_hints(whole)[part]
    try:
        msgspec.convert(tree[part], kind)
    except msgspec.ValidationError as error:
        known = _names(whole, path)
        if known and text not in known:
            raise UserError(nearest(text, known, path)) from None
        message = str(error).split(" - at ")[0]
        raise UserError(f"{path}={text}: {message[0].lower()}{message[1:]}") from None


def _names(whole: type, path: str) -> tuple[str, ...]:
    """The names that the setting at this path may have; none if it takes no name."""
    kind: Any = whole
    for key in filter(None, path.split(".")):
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
    return get_args(kind) if get_origin(kind) is Literal else ()


def choices(name: Any) -> tuple[str, ...]:
    """The values of one of the `Literal` types above."""
    return get_args(name)
