"""The meaning of every setting, read from the sentence below it in its class."""

import ast
import inspect
import types
from collections.abc import Iterator
from textwrap import dedent
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from inkling.config.recipe import Recipe, RunRecipe
from inkling.config.sample import ScheduleConfig
from inkling.config.values import shown
from inkling.nets.configs import NETWORKS, NetworkConfig, UNetConfig
from inkling.settings import Settings

_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_BOUNDS = {"ge": ">= {}", "gt": "> {}", "le": "<= {}", "lt": "< {}"}


class Setting(NamedTuple):
    """A setting, in words."""

    path: str
    """Such as "train.lr"."""
    meaning: str
    values: str
    """The type and range, such as "number > 0", or the choices."""
    default: str
    """As JSON."""


def settings_of(
    kind: type[RunRecipe] = Recipe, net: type[NetworkConfig] = UNetConfig
) -> Iterator[Setting]:
    """Every setting of a kind of recipe.

    Args:
        kind: of the recipe.
        net: the network whose settings are those of `net`.
    """
    for name, group in get_type_hints(kind).items():
        if name == "net":
            yield Setting("net.kind", "The network.", _choices(NETWORKS), f'"{_kind_of(net)}"')
        here = net if name == "net" else _group(group)
        if here is not None:
            yield from _settings(here, f"{name}.")


def meaning_of(path: str, net: type[NetworkConfig] = UNetConfig) -> str:
    """The meaning of one setting of a denoiser; empty for one that is not described.

    Args:
        path: such as "train.lr".
        net: the network whose settings are those of `net`.
    """
    return next((each.meaning for each in settings_of(net=net) if each.path == path), "")


def _settings(group: type[Any], before: str) -> Iterator[Setting]:
    sentences = _sentences(group)
    for field in msgspec.structs.fields(group):
        path, hint = before + field.name, get_type_hints(group, include_extras=True)[field.name]
        inner = _group(hint)
        meaning = sentences.get(field.name, "")
        default = field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory() if callable(field.default_factory) else None
        if inner is ScheduleConfig:
            default = default or ScheduleConfig()
            yield Setting(f"{path}.name", meaning, "a schedule", shown(default.name))
            options = f"Parameters of {path}.name; those left out have the schedule's defaults."
            yield Setting(f"{path}.options", options, "numbers by name", shown(default.options))
        elif inner is not None:
            yield from _settings(inner, f"{path}.")
        else:
            yield Setting(path, meaning, in_words(hint), shown(default))


def _group(hint: Any) -> type[Any] | None:
    """The group of settings that a type is, also where it may be null."""
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and issubclass(each, Settings):
            return each
    return None


def _sentences(group: type) -> dict[str, str]:
    """The strings below the fields of a class and of those that it extends."""
    found: dict[str, str] = {}
    for each in reversed(group.__mro__):
        if not each.__module__.startswith("inkling."):
            continue
        try:
            (tree,) = ast.parse(dedent(inspect.getsource(each))).body
        except (OSError, TypeError):  # made at run time
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found


def in_words(hint: Any) -> str:
    """A type and its range in words, such as "number > 0"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [_bounds(meta) for meta in inner[1:] if isinstance(meta, Meta)]
        return (", " if get_origin(inner[0]) is tuple else " ").join(
            [in_words(inner[0]), *filter(None, bounds)]
        )
    if origin is Literal:
        return _choices(inner)
    if origin in (types.UnionType, Union):
        return " or ".join("null" if each is type(None) else in_words(each) for each in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of: {in_words(inner[0])}"
        return ", ".join(map(in_words, inner))
    return _PLAIN.get(hint, str(hint))


def _bounds(meta: Meta) -> str:
    bounds = [
        words.format(value)
        for name, words in _BOUNDS.items()
        if (value := getattr(meta, name)) is not None
    ]
    if meta.multiple_of:
        bounds.append(f"a multiple of {meta.multiple_of}")
    if meta.min_length is not None and meta.min_length == meta.max_length:
        bounds.append(f"{meta.min_length} of them")
    elif meta.min_length:
        bounds.append(f"{meta.min_length} or more of them")
    return ", ".join(bounds)


def _choices(names: Any) -> str:
    return ", ".join(map(str, names))


def _kind_of(net: type[NetworkConfig]) -> str:
    return next((name for name, config in NETWORKS.items() if config is net), "")
