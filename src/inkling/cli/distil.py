"""`inkling distil`."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.cli.options import DEVICE, PATH, SEED, Duration, Numbers, Verb
from inkling.cli.training import assignments_of, carry_out, resumed
from inkling.errors import UserError
from inkling.system.shell import command

if TYPE_CHECKING:
    from inkling.config.recipe import RunRecipe
    from inkling.runs.resume import Begun

_CALLS = (1, 2, 4)


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--calls", type=Numbers(), help="Numbers of network calls a picture that the "
              "student learns; default 1,2,4.")  # fmt: skip
@click.option("--out", type=PATH, help="Run folder of the student; default RUN-distilled.")
@click.option("--budget", type=Duration(), help="Time to train for; default 3m.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, instead of a budget.")
@click.option("--scale", type=float, help="Guidance of the teacher; default as it recommends.")
@click.option("--seed", type=SEED, help="Of order and noise; default as in RUN.")
@click.option("--data", type=PATH, help="Folder with the data set's files, if it has moved.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting.")
@click.option("--resume", is_flag=True, help="Go on with the student in --out where it stopped.")
@DEVICE
def distil(
    run: Path,
    calls: tuple[int, ...] | None,
    out: Path | None,
    budget: float | None,
    steps: int | None,
    scale: float | None,
    seed: int | None,
    data: Path | None,
    assignments: tuple[str, ...],
    resume: bool,
    device: str,
) -> int:
    """Train a student that samples as RUN does, guidance included, in 1, 2 or 4 network calls.

    RUN samples trajectories from noise to picture, and the student, which begins as a copy of it,
    learns to make a few large jumps along them. It is a checkpoint like any other.

    \b
    inkling distil runs/mnist
    inkling distil runs/mnist --calls 1,2,4 --budget 3m --out runs/fast
    inkling sample runs/fast seven --calls 1
    """
    started = time.monotonic() - time.process_time()  # the imports count too
    from inkling.config.overrides import override
    from inkling.runs import auto_recipe, run_folder
    from inkling.runs.lock import check_folder
    from inkling.runs.resume import Asked, Begun
    from inkling.runs.student import SUFFIX, of_teacher, recipe_for
    from inkling.system.distributed import is_main_process

    for each in assignments:
        if each.strip().startswith("sample."):
            raise UserError(
                f"how a student samples is what it learns, so --set {each} would be lost; "
                f"--set distil.{each.strip()} changes how its teacher samples"
            )
    given = assignments_of(assignments, data, seed, steps=steps, epochs=None, budget=budget)
    if scale is not None:
        given.append(f"distil.sample.scale={scale:g}")
    recipe = recipe_for(run, calls or _CALLS)
    folder = (run if run.is_dir() else run.parent).resolve()
    out = out or folder.with_name(folder.name + SUFFIX)

    def begin(held: ExitStack) -> "Begun | None":
        if resume:
            begun = resumed(out, Asked("", given), held, lambda: Begun(out, fresh()))
            return begun and begun._replace(recipe=of_teacher(begun.recipe, run, calls))
        if is_main_process():
            check_folder(out)
            run_folder.check_free(out)
        return Begun(out, fresh())

    def fresh() -> "RunRecipe":
        student = auto_recipe.placed(override(recipe, given))
        return student

    return carry_out(
        begin,
        device=device,
        started=started,
        again=lambda folder: command("distil", run, "--out", folder, "--resume"),
        learned=True,
    )
