"""What long work looks like as it goes on: one live line on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from inkling.driver import Report


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def watch(reports: Iterator[Report], out: Path) -> Report:
    """Show the run as it goes: one live line on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    loss, spoken, report = "...", 0.0, None
    with console.status("reading the data") as status:
        for report in reports:
            progress = report.progress
            if report.loss is not None:
                loss = f"{report.loss:.4f}"
            if progress.step == 1:
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
            eta = "measuring speed" if progress.eta is None else f"{_duration(progress.eta)} to go"
            line = (
                f"step {progress.step}/{progress.total or '?'}  loss {loss}  "
                f"{progress.images_per_second:,.0f} images/s  {eta}"
            )
            if console.is_terminal:
                status.update(line)
            elif progress.seconds - spoken > 10 or progress.step == progress.total:
                spoken = progress.seconds
                click.echo(line, err=True)
            if report.preview is not None:
                held = "" if report.validation is None else f"validation {report.validation:.4f}  "
                click.echo(f"step {progress.step}  {held}{report.preview}", err=True)
    assert report is not None, "a run has at least one step"
    return report


def collect(batches: Iterator[Tensor], total: int) -> np.ndarray:
    """All pictures of the batches, uint8 [total, C, H, W], with a bar on a terminal."""
    console = Console(stderr=True)
    parts = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=total)
        for images in batches:
            parts.append(images.numpy())
            bar.advance(task, len(images))
    return np.concatenate(parts)
