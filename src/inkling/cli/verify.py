"""`inkling verify`."""

from pathlib import Path
from typing import Any

import click

from inkling.cli.options import PATH, Verb
from inkling.errors import UserError
from inkling.registry import imported, is_own


@click.command(cls=Verb)
@click.option(
    "--sampler", "samplers", multiple=True, metavar="MODULE:NAME", help="Check your own alone."
)
@click.option("--schedule", "schedules", multiple=True, metavar="MODULE:NAME", help="Likewise.")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="EXERCISE=MODULE:NAME",
    help="Mark your answer to an exercise of the course.",
)
@click.option("--exercises", is_flag=True, help="List the exercises.")
@click.option("--out", type=PATH, help="The convergence plot.  [default: runs/verify.png]")
def verify(
    samplers: tuple[str, ...],
    schedules: tuple[str, ...],
    answers: tuple[str, ...],
    exercises: bool,
    out: Path | None,
) -> int:
    """Check predictions, samplers, guidance, likelihood and scores against exact answers.

    The data are Gaussians and their mixtures, of which everything is known in closed form. Exit
    code 1 if something is off. With parts of your own, only these are checked.

    \b
    inkling verify
    inkling verify --sampler mine:leap --schedule mine:Steep
    inkling verify --answer forward=mine:noisy
    """
    from rich.console import Console
    from rich.markup import escape

    from inkling.core.samplers import SAMPLERS
    from inkling.inspect.verify import EXERCISES, STEPS, verify_own
    from inkling.inspect.verify import verify as all_checks
    from inkling.system.disk import check_writable
    from inkling.visualize import grids
    from inkling.visualize.convergence import save_convergence

    console = Console(highlight=False, soft_wrap=True)
    if exercises:
        for name, exercise in EXERCISES.items():
            console.print(f"{name:12} {exercise.task}", markup=False)
        return 0
    plot = out or Path("runs/verify.png")
    grids.check_format(plot, axes=True)
    check_writable(plot)
    mine = {name: SAMPLERS[name] for name in samplers if _is_named(name)}
    schedules_of_mine = {name: _made(imported(name)) for name in schedules}
    answered = dict(map(_answer, answers))
    own = bool(mine or schedules_of_mine or answered)
    checks = verify_own(mine, schedules_of_mine, answered) if own else all_checks()
    wrong, curves = 0, {}
    for check in checks:
        mark = "[green]ok   [/]" if check.ok else "[bold red]WRONG[/]"
        console.print(mark, escape(f"{check.name:30} {check.measured}"))
        wrong += not check.ok
        if check.errors:
            curves[check.name.removeprefix("sampler ")] = check.errors
    console.print(f"{wrong} wrong" if wrong else "all checks passed")
    if curves:
        click.echo(save_convergence(STEPS, curves, plot))
    return 1 if wrong else 0


def _is_named(name: str) -> bool:
    """True for `module:name` alone.

    Raises:
        UserError: another name.
    """
    if not is_own(name):
        raise UserError(
            f"--sampler takes MODULE:NAME, such as mine:leap, and not {name!r}; the samplers of "
            "inkling are checked by inkling verify alone"
        )
    return True


def _answer(text: str) -> tuple[str, Any]:
    """(exercise, answer) of EXERCISE=MODULE:NAME.

    Raises:
        UserError: another form, or an answer that cannot be imported.
    """
    exercise, _, name = text.partition("=")
    if not is_own(name):
        raise UserError(
            f"--answer takes EXERCISE=MODULE:NAME, such as forward=mine:noisy, and not {text!r}"
        )
    return exercise, imported(name)


def _made(thing: Any) -> Any:
    """A schedule: the thing itself, or what it makes when it is a class."""
    return thing() if isinstance(thing, type) else thing
