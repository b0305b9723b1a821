"""The result of a check."""

from typing import NamedTuple


class Check(NamedTuple):
    """One comparison with an exact answer."""

    name: str
    measured: str
    ok: bool
    errors: tuple[float, ...] = ()
    """For a sampler, the distance from the exact solution at each of `processes.STEPS`."""
