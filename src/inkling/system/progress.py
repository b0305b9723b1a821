"""How long work shows itself: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import DownloadColumn as BytesColumn

_QUIET = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def bar(what: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes how much more was done."""
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
    begun = spoken = time.monotonic()
    done = 0

    def advance(more: int) -> None:
        nonlocal spoken, done
        done += more
        now = time.monotonic()
        if now - spoken > _QUIET:
            spoken = now
            left = f", {(total - done) * (now - begun) / done:.0f} s to go" if total else ""
            of = f"/{total:,}" if total else ""
            print(f"{what} {done:,}{of}{left}", file=sys.stderr, flush=True)

    return advance


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
