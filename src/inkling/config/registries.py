"""Settings whose value is the name of a registry's entry; registries are read when one comes in."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from inkling.config.recipe import AUTO, RunRecipe
from inkling.errors import UserError, unknown_name
from inkling.registry import Registry


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
    "distil.sample.sampler": _core("SAMPLERS"),
}
"""Settings that name an entry of a registry, and what reads the registry when it is needed."""
_BESIDE = {"diffusion.noise.name": (AUTO,), "sample.grid.name": ("",)}
"""Values that a setting may have besides."""


def check_name(path: str, value: str) -> None:
    """Refuse a name that its registry does not have.

    Args:
        path: of a setting; one that names no entry of a registry passes.
        value: as given.

    Raises:
        UserError: the nearest is offered.
    """
    if path not in REGISTRIES or value in (beside := _BESIDE.get(path, ())):
        return
    if value not in (known := REGISTRIES[path]()):
        if isinstance(known, Registry):
            raise known.unknown(value, path, beside)
        raise UserError(unknown_name(value, [*beside, *known], path))


def check_names(recipe: RunRecipe, below: tuple[str, ...] = ("",)) -> None:
    """Refuse names that no registry has.

    Args:
        recipe: any.
        below: beginnings of the settings that matter.

    Raises:
        UserError: the nearest is offered.
    """
    for path, value in leaves(msgspec.to_builtins(recipe)):
        if path.startswith(below):
            check_name(path, value)


def leaves(tree: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting of a recipe as builtins; a schedule's options are one."""
    for key, value in tree.items():
        if isinstance(value, dict) and key != "options":
            yield from leaves(value, f"{before}{key}.")
        else:
            yield before + key, value
