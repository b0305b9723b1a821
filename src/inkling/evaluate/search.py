"""The search for the best sampling settings in a number of network calls: deterministic, one
coordinate after the other, with few pictures for all candidates and more for the best of them.

It knows nothing of models or pictures: what is minimised is a function of settings.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from inkling.config.sample import Sample, ScheduleConfig
from inkling.core.noise import Karras, ends_of
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserError
from inkling.models.build import noise_schedule, sampling_schedule
from inkling.sampling.calls import calls_of_each, network_calls

Score = Callable[[Sample, int], float]
"""`(settings, pictures) -> score`; lower is better, infinite where there is none."""
FINALISTS = 4
"""Candidates that are judged with many pictures."""
EVERYWHERE = (0.0, 1e9)
"""The interval that guides at every noise level."""
_SCALES = (1.0, 1.25, 1.5, 2.0, 3.0)
_LOWEST = (0.0, 0.1, 0.3, 1.0)
_HIGHEST = (1e9, 30.0, 10.0, 4.0)
"""Ends of the guidance interval, in standard deviations of the data."""
_RHOS = (1.0, 2.0, 4.0, 7.0, 12.0)
_LEVELS = 6
"""Values of sigma_max, and of sigma_min, that are tried at first."""
_LOW_START, _HIGH_END = 4.0, 2.0
"""The lowest sigma_max and the highest sigma_min of these, in standard deviations of the data."""
_FINE = 1.6
"""Factor of the fine changes."""

Changes = dict[str, Any]
"""Fields of `Sample` by name."""


class Space(NamedTuple):
    """What there is to choose from for a model."""

    training: ScheduleConfig
    """`diffusion.noise` of the model."""
    sigma_data: float
    """Standard deviation of its data."""
    prompted: bool
    """Whether there are prompts, and so classifier-free guidance."""

    def fitted(self, settings: Sample, calls: int, **changes: Any) -> Sample | None:
        """The settings with as many steps as fit into so many network calls a picture; None where
        no step does, or the settings do not fit together.
        """
        try:
            changed = replace(settings, **changes)
            solver = SAMPLERS[changed.sampler]
            for steps in range(calls, 0, -1):
                if solver.calls(steps) > calls:
                    continue
                found = replace(changed, steps=steps)
                if network_calls(found, self.training, prompted=self.prompted) <= calls:
                    return found
        except UserError:
            pass
        return None

    def key(self, settings: Sample) -> tuple[Any, ...]:
        """What a sampler does with the settings: equal for those that sample the same pictures."""
        asked = calls_of_each(settings, self.training, prompted=self.prompted)
        guided = any(calls > 1 for _, calls in asked)
        solver = SAMPLERS[settings.sampler].function if settings.steps > 1 else None
        return (solver, settings.eta, settings.scale if guided else 1.0, *asked)

    def coarse(self, settings: Sample) -> Iterator[list[Changes]]:
        """For each coordinate, values over its range."""
        low, high = ends_of(noise_schedule(self.training))
        grid = self._karras(settings)
        middle, top = _LOW_START * self.sigma_data, _HIGH_END * self.sigma_data
        yield [_grid(grid, sigma_max=v) for v in _ladder(min(middle, high), high)]
        yield [_grid(grid, sigma_min=v) for v in _ladder(low, max(top, low))]
        yield [_grid(grid, rho=v) for v in _RHOS]
        yield [{"sampler": name, "eta": 0.0} for name in _distinct_samplers()]
        if self.prompted:
            bottom, end = settings.interval
            ends = [v if v == EVERYWHERE[1] else _round(v * self.sigma_data) for v in _HIGHEST]
            yield [{"scale": v} for v in _SCALES]
            yield [{"interval": (bottom, v)} for v in ends]
            yield [{"interval": (_round(v * self.sigma_data), end)} for v in _LOWEST]

    def fine(self, settings: Sample) -> Iterator[list[Changes]]:
        """For each coordinate that is a number, values beside the present one."""
        low, high = ends_of(noise_schedule(self.training))
        grid, factors = self._karras(settings), (1 / _FINE, _FINE)
        yield [_grid(grid, sigma_max=min(grid.sigma_max * f, high)) for f in factors]
        yield [_grid(grid, sigma_min=max(grid.sigma_min * f, low)) for f in factors]
        yield [_grid(grid, rho=grid.rho * f) for f in factors]
        if self.prompted:
            bottom, end = settings.interval
            yield [{"scale": _round(1 + (settings.scale - 1) * f)} for f in factors]
            yield [{"interval": (bottom, _round(end * f))} for f in factors if end < EVERYWHERE[1]]
            yield [{"interval": (_round(bottom * f), end)} for f in factors if bottom > 0]

    def _karras(self, settings: Sample) -> Karras:
        """The grid of the settings; one over the same range if it is of another kind."""
        schedule = sampling_schedule(settings.grid, self.training)
        return schedule if isinstance(schedule, Karras) else Karras(*ends_of(schedule))


class Found(NamedTuple):
    """The best settings of a search."""

    settings: Sample
    tried: int
    """Candidates that were judged."""


def search(
    space: Space,
    score: Score,
    starts: Sequence[Sample],
    calls: int,
    *,
    few: int,
    many: int,
) -> Found:
    """The best settings with at most so many network calls a picture.

    From each of the starts, each coordinate in turn takes the best of its values: first of a few
    over its range, then of its neighbours. The best of all that were judged with few pictures are
    judged with many.

    Args:
        space: what there is to choose from.
        score: what to minimise.
        starts: settings to begin with, of any number of calls.
        calls: network calls that a picture may take.
        few: pictures that judge every candidate.
        many: pictures that choose among the best.
    """
    judged: dict[tuple[Any, ...], tuple[float, int, Sample]] = {}

    def at_first(settings: Sample) -> float:
        key = space.key(settings)
        if key not in judged:
            judged[key] = (score(settings, few), len(judged), settings)
        return judged[key][0]

    for start in starts:
        if network_calls(start, space.training, prompted=space.prompted) <= calls:
            at_first(start)  # as it is it may win, but more steps have more to gain
        best = min(_beginnings(space, start, calls), key=at_first)
        for moves in (space.coarse, space.fine):
            for coordinate in range(len(list(moves(best)))):
                values = list(moves(best))[coordinate]
                options = (space.fitted(best, calls, **changes) for changes in values)
                best = min([best, *filter(None, options)], key=at_first)
    finalists = [settings for _, _, settings in sorted(judged.values(), key=lambda each: each[:2])]
    chosen = min(finalists[:FINALISTS], key=lambda settings: score(settings, many))
    return Found(chosen, len(judged))


def most_candidates(space: Space, start: Sample) -> int:
    """How many candidates a search from one start judges at most."""
    return 4 + sum(map(len, (*space.coarse(start), *space.fine(start))))


def _beginnings(space: Space, start: Sample, calls: int) -> list[Sample]:
    """The start with as many steps as fit, with and without its guidance.

    A guidance that leads away from a negative prompt goes only where not even one step fits.
    """
    unguided: Changes = {"scale": 1.0, "negative_prompt": ""}
    changes = [{}, unguided] if space.prompted and not start.negative_prompt else [{}]
    fitted = [space.fitted(start, calls, **each) for each in changes]
    plain = space.fitted(start, calls, sampler="euler", eta=0.0, **unguided)
    return [each for each in fitted if each is not None] or [*filter(None, [plain])]


def _grid(grid: Karras, **changes: float) -> Changes:
    """A grid with some options changed."""
    options = {"sigma_min": grid.sigma_min, "sigma_max": grid.sigma_max, "rho": grid.rho}
    rounded = {name: _round(value) for name, value in (options | changes).items()}
    return {"grid": ScheduleConfig(name="karras", options=rounded)}


def _distinct_samplers() -> list[str]:
    """One name of each sampler."""
    names = {solver.function: name for name, solver in reversed(SAMPLERS.items())}
    return sorted(names.values(), key=[*SAMPLERS].index)


def _ladder(low: float, high: float) -> list[float]:
    """Values from low to high in even ratios."""
    return [float(value) for value in np.geomspace(low, high, _LEVELS)]


def _round(value: float) -> float:
    """Three digits: more would only be noise."""
    return float(f"{value:.3g}")
