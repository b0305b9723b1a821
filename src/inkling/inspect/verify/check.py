"""What a check says."""

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was held against the truth."""

    name: str
    says: str
    sound: bool
    errors: tuple[float, ...] = ()
    """Of a sampler, its distance from the exact solution at each of `processes.STEPS`."""
