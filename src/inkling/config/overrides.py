"""Recipes as text, and settings changed by name: `override(recipe, ["train.lr=1e-3"])`.

Everything that comes in is checked: types and ranges by msgspec, names by the registries.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from inkling.config.kinds import KINDS
from inkling.config.recipe import RunRecipe
from inkling.errors import UserError, unknown_name
from inkling.nets.configs import NETWORKS, NetworkConfig

AnyRecipe = TypeVar("AnyRecipe", bound=RunRecipe)
AnySettings = TypeVar("AnySettings", bound=msgspec.Struct)


def _core(name: str) -> Callable[[], Collection[str]]:
    def names() -> Collection[str]:
        import inkling.core

        found: Collection[str] = getattr(inkling.core, name)
        return found

    return names


def _encoders() -> Collection[str]:
    from inkling.text import ENCODERS

    return ENCODERS


def _datasets() -> Collection[str]:
    from inkling.data import DATASETS

    return DATASETS


REGISTRIES: dict[str, Callable[[], Collection[str]]] = {
    "data.name": _datasets,
    "text.encoder": _encoders,
    "diffusion.prediction": _core("PREDICTIONS"),
    "diffusion.loss": _core("PENALTIES"),
    "diffusion.weighting": _core("WEIGHTINGS"),
    "diffusion.noise.name": _core("SCHEDULES"),
    "contrast.noise.name": _core("SCHEDULES"),
    "sample.grid.name": _core("SCHEDULES"),
    "sample.sampler": _core("SAMPLERS"),
    "sample.clip.sampler": _core("SAMPLERS"),
}
"""Settings that name an entry of a registry, and what reads the registry when it is needed."""


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
        raise UserError(f"this is not an inkling recipe: {_message(error)}") from None


def check_names(recipe: RunRecipe, below: tuple[str, ...] = ("",)) -> None:
    """Refuse names that no registry has.

    Args:
        recipe: any.
        below: beginnings of the settings that matter.

    Raises:
        UserError: the nearest is offered.
    """
    for path, value in leaves(msgspec.to_builtins(recipe)):
        if path not in REGISTRIES or not path.startswith(below):
            continue
        if value not in (known := REGISTRIES[path]()):
            raise UserError(unknown_name(value, known, path))


def override(recipe: AnyRecipe, assignments: Iterable[str]) -> AnyRecipe:
    """The recipe with settings changed, each given as `"train.lr=1e-3"`.

    Raises:
        UserError: an unknown setting (the nearest is offered), or a value of the wrong type or
            out of range.
    """
    tree: dict[str, Any] = msgspec.to_builtins(recipe)
    pairs = [_pair(assignment) for assignment in assignments]
    # The kind of network first: it decides which settings there are.
    for path, text in sorted(pairs, key=lambda pair: pair[0] != "net.kind"):
        if path == "net.kind" and "net" in tree:
            tree["net"] = _network(text, tree["net"])
            continue
        _assign(tree, path, text)
        _check_value(type(recipe), tree, path, text)
    try:
        return _convert(tree, type(recipe))
    except ValueError as error:
        raise UserError(_message(error)) from None


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
            msgspec.convert(tree[name], hints[name])
        except ValueError as error:
            raise UserError(f"{name}={value}: {_message(error)}") from None
    try:
        return msgspec.convert(tree, type(settings))
    except ValueError as error:
        raise UserError(_message(error)) from None


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


def _message(error: Exception) -> str:
    """What went wrong, without the path that msgspec adds."""
    return str(error).split(" - at ")[0]


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
        if not parents or not isinstance(node, dict) or key not in node:
            raise UserError(_unknown(tree, path))
        if depth < len(parents):
            node = node[key]
    if isinstance(node.get(leaf), dict):
        raise UserError(_unknown(tree, path))
    if path == "data.classes" and not (isinstance(value, list) and str in map(type, value)):
        value = [name.strip() for name in text.strip("[]").split(",") if name.strip()]  # not 0, 1
    if isinstance(node.get(leaf), list | tuple) and not isinstance(value, list):
        value = value.split(",") if isinstance(value, str) else [value]
    node[leaf] = text if isinstance(node.get(leaf), str) else value


def _unknown(tree: dict[str, Any], path: str) -> str:
    """A sentence about an unknown setting; it names the network that has it, if one does."""
    owners = [
        kind
        for kind, config in NETWORKS.items()
        if path.removeprefix("net.") in getattr(config, "__struct_fields__", ())
    ]
    if path.startswith("net.") and owners and "net" in tree:
        kind = tree["net"]["kind"]
        own = ", ".join(name for name in tree["net"] if name != "kind")
        return (
            f"{path} is a setting of net.kind={' and '.join(owners)}, and this recipe has "
            f"net.kind={kind}, whose settings are {own}"
        )
    paths = _paths(tree)
    beside = [known for known in paths if known.startswith(path.split(".")[0] + ".")]
    return unknown_name(path, beside or paths, "setting")


def _paths(tree: dict[str, Any]) -> list[str]:
    return [path for path, _ in leaves(tree) if "." in path]


def leaves(tree: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting of a recipe as builtins; a schedule's options are one."""
    for key, value in tree.items():
        if isinstance(value, dict) and key != "options":
            yield from leaves(value, f"{before}{key}.")
        else:
            yield before + key, value


def _check_value(whole: type, tree: dict[str, Any], path: str, text: str) -> None:
    """Check one setting by its own type; how settings fit together is checked when all are in."""
    if path in REGISTRIES and text not in (known := REGISTRIES[path]()):
        raise UserError(unknown_name(text, known, path))
    part = path.split(".")[0]
    kind = get_type_hints(whole)[part]
    try:
        msgspec.convert(tree[part], kind, dec_hook=_union)
    except ValueError as error:
        if _do_not_fit(error):
            return
        literals = _literals(whole, tree, path)
        if literals and text not in literals:
            raise UserError(unknown_name(text, literals, path)) from None
        message = _message(error)
        raise UserError(f"{path}={text}: {message[0].lower()}{message[1:]}") from None


def _do_not_fit(error: BaseException | None) -> bool:
    """Whether settings are well-formed one by one and only do not fit together."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error is not None


def _literals(whole: type, tree: dict[str, Any], path: str) -> tuple[str, ...]:
    """The names that the setting at this path may have by its type; none if it takes no name."""
    kind: Any = whole
    for key in path.split("."):
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
        if kind is NetworkConfig:
            kind = NETWORKS[tree["net"]["kind"]]
    return get_args(kind) if get_origin(kind) is Literal else ()
