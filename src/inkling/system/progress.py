"""Progress of long work: a bar on a terminal, an occasional line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import DownloadColumn as BytesColumn

_LINE_SECONDS = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def bar(what: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Show progress; yields a function to call with the amount of work just done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        BytesColumn() if in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda more: shown.advance(task, more)


def _lines(what: str, total: int | None) -> Callable[[int], None]:
    start = last_line = time.monotonic()
    done = 0

    def advance(more: int) -> None:
        nonlocal last_line, done
        done += more
        now = time.monotonic()
        if now - last_line > _LINE_SECONDS:
            last_line = now
            left = f", {(total - done) * (now - start) / done:.0f} s to go" if total else ""
            of = f"/{total:,}" if total else ""
            print(f"{what} {done:,}{of}{left}", file=sys.stderr, flush=True)

    return advance


def duration(seconds: float) -> str:
    """Seconds as text, such as 2m05s or 1h30m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
