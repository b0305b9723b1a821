"""Processing the items of a source in threads, where that is faster."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.system.device import usable_cores

_CHUNK, _CHUNK_BYTES = 16, 1 << 24
"""Items and, about, bytes of a chunk, the work of one thread; a few of them fit in memory."""
_THREADED_BYTES = 1 << 14
"""Bytes of an encoded image from which several threads decode faster than one."""


class Workers(ThreadPoolExecutor):
    """A thread for each core; the threads can be stopped after the items at hand."""

    def __init__(self) -> None:
        self.cores = usable_cores()
        self.stopped = False
        super().__init__(self.cores)

    def stop(self) -> None:
        """Drop all pending work, without waiting for the threads."""
        self.stopped = True
        self.shutdown(wait=False, cancel_futures=True)


@contextmanager
def workers(source: Source) -> Iterator[Workers | None]:
    """A pool with a thread for each core; None if images are too small to profit from it.

    Pillow decodes large images outside the GIL. Tiny ones are mostly Python code, where threads
    block each other. An exception in the block, such as Ctrl-C, stops the threads at once.
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
    pool = Workers()
    try:
        yield pool
    finally:
        pool.stop()


def in_parallel(
    pool: Workers | None, work: Callable[[Item], Any], items: Iterator[Item]
) -> Iterator[tuple[Item, Any]]:
    """Each item with the result of `work`, in order; a few chunks are pending at a time."""
    if pool is None:
        yield from ((item, work(item)) for item in items)
        return

    def work_on(chunk: list[Item]) -> list[tuple[Item, Any]]:
        return [(item, work(item)) for item in chunk if not pool.stopped]

    pending: deque[Future[list[tuple[Item, Any]]]] = deque()
    for chunk in _chunks(items):
        pending.append(pool.submit(work_on, chunk))
        if len(pending) > 2 * pool.cores:  # which bounds memory
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.content) if isinstance(item.content, bytes) else 0
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
