"""The outcome of a check."""

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was held against the truth."""

    name: str
    measured: str
    ok: bool
    errors: tuple[float, ...] = ()
    """Of a sampler, its distance from the exact solution at each of `processes.STEPS`."""
