"""What is said of a setting that there is not: the one meant, or where to find it."""

from collections.abc import Iterable
from typing import Any

from inkling.config.other_names import OTHER_NAMES
from inkling.config.registries import leaves
from inkling.errors import nearest, unknown_name
from inkling.nets.configs import NETWORKS

_FEW = 12
"""Settings that are named one by one where one is not found."""


def one_of(path: str, group: dict[str, Any]) -> str:
    """An example of a setting in a group."""
    return f"{path}.{next(iter(group))}=..." if group else f"{path}.sigma_max=..."


def unknown_setting(tree: dict[str, Any], path: str) -> str:
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
    if meant := settings_named(path, paths):
        return f"there is no setting {path!r}; did you mean {' or '.join(map(repr, meant))}?"
    beside = [known for known in paths if known.startswith(path.split(".")[0] + ".")]
    if len(beside) in range(1, _FEW):
        return unknown_name(path, beside, "setting")
    close = nearest(path, beside or paths)
    hint = f"did you mean {close!r}? " if close else ""
    groups = ", ".join(f"{name}.*" for name, group in tree.items() if isinstance(group, dict))
    if path in tree and isinstance(tree[path], dict):
        return (
            f"{path} is a group of settings; set one of them ({one_of(path, tree[path])}), or all "
            "as JSON"
        )
    return (
        f"there is no setting {path!r}; {hint}settings are {groups}, and "
        "`inkling recipes NAME --all` lists them"
    )


def settings_named(name: str, paths: Iterable[str]) -> list[str]:
    """The settings that a name without its group may mean, or one that is usual elsewhere.

    Args:
        name: such as "lr", "train.learning_rate" or "batch-size".
        paths: of the settings that there are.
    """
    leaf = name.rpartition(".")[2].casefold().replace("-", "_")
    usual = OTHER_NAMES.get(leaf)
    return [known for known in paths if known == usual or known.rpartition(".")[2] == leaf]


def _paths(tree: dict[str, Any]) -> list[str]:
    return [path for path, _ in leaves(tree) if "." in path]
