"""Processing the items of a source in threads, where that is faster."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source

_CHUNK, _PENDING = 16, 2 * (os.cpu_count() or 1)
"""Items in a chunk, the work of one thread; chunks pending at a time, which bounds memory."""
_THREADED_BYTES = 1 << 14
"""Bytes of an encoded image from which several threads decode faster than one."""


@contextmanager
def workers(source: Source) -> Iterator[ThreadPoolExecutor | None]:
    """A pool with a thread for each core; None if images are too small to profit from it.

    Pillow decodes large images outside the GIL. Tiny ones are mostly Python code, where threads
    block each other.
    """
    first = next(source.items(), None)
    content = None if first is None else first.content
    size = 0
    if isinstance(content, bytes):
        size = len(content)
    elif isinstance(content, Path) and content.is_file():
        size = content.stat().st_size
    if size < _THREADED_BYTES:
        yield None
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def in_parallel(
    pool: ThreadPoolExecutor | None, work: Callable[[Item], Any], items: Iterator[Item]
) -> Iterator[tuple[Item, Any]]:
    """Each item with the result of `work`, in order; a few chunks are pending at a time."""
    if pool is None:
        yield from ((item, work(item)) for item in items)
        return

    def work_on(chunk: list[Item]) -> list[tuple[Item, Any]]:
        return [(item, work(item)) for item in chunk]

    pending: deque[Future[list[tuple[Item, Any]]]] = deque()
    while chunk := list(islice(items, _CHUNK)):
        pending.append(pool.submit(work_on, chunk))
        if len(pending) > _PENDING:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()
