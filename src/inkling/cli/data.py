"""`inkling data` and `inkling judge`: what there is, and what knows it."""

from pathlib import Path

import click


@click.command(name="data")
@click.argument("target")
@click.option("--data", "folder", type=click.Path(path_type=Path), help="Folder with its files.")
@click.option("--split", default="train", show_default=True, help="train or test.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="data.* settings.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Which pictures are shown.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="FILE.png; default runs/data-NAME.png."
)
def look(
    target: str,
    folder: Path | None,
    split: str,
    assignments: tuple[str, ...],
    seed: int,
    out: Path | None,
) -> None:
    """Say what the program sees in TARGET, and show it on a contact sheet with captions.

    TARGET is a data set, a recipe, a folder of your own pictures, or hub:OWNER/NAME.

    \b
    inkling data mnist
    inkling data ./photographs --set data.size=64 --set data.resize=fit
    """
    from inkling.inspect import survey
    from inkling.runs import auto_recipe as suit
    from inkling.visualize import grids

    given = [*assignments, *([f"data.path={folder}"] if folder else [])]
    name, _, pictures = suit.read_target(target, given, split)
    for line in survey.lines(pictures):
        click.echo(line)
    out = out or Path("runs", f"data-{name}.png")
    grids.save(survey.contact_sheet(pictures, seed), out)
    click.echo(out)


@click.command()
@click.argument("dataset")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the data set's files.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors.")
@click.option("--epochs", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def judge(dataset: str, data: Path | None, out: Path, epochs: int, seed: int) -> None:
    """Train an independent classifier on the real pictures of DATASET, to score samples with."""
    from inkling.data import read
    from inkling.evaluate.judge import train_judge

    place = str(data or "")
    train_split, test_split = (read(dataset, place, split) for split in ("train", "test"))
    trained, accuracy = None, 0.0
    for epoch, trained, accuracy in train_judge(train_split, test_split, epochs, seed):  # noqa: B007
        click.echo(f"epoch {epoch}: {accuracy:.2%} of the test split right", err=True)
    assert trained is not None, "there is at least one epoch"
    trained.save(out, accuracy)
    click.echo(f"{out}: {accuracy:.2%} of {len(test_split):,} test pictures right")
