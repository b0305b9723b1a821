"""Recipes as text, and settings changed by name: `override(recipe, ["train.lr=1e-3"])`.

Everything that comes in is checked: types and ranges by msgspec, names by the registries.
"""

import json
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from inkling.config.cadence import seconds_of
from inkling.config.kinds import KINDS
from inkling.config.recipe import AUTO, Recipe, RunRecipe
from inkling.config.registries import check_name
from inkling.config.sample import ScheduleConfig
from inkling.config.unknown import one_of, unknown_setting
from inkling.config.values import check_finite, in_words, parsed
from inkling.errors import UserError, unknown_name
from inkling.nets.configs import NETWORKS, NetworkConfig
from inkling.settings import Settings

AnyRecipe = TypeVar("AnyRecipe", bound=RunRecipe)
AnySettings = TypeVar("AnySettings", bound=msgspec.Struct)
_OPTIONS = ".options"
"""What the settings of a noise schedule end with."""
_SIZES = ("net.", "train.batch", "train.lr", "train.muon_lr", "train.optimiser")
"""Beginnings of the settings that `train.fit_budget` chooses, or rests on."""


def to_json(recipe: RunRecipe) -> str:
    """The recipe as indented JSON; `from_json` takes it back."""
    return msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode()


def from_json(text: str) -> RunRecipe:
    """The recipe of any kind that `to_json` wrote.

    Raises:
        UserError: the text is no recipe.
    """
    try:
        tree = json.loads(text)
        if "kind" not in tree and "train" in tree:
            raise UserError(
                "this recipe was written by an earlier version of inkling, which had other "
                "settings; start from a recipe of this version (inkling recipes)"
            )
        return _convert(tree, KINDS[tree["kind"]])
    except UserError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"this is not an inkling recipe: {in_words(error)}") from None


def override(recipe: AnyRecipe, assignments: Iterable[str]) -> AnyRecipe:
    """The recipe with settings changed, each given as `"train.lr=1e-3"`.

    A name that chooses a group of settings, such as `net.kind` or `diffusion.noise.name`, brings
    that group's defaults; it is set first, wherever it stands. A group may also be given whole, as
    JSON.

    Raises:
        UserError: an unknown setting (the nearest is offered), or a value of the wrong type or
            out of range.
    """
    if not isinstance(recipe, RunRecipe):
        raise UserError(f"{recipe!r} is no recipe; give one, such as RECIPES['mnist']")
    tree: dict[str, Any] = msgspec.to_builtins(recipe)
    pairs = [_pair(assignment) for assignment in _listed(assignments)]
    # Groups before what is in them, and names first: they decide which settings there are.
    for path, text in sorted(pairs, key=lambda p: (p[0].count("."), not _chooses(tree, p[0]))):
        if path == "net.kind" and "net" in tree:
            tree["net"] = _network(text, tree["net"])
            continue
        _assign(type(recipe), tree, path, text)
        _check_value(type(recipe), tree, path, text)
    paths = [path for path, _ in pairs]
    if any(path.startswith(_SIZES) for path in paths) and "train.fit_budget" not in paths:
        tree["train"]["fit_budget"] = False
    try:
        changed = _convert(tree, type(recipe))
    except ValueError as error:
        raise UserError(in_words(error)) from None
    before = dict(_schedules(recipe))
    for path, schedule in _schedules(changed):
        if schedule != before.get(path) and schedule.name:
            from inkling.core.noise import make_schedule

            kind = "lognormal" if schedule.name == AUTO else schedule.name
            make_schedule(kind, schedule.options)  # refuses options that it does not have
    if isinstance(changed, Recipe) and changed.sample.eta:
        from inkling.core.samplers import check_sampler

        check_sampler(changed.sample.sampler, changed.sample.eta)
    return changed


def _listed(assignments: Iterable[str]) -> list[str]:
    """Settings as a list of strings.

    Raises:
        UserError: something else.
    """
    alone = isinstance(assignments, str | dict) or not isinstance(assignments, Iterable)
    each = [] if alone else [*assignments]
    if alone or not all(isinstance(assignment, str) for assignment in each):
        raise UserError(
            f"settings are a list of strings, such as ['train.lr=1e-3'], and not {assignments!r}"
        )
    return each


def _chooses(tree: dict[str, Any], path: str) -> bool:
    """Whether other settings depend on which value this one has."""
    return path == "net.kind" or isinstance((_group(tree, path) or {}).get("options"), dict)


def _group(tree: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The group of settings that a setting is in; None if there is none."""
    node: Any = tree
    for key in path.split(".")[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _schedules(settings: Any, below: str = "") -> Iterator[tuple[str, ScheduleConfig]]:
    """Every noise schedule in a recipe, with its path."""
    for name in getattr(settings, "__struct_fields__", ()):
        value = getattr(settings, name)
        if isinstance(value, ScheduleConfig):
            yield below + name, value
        else:
            yield from _schedules(value, f"{below}{name}.")


def replaced(settings: AnySettings, changes: dict[str, Any], what: str) -> AnySettings:
    """Settings with some fields changed, checked like what comes from a user.

    Args:
        settings: any group.
        changes: values by field.
        what: the group in words, for messages: "sampling setting".

    Raises:
        UserError: no such field, or a value that it cannot have.
    """
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    hints = get_type_hints(type(settings), include_extras=True)
    for name, value in changes.items():
        if name not in tree:
            raise UserError(unknown_name(name, tree, what))
        if get_origin(hints[name]) is Literal and value not in get_args(hints[name]):
            raise UserError(unknown_name(str(value), get_args(hints[name]), name))
        try:
            tree[name] = msgspec.to_builtins(value)
            check_finite(name, tree[name])
            msgspec.convert(tree[name], hints[name])
        except ValueError as error:
            raise UserError(f"{name}={value}: {in_words(error)}") from None
    try:
        return msgspec.convert(tree, type(settings))
    except ValueError as error:
        raise UserError(in_words(error)) from None


def _pair(assignment: str) -> tuple[str, str]:
    path, sign, text = (part.strip() for part in assignment.partition("="))
    if not sign:
        raise UserError(f"--set takes name=value, such as train.lr=1e-3; got {assignment!r}")
    return path, text


def _network(kind: str, before: dict[str, Any]) -> dict[str, Any]:
    """The settings of a kind of network: those at hand if they are of it, else its defaults."""
    if kind not in NETWORKS:
        raise UserError(unknown_name(kind, NETWORKS, "net.kind"))
    plain: dict[str, Any] = msgspec.to_builtins(NETWORKS[kind]())
    return before if before["kind"] == kind else plain


def _convert(tree: dict[str, Any], kind: type[AnyRecipe]) -> AnyRecipe:
    """Builtins as a recipe of this kind."""
    return msgspec.convert(tree, kind, dec_hook=_union)


def _union(kind: type, tree: Any) -> Any:
    """A member of the tagged union of networks."""
    assert kind is NetworkConfig, f"no recipe has a field of type {kind}"
    if tree.get("kind") not in NETWORKS:
        raise ValueError(unknown_name(str(tree.get("kind")), NETWORKS, "net.kind"))
    return msgspec.convert(tree, NETWORKS[tree["kind"]])


def _assign(whole: type, tree: dict[str, Any], path: str, text: str) -> None:
    node = _group(tree, path)
    leaf = path.rpartition(".")[2]
    option = path.rpartition(".")[0].endswith(_OPTIONS)
    # A schedule's options are checked by the schedule itself.
    if "." not in path or node is None or (leaf not in node and not option):
        raise UserError(unknown_setting(tree, path))
    before = node.get(leaf)
    if isinstance(before, str):
        if leaf == "name" and "options" in node and text != before:
            node["options"] = {}
        node[leaf] = text
        return
    value: Any = parsed(path, text)
    if path == "train.budget" and isinstance(value, str):
        value = seconds_of(text) or text
    if isinstance(before, dict) and not isinstance(value, dict):
        raise UserError(
            f"{path} is a group of settings; set one of them ({one_of(path, before)}), or all as "
            "JSON"
        )
    kind = _type_at(whole, tree, path)
    if isinstance(kind, type) and issubclass(kind, Settings):
        try:  # whole, so that its parts can be set one by one after it
            value = msgspec.to_builtins(_whole(kind, value))
        except ValueError as error:
            raise UserError(f"{path}={text}: {in_words(error)}") from None
    if isinstance(before, list | tuple) and not isinstance(value, list):
        value = [*filter(None, value.split(","))] if isinstance(value, str) else [value]
    if isinstance(before, list | tuple) and str in get_args(kind):
        # Names may look like numbers: data.classes=0,1.
        listed = text.startswith("[") and all(isinstance(each, str) for each in value)
        names = (each.strip() for each in text.strip("[]").split(","))
        value = value if listed else [*filter(None, names)]
    node[leaf] = value


def _whole(kind: type, group: dict[str, Any]) -> Any:
    """A group of settings from some of them."""
    return (
        _union(NetworkConfig, group)
        if issubclass(kind, NetworkConfig)
        else msgspec.convert(group, kind)
    )


def _check_value(whole: type, tree: dict[str, Any], path: str, text: str) -> None:
    """Check one setting by its own type; how settings fit together is checked when all are in."""
    check_name(path, text)
    part = path.split(".")[0]
    kind = get_type_hints(whole)[part]
    try:
        msgspec.convert(tree[part], kind, dec_hook=_union)
    except ValueError as error:
        if _do_not_fit(error):
            return
        literals = _literals(_type_at(whole, tree, path))
        if literals and not set(text.split(",")) <= set(literals):
            raise UserError(unknown_name(text, literals, path)) from None
        raise UserError(f"{path}={text}: {in_words(error)}") from None


def _do_not_fit(error: BaseException | None) -> bool:
    """Whether settings are well-formed one by one and only do not fit together."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error is not None


def _literals(kind: Any) -> list[str]:
    """The names that a setting of this type may have, alone or in a list; none if it has others."""
    if get_origin(kind) is Literal:
        return [*map(str, get_args(kind))]
    inner = [each for each in get_args(kind) if each not in (NoneType, ...)]
    return _literals(inner[0]) if len(inner) == 1 else []


def _without_null(kind: Any) -> Any:
    """The type of a group that may be left out."""
    some = [each for each in get_args(kind) if each is not NoneType]
    group = len(some) == 1 and isinstance(some[0], type) and issubclass(some[0], Settings)
    return some[0] if group else kind


def _type_at(whole: type, tree: dict[str, Any], path: str) -> Any:
    """The type of the setting at this path; None where there is none."""
    kind: Any = whole
    for key in path.split("."):
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
        kind = _without_null(kind)
        if kind is NetworkConfig:
            kind = NETWORKS[tree["net"]["kind"]]
    return kind
