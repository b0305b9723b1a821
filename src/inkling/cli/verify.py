"""`inkling verify`."""

from pathlib import Path
from typing import Any

import click

from inkling.cli.options import PATH, Verb
from inkling.registry import imported


@click.command(cls=Verb)
@click.option("--sampler", "samplers", multiple=True, metavar="MODULE:NAME", help="Your own, too.")
@click.option("--schedule", "schedules", multiple=True, metavar="MODULE:NAME", help="Likewise.")
@click.option(
    "--out",
    type=PATH,
    default=Path("runs/verify.png"),
    show_default=True,
    help="The convergence plot.",
)
def verify(samplers: tuple[str, ...], schedules: tuple[str, ...], out: Path) -> int:
    """Check predictions, samplers, guidance, likelihood and scores against exact answers.

    The data are Gaussians and their mixtures, of which everything is known in closed form. Exit
    code 1 if something is off.

    \b
    inkling verify
    inkling verify --sampler mine:leap --schedule mine:Steep
    """
    from rich.console import Console

    from inkling.inspect.verify import STEPS
    from inkling.inspect.verify import verify as checks
    from inkling.system.disk import check_writable
    from inkling.visualize import grids
    from inkling.visualize.convergence import save_convergence

    grids.check_format(out, axes=True)
    check_writable(out)
    mine = {name: imported(name) for name in samplers}
    schedules_of_mine = {name: _made(imported(name)) for name in schedules}
    console, wrong, curves = Console(highlight=False), 0, {}
    for check in checks(mine, schedules_of_mine):
        mark = "[green]ok   [/]" if check.ok else "[bold red]WRONG[/]"
        console.print(f"{mark} {check.name:30} {check.measured}", soft_wrap=True)
        wrong += not check.ok
        if check.errors:
            curves[check.name.removeprefix("sampler ")] = check.errors
    console.print(f"{wrong} wrong" if wrong else "all checks passed")
    click.echo(save_convergence(STEPS, curves, out))
    return 1 if wrong else 0


def _made(thing: Any) -> Any:
    """A schedule: the thing itself, or what it makes when it is a class."""
    return thing() if isinstance(thing, type) else thing
