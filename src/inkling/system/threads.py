"""Work shared out over CPU threads that meet once, at its end.

Inside one operation torch's threads meet thousands of times a second, and each meeting waits for
the thread that has just lost its core to another program. Threads that each do a whole part of a
step wait for each other once a step, so a busy machine slows them only by what it takes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

LEAST_ROWS = 16
"""Pictures of a thread at least: below, the cost of starting operations outweighs their work."""

Part = TypeVar("Part")
Result = TypeVar("Result")


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        count, "inkling", initializer=torch.set_num_threads, initargs=(1,)
    )  # one thread inside each operation


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`work` of every part, in order, each in a thread of its own; one part: in this thread.

    The first error of a part is raised once all have ended.
    """
    if len(parts) == 1:
        return [work(parts[0])]
    futures = [_pool(len(parts)).submit(work, part) for part in parts]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error
    return [future.result() for future in futures]


@contextmanager
def one_thread_in_operations(wanted: bool) -> Iterator[None]:
    """Within it, operations of this thread use no others, if wanted."""
    before = torch.get_num_threads()
    if not wanted or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def slices(rows: slice, count: int) -> list[slice]:
    """Consecutive rows in `count` slices of nearly equal length."""
    length = rows.stop - rows.start
    ends = [rows.start + length * i // count for i in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def shared_out(costs: Sequence[float], count: int) -> list[list[int]]:
    """Indices in at most `count` lists of nearly equal total cost, the dearest first."""
    lists: list[list[int]] = [[] for _ in range(count)]
    totals = [0.0] * count
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        least = totals.index(min(totals))
        lists[least].append(index)
        totals[least] += costs[index]
    return [each for each in lists if each]
