"""Progressive resizing: small pictures first, the same time at every size (Karras et al. 2018)."""

from collections.abc import Sequence
from itertools import accumulate


def relative_costs(sizes: Sequence[int]) -> tuple[float, ...]:
    """Cost of a step at each of the picture sizes of a run, the last one 1."""
    return tuple((size / sizes[-1]) ** 2 for size in sizes) or (1.0,)


def boundaries(costs: Sequence[float]) -> list[float]:
    """Where in a run, as fractions of its steps, each size ends, so that all take the same time."""
    ends = list(accumulate(1 / cost for cost in costs))
    return [end / ends[-1] for end in ends]


def mean_cost(costs: Sequence[float], low: float, high: float) -> float:
    """The mean cost of the steps between two fractions of a run."""
    ends = boundaries(costs)
    if high <= low:
        return costs[next(i for i, end in enumerate(ends) if low <= end)]
    total, begin = 0.0, 0.0
    for cost, end in zip(costs, ends, strict=True):
        total += cost * max(0.0, min(end, high) - max(begin, low))
        begin = end
    return total / (high - low)


def size_at(sizes: Sequence[int], run_fraction: float) -> int | None:
    """The picture size at a fraction of the run; None where it is always the full one."""
    ends = boundaries(relative_costs(sizes)) if sizes else []
    return next((size for size, end in zip(sizes, ends, strict=True) if run_fraction < end), None)
