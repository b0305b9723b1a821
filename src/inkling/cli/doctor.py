"""`inkling doctor`."""

from os.path import isfile
from pathlib import Path

import click

from inkling.cli.options import DEVICE, PATH, Verb
from inkling.config.overrides import override
from inkling.config.recipe import Recipe
from inkling.errors import UserError


@click.command(cls=Verb)
@click.argument("target")
@click.option("--data", "folder", type=PATH, help="Folder with its files.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting.")
@DEVICE
def doctor(target: str, folder: Path | None, assignments: tuple[str, ...], device: str) -> int:
    """Check the wiring of TARGET in under a minute, and print how to fix what is wrong.

    TARGET is a recipe, a data set, a folder of pictures, or the folder of a run. Exit code 1 if
    something is wrong.

    \b
    inkling doctor mnist
    inkling doctor ./photographs --set train.lr=1e-3
    """
    from rich.console import Console
    from rich.markup import escape

    from inkling.inspect.doctor import examine

    given = [*assignments, *([f"data.path={folder}"] if folder else [])]
    wrong = 0
    console = Console(highlight=False)
    for check, ok, measured, fix in examine(_recipe(target, given), device):
        mark = "[green]ok   [/]" if ok else "[bold red]WRONG[/]"
        console.print(f"{mark} {check:22} {escape(measured)}", soft_wrap=True)
        if not ok:
            wrong += 1
            console.print(f"      fix: {escape(fix)}", soft_wrap=True)
    console.print(f"{wrong} wrong" if wrong else "all checks passed")
    return 1 if wrong else 0


def _recipe(target: str, given: list[str]) -> Recipe:
    """The recipe of a run folder, or what `inkling train` would take for this target."""
    from inkling.runs import auto_recipe, run_folder

    if target.strip() and isfile(Path(target) / "recipe.json"):
        chosen = auto_recipe.placed(override(run_folder.recipe_of(Path(target)), given))
    else:
        chosen = auto_recipe.resolve(target, given)
    if not isinstance(chosen, Recipe):
        raise UserError(
            f"the doctor examines models that sample pictures, not a {chosen.objective}"
        )
    return chosen
