"""A run as it goes: one live line on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from inkling.runs.session import Update
from inkling.system.distributed import is_main_process
from inkling.system.progress import duration


def say(text: str) -> None:
    """A line for the user, from one process of several."""
    if is_main_process():
        click.echo(text, err=True)


def follow(updates: Iterator[Update], out: Path) -> Update:
    """Show the run as it goes, and return its last update."""
    console = Console(stderr=True, quiet=not is_main_process())
    loss, spoken, begun, update = "...", 0.0, False, None
    with console.status("reading the data") as status:
        for update in updates:
            progress = update.progress
            if not is_main_process():
                continue
            if update.loss is not None:
                loss = f"{update.loss:.4f}"
            if not begun:
                begun, spoken = True, progress.seconds
                for line in _opening(update, out):
                    click.echo(line, err=True)
            line = _line(update, loss)
            if console.is_terminal:
                status.update(line)
            elif progress.seconds - spoken > 10 or progress.step == progress.total:
                spoken = progress.seconds
                click.echo(line, err=True)
            if update.validation is not None or update.preview is not None:
                click.echo(_preview_line(update), err=True)
    assert update is not None, "a run has at least one step"
    return update


def _opening(update: Update, out: Path) -> Iterator[str]:
    state = update.progress.state
    card = state.card
    yield (
        f"{state.recipe.name} on {card.device}, {card.precision}: {card.data}; "
        f"{card.parameters_in_words()}; into {out}"
    )
    if len(state.validation):
        yield (
            f"{len(state.validation):,} of {card.pictures + len(state.validation):,} pictures are "
            "held out to validate on (data.validation=0 trains on all)"
        )
    if card.problems:
        yield (
            f"warning: {len(card.problems)} problems in the data, the first: {card.problems[0]} "
            "(`inkling data` lists all)"
        )


def _line(update: Update, loss: str) -> str:
    progress = update.progress
    skipped = progress.state.skipped
    lost = f"  {skipped} steps skipped (not finite)" if skipped else ""
    eta = "measuring speed" if progress.eta is None else f"{duration(progress.eta)} to go"
    return (
        f"step {progress.step}/{progress.total or '?'}  loss {loss}  "
        f"{progress.images_per_second:,.0f} images/s  {eta}{lost}"
    )


def _preview_line(update: Update) -> str:
    parts = [f"step {update.progress.step}"]
    if update.validation is not None:
        parts += [f"validation {update.validation.loss:.4f}", update.validation.text]
    if update.preview is not None:
        parts.append(str(update.preview))
    return "  ".join(filter(None, parts))
