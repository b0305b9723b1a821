"""What long work looks like as it goes on: one live line on a terminal, plain lines elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from inkling.runs.session import Report


def speaks() -> bool:
    """Whether this process is the one of several that talks to the user."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """How many processes work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def say(text: str) -> None:
    """A line for the user, from one process of several."""
    if speaks():
        click.echo(text, err=True)


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def watch(reports: Iterator[Report], out: Path) -> Report:
    """Show the run as it goes: one live line on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, quiet=not speaks())
    loss, spoken, begun, report = "...", 0.0, 0, None
    with console.status("reading the data") as status:
        for report in reports:
            progress = report.progress
            if not speaks():
                continue
            if report.loss is not None:
                loss = f"{report.loss:.4f}"
            if not begun:
                begun, spoken = progress.step, progress.seconds
                facts = progress.learner.facts
                click.echo(
                    f"{progress.learner.recipe.name} on {facts['device']}, {facts['precision']}: "
                    f"{facts['data']}; {facts['parameters'] / 1e6:.2f}M parameters; into {out}",
                    err=True,
                )
                if facts["problems"]:
                    click.echo(
                        f"warning: {len(facts['problems'])} problems in the data, the first: "
                        f"{facts['problems'][0]} (`inkling data` lists all)",
                        err=True,
                    )
            skipped = progress.learner.skipped
            lost = f"  {skipped} steps skipped (not finite)" if skipped else ""
            eta = "measuring speed" if progress.eta is None else f"{duration(progress.eta)} to go"
            line = (
                f"step {progress.step}/{progress.total or '?'}  loss {loss}  "
                f"{progress.images_per_second:,.0f} images/s  {eta}{lost}"
            )
            if console.is_terminal:
                status.update(line)
            elif progress.seconds - spoken > 10 or progress.step == progress.total:
                spoken = progress.seconds
                click.echo(line, err=True)
            if report.preview is not None:
                held, seen = "", report.validation
                if seen is not None:
                    held = f"validation {seen.loss:.4f}  {seen.bits:.2f} bits  "
                    held += f"prompt {seen.prompt:+.1%}  " if progress.learner.conditional else ""
                click.echo(f"step {progress.step}  {held}{report.preview}", err=True)
    assert report is not None, "a run has at least one step"
    return report


def collect(batches: Iterator[Tensor], total: int, shape: tuple[int, ...]) -> np.ndarray:
    """All pictures of the batches, uint8 [total, *shape], with a bar on a terminal."""
    console = Console(stderr=True)
    parts = [np.zeros((0, *shape), np.uint8)]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=total)
        for images in batches:
            parts.append(images.numpy())
            bar.advance(task, len(images))
    return np.concatenate(parts)
