"""`inkling watch`."""

import shutil
import sys
from pathlib import Path

import click

from inkling.cli.options import PATH, Verb


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--once", is_flag=True, help="Draw one picture and end.")
def watch(run: Path, once: bool) -> None:
    """Draw the curves of RUN in the terminal, live until it is finished.

    \b
    inkling watch runs/mnist
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from inkling.inspect.watch import frames

    size = shutil.get_terminal_size()
    shown = frames(run, (size.columns, size.lines))
    if once or not sys.stdout.isatty():
        click.echo(next(shown))
        return
    with Live(console=Console(), auto_refresh=False) as live:
        for frame in shown:
            live.update(Text.from_ansi(frame), refresh=True)
