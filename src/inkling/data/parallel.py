"""Work on the items of a source with as many threads as it is worth."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source

_PART, _UNDER_WAY = 16, 2 * (os.cpu_count() or 1)
"""Pictures that a thread takes at a time, and parts under way: bounds memory, keeps cores busy."""
_WORTH_SHARING = 1 << 14
"""Bytes of an encoded picture from which several threads decode faster than one."""


@contextmanager
def workers(source: Source) -> Iterator[ThreadPoolExecutor | None]:
    """A thread for each core, if pictures are large enough for Pillow to work on its own.

    Tiny ones are mostly Python, where threads wait for each other and two take longer than one.
    """
    first = next(source.items(), None)
    content = None if first is None else first.content
    size = 0
    if isinstance(content, bytes):
        size = len(content)
    elif isinstance(content, Path) and content.is_file():
        size = content.stat().st_size
    if size < _WORTH_SHARING:
        yield None
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def in_parallel(
    pool: ThreadPoolExecutor | None, work: Callable[[Item], Any], items: Iterator[Item]
) -> Iterator[tuple[Item, Any]]:
    """Each item with what was made of it, in order; a few parts are under way at a time."""
    if pool is None:
        yield from ((item, work(item)) for item in items)
        return

    def work_part(part: list[Item]) -> list[tuple[Item, Any]]:
        return [(item, work(item)) for item in part]

    under_way: deque[Future[list[tuple[Item, Any]]]] = deque()
    while part := list(islice(items, _PART)):
        under_way.append(pool.submit(work_part, part))
        if len(under_way) > _UNDER_WAY:
            yield from under_way.popleft().result()
    while under_way:
        yield from under_way.popleft().result()
