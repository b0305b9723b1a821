"""The truth as a command: Gaussians and a mixture of them, of which all is known exactly.

Every prediction, schedule, sampler, guidance, the likelihood and every score is held against them;
a user's own sampler or schedule joins in. Checks are generators, so that each shows as it is done.
"""

from collections.abc import Iterator, Mapping

from inkling.core.mixture import Mixture
from inkling.core.noise import Schedule
from inkling.core.samplers import Sampler
from inkling.inspect.verify.check import Check
from inkling.inspect.verify.measured import likelihood, scores
from inkling.inspect.verify.processes import (
    STEPS,
    ancestral_sampling,
    guidances,
    predictions,
    samplers,
    schedules,
    score_of_the_mixture,
)


def verify(
    more_samplers: Mapping[str, Sampler] | None = None,
    more_schedules: Mapping[str, Schedule] | None = None,
) -> Iterator[Check]:
    """Every check, one after the other.

    Args:
        more_samplers: the user's own by name, held to the first order.
        more_schedules: the user's own by name.
    """
    mixture = Mixture()
    yield from predictions()
    yield from score_of_the_mixture(mixture)
    yield from schedules(more_schedules or {})
    yield from samplers(mixture, more_samplers or {})
    yield from ancestral_sampling()
    yield from guidances()
    yield from likelihood()
    yield from scores()


__all__ = ["STEPS", "Check", "verify"]
