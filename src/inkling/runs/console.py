"""A run as it goes: one live line on a terminal, plain lines elsewhere."""

import math
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from inkling.config.recipe import Recipe
from inkling.runs.session import Update
from inkling.system.distributed import is_main_process
from inkling.system.progress import duration

_TINY = 16
"""Height and width up to which pictures are learned in a few steps."""
_LEGIBLE = {True: ("digits of 8x8 pixels", 100), False: ("MNIST's digits", 300)}
"""After how many optimiser steps samples are legible, as measured; of tiny pictures and of others.
"""
_SMALL = 32
"""Height and width of pictures that learn faster, to suggest."""


def say(text: str) -> None:
    """A line for the user, from one process of several."""
    if is_main_process():
        click.echo(text, err=True)


def follow(updates: Iterator[Update], out: Path, *, learned: bool = False) -> Update:
    """Show the run as it goes, and return its last update.

    Args:
        updates: of the run.
        out: its folder.
        learned: whether it starts from weights that have learned already.
    """
    console = Console(stderr=True, quiet=not is_main_process())
    loss, spoken, begun, update = "...", 0.0, False, None
    judged = learned  # whether it was said, or need not be, that the run is short
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
            if not judged and progress.total is not None:
                judged = True
                if short := _too_short(update):
                    click.echo(short, err=True)
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
    if state.sized:
        yield state.sized
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


def _too_short(update: Update) -> str:
    """A line about a denoiser's run of too few steps to show anything; empty if it has more."""
    progress, state = update.progress, update.progress.state
    height, width = state.card.size
    what, needed = _LEGIBLE[max(height, width) <= _TINY]
    if not isinstance(state.recipe, Recipe) or not progress.total or progress.total >= needed:
        return ""
    train = state.recipe.train
    longer = f"--steps {needed}"
    if state.budget.budget:
        left = (needed - progress.step) * train.batch / progress.images_per_second
        with_previews = (progress.seconds + left) / (1 - min(train.preview_share, 0.5))
        longer = f"--budget {duration(math.ceil(with_previews))}"
    smaller = f", or on smaller pictures (--set data.size={_SMALL})"
    return (
        f"note: a run of {progress.total} steps will show little: {what} are legible after about "
        f"{needed} steps, photographs take thousands; train longer ({longer} or more)"
        + smaller
        * (min(height, width) > _SMALL)
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
