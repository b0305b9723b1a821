"""What a run is asked when it is to go on, held against what it is."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from msgspec.structs import replace

from inkling.config.overrides import override
from inkling.config.recipe import AUTO, Recipe, RunRecipe
from inkling.config.recipes import small
from inkling.errors import UserError
from inkling.models.checkpoint import Checkpoint
from inkling.runs.auto_recipe import find_target, kind_of, name_of_path, placed
from inkling.runs.run_folder import newest, recipe_without_checkpoint

_LEFT_OPEN = ("train.fit_budget=true", f"diffusion.noise.name={AUTO}", "diffusion.sigma_data=0")
"""Settings that leave a choice open, which a run that has begun has made."""


class Asked(NamedTuple):
    """The arguments of a command that a resumed run is held to."""

    target: str
    """What is trained; empty: what the run in the folder has."""
    assignments: Sequence[str] = ()
    """Settings, each `"train.lr=1e-3"`."""
    small: bool = False
    start_from: Path | None = None


class Begun(NamedTuple):
    """What a run begins with."""

    out: Path
    recipe: RunRecipe
    stored: Checkpoint | None = None
    """The checkpoint that it goes on from."""
    again: bool = False
    """Whether the folder holds this run, killed before its first checkpoint."""


def to_resume(out: Path, asked: Asked) -> Checkpoint | None:
    """The training checkpoint from which a run goes on; None if it has none.

    Where its data are may have changed: then the recipe in the checkpoint is given with the new
    path.

    Raises:
        UserError: the checkpoints are damaged, or the run contradicts what is asked.
    """
    stored = newest(out)
    return None if stored is None else stored._replace(recipe=agreed(out, stored.recipe, asked))


def to_restart(out: Path, asked: Asked) -> RunRecipe | None:
    """The settings of a run that was killed before its first checkpoint; None if there was none.

    Raises:
        UserError: the folder holds files that are not a run's, or the run contradicts what is
            asked.
    """
    recipe = recipe_without_checkpoint(out)
    # It starts again, from another run's weights if that is asked.
    return recipe and agreed(out, recipe, asked._replace(start_from=None))


def agreed(out: Path, recipe: RunRecipe, asked: Asked) -> RunRecipe:
    """The recipe of a run, with the path of its data that is asked.

    Args:
        out: the run folder.
        recipe: what the run has.
        asked: what it is asked to be.

    Raises:
        UserError: these contradict each other.
    """
    if asked.start_from is not None:
        raise UserError(
            f"--from {asked.start_from} starts a new run, and {out} holds one that goes on from "
            "its own weights; leave --from out, or choose another --out"
        )
    if asked.small and not _is_small(recipe):
        raise UserError(
            f"the run in {out} was not started with --small; a resumed run keeps its settings: "
            "leave --small out, or choose another --out"
        )
    recipe = _at_target(out, recipe, asked.target) if asked.target else recipe
    given = [each for each in asked.assignments if _spaceless(each) not in _LEFT_OPEN]
    wanted = placed(override(recipe, given))
    moved = _with_path(recipe, wanted.data.path)
    if wanted == moved:
        return moved
    last = {each.partition("=")[0].strip(): each for each in given}.values()
    found = [each for each in last if _differs(recipe, each)]
    ends = ("train.steps=0", "train.epochs=0")  # which nobody typed
    differing = [each for each in found if each not in ends] or found
    raise UserError(
        f"the run in {out} has other settings than {', '.join(differing)}; a resumed run keeps "
        f"its own: leave these out, or start another one (--from {quote(str(out))} takes its "
        "weights)"
    )


def _spaceless(assignment: str) -> str:
    return "".join(assignment.split()).lower()


def _differs(recipe: RunRecipe, assignment: str) -> bool:
    wanted = placed(override(recipe, [assignment]))
    return wanted != _with_path(recipe, wanted.data.path)


def _with_path(recipe: RunRecipe, path: str) -> RunRecipe:
    return replace(recipe, data=replace(recipe.data, path=path))


def _is_small(recipe: RunRecipe) -> bool:
    """Whether it was made for a trial."""
    if isinstance(recipe, Recipe):
        return recipe.expected == small(recipe).expected
    return not recipe.train.epochs


def _at_target(out: Path, recipe: RunRecipe, target: str) -> RunRecipe:
    """The recipe, with its pictures in the folder that the target names, if it names one."""
    kind, rest = kind_of(target)
    same_kind = recipe.__struct_config__.tag == (kind or "denoiser")
    try:
        name, data = find_target(rest)
    except UserError:
        name = name_of_path(Path(rest))
        if recipe.name not in (target, f"{kind}-{name}" if kind else name):
            raise
        return recipe  # wherever its folder is now
    if same_kind and data.name == recipe.data.name == "folder":
        return _with_path(recipe, data.path)
    if not same_kind or recipe.name != (f"{kind}-{name}" if kind else name):
        raise UserError(
            f"the run in {out} is of {recipe.name} and cannot go on as {target}; name what it was "
            "started with, or choose another --out"
        )
    return recipe
