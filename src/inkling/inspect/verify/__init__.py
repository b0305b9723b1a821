"""`inkling verify`: tests against exact answers, on Gaussians and mixtures of Gaussians.

They cover every prediction, noise schedule, sampler and guidance, the likelihood, EMAs made
afterwards, every score and its interval, and a user's own samplers and schedules. Checks are
generators, so each is shown when it is done.
"""

from collections.abc import Iterator, Mapping

from inkling.core.mixture import Mixture
from inkling.core.noise import Schedule
from inkling.core.samplers import Sampler
from inkling.inspect.verify.check import Check
from inkling.inspect.verify.measured import (
    averages,
    intervals,
    likelihood,
    likelihood_of_greys,
    scores,
    unequal_classes,
)
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
    """All checks, one after the other.

    Args:
        more_samplers: the user's samplers by name, which must be of first order at least.
        more_schedules: the user's noise schedules by name.
    """
    mixture = Mixture()
    yield from predictions()
    yield from score_of_the_mixture(mixture)
    yield from schedules(more_schedules or {})
    yield from samplers(mixture, more_samplers or {})
    yield from ancestral_sampling()
    yield from guidances()
    yield from likelihood()
    yield from likelihood_of_greys()
    yield from averages()
    yield from scores()
    yield from unequal_classes()
    yield from intervals()


__all__ = ["STEPS", "Check", "verify"]
