"""`inkling data`."""

from pathlib import Path

import click

from inkling.cli.options import PATH, SEED, Verb
from inkling.errors import UserError


@click.command(name="data", cls=Verb)
@click.argument("target")
@click.option("--data", "folder", type=PATH, help="Folder with its files.")
@click.option("--split", default="train", show_default=True, help="train or test.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="data.* settings.")
@click.option("--seed", type=SEED, default=0, help="Which pictures are shown.")
@click.option("--out", type=PATH, help="FILE.png; default runs/data-NAME.png.")
def data(
    target: str,
    folder: Path | None,
    split: str,
    assignments: tuple[str, ...],
    seed: int,
    out: Path | None,
) -> None:
    """Print what the program reads from TARGET, and write a contact sheet with captions.

    TARGET is a data set, a recipe, a folder of your own pictures, or hub:OWNER/NAME.

    \b
    inkling data mnist
    inkling data ./photographs --set data.size=64 --set data.resize=fit
    """
    from inkling.inspect import survey
    from inkling.runs import auto_recipe
    from inkling.runs.outputs import check_output
    from inkling.system.disk import check_writable
    from inkling.visualize import grids

    out = out or Path("runs", f"data-{auto_recipe.find_target(target)[0]}.png")
    grids.check_format(out)
    check_output(out)
    if stray := next((each for each in assignments if not each.startswith("data.")), None):
        raise UserError(f"inkling data takes settings of data.*, such as data.size=64; got {stray}")
    check_writable(out)
    given = [*assignments, *([f"data.path={folder}"] if folder else [])]
    _, _, pictures = auto_recipe.read_target(target, given, split)
    for line in survey.lines(pictures):
        click.echo(line)
    grids.save(survey.contact_sheet(pictures, seed), out)
    click.echo(out)
