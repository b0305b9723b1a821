"""`inkling verify`: tests against exact answers, on Gaussians and mixtures of Gaussians.

They cover every prediction, noise schedule, sampler and guidance, the likelihood, EMAs made
afterwards, every score and its interval; and a user's own samplers, schedules and answers to the
exercises of the course. Checks are generators, so each is shown when it is done.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inkling.core.mixture import Mixture
from inkling.core.noise import SCHEDULES, Schedule
from inkling.core.samplers import SAMPLERS, Sampler
from inkling.inspect.verify.check import Check
from inkling.inspect.verify.exercises import EXERCISES, mark, marked
from inkling.inspect.verify.processes import (
    STEPS,
    ancestral_sampling,
    guidances,
    predictions,
    samplers,
    schedules,
    score_of_the_mixture,
    stochastic_samplers,
)


def verify() -> Iterator[Check]:
    """All checks of what comes with inkling, one after the other."""
    from inkling.inspect.verify.measured import (  # they need the training code of a judge
        averages,
        intervals,
        likelihood,
        likelihood_of_greys,
        scores,
        unequal_classes,
    )

    mixture = Mixture()
    yield from predictions()
    yield from score_of_the_mixture(mixture)
    yield from schedules({name: kind() for name, kind in SCHEDULES.items()})
    yield from samplers(mixture, SAMPLERS)
    yield from ancestral_sampling()
    yield from guidances()
    yield from likelihood()
    yield from likelihood_of_greys()
    yield from averages()
    yield from scores()
    yield from unequal_classes()
    yield from intervals()


def verify_own(
    own_samplers: Mapping[str, Sampler],
    own_schedules: Mapping[str, Schedule],
    answers: Mapping[str, Callable[..., Any]],
) -> Iterator[Check]:
    """Checks of a user's own parts alone, in seconds.

    Args:
        own_samplers: by name; deterministic ones must be of first order at least, and those that
            draw noise must keep the spread of a Gaussian.
        own_schedules: by name.
        answers: to exercises of the course, by exercise.

    Raises:
        UserError: no such exercise.
    """
    yield from schedules(own_schedules)
    yield from samplers(Mixture(), own_samplers)
    yield from stochastic_samplers(own_samplers)
    for exercise, answer in answers.items():
        yield from marked(exercise, answer)


__all__ = ["EXERCISES", "STEPS", "Check", "mark", "verify", "verify_own"]
