"""The search for sampling settings: what it finds, with an injected score of settings."""

import math
from itertools import product

import pytest
from msgspec.structs import replace

from inkling.config.sample import Sample, ScheduleConfig
from inkling.core.noise import Karras
from inkling.core.samplers import SAMPLERS
from inkling.evaluate.search import FINALISTS, Space, most_candidates, search
from inkling.models.build import sampling_schedule
from inkling.sampling.calls import calls_of_each, levels, network_calls

TRAINING = ScheduleConfig(name="karras")
SPACE = Space(TRAINING, sigma_data=0.5, prompted=True)
USUAL = Sample(scale=1.6, steps=10)


def grid_of(settings):
    found = sampling_schedule(settings.grid, TRAINING)
    assert isinstance(found, Karras)
    return found


def distance(best):
    """A score with its lowest value at these settings, separable in its coordinates."""
    target = grid_of(best)

    def score(settings, pictures):
        grid = grid_of(settings)
        ends = zip(best.interval, settings.interval, strict=True)
        return (
            abs(math.log(grid.sigma_max / target.sigma_max))
            + abs(math.log(grid.sigma_min / target.sigma_min))
            + abs(math.log(grid.rho / target.rho))
            + abs(settings.scale - best.scale)
            + sum(abs(math.atan(one) - math.atan(other)) for one, other in ends)
            + 0.5 * (settings.sampler != best.sampler)
            + 0.01 / settings.steps
        )

    return score


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_levels_are_those_that_a_sampler_asks_for_and_as_many_as_it_says(name, steps):
    settings = Sample(sampler=name, steps=steps, scale=1)
    asked = levels(settings, TRAINING)
    assert len(asked) == SAMPLERS[name].calls(steps) == network_calls(settings, TRAINING)
    assert asked == sorted(asked, reverse=True)
    guided = replace(settings, scale=2.0)
    assert network_calls(guided, TRAINING) == 2 * len(asked)
    assert network_calls(guided, TRAINING, prompted=False) == len(asked)


def test_a_guided_step_takes_two_calls_and_one_outside_the_interval_one():
    settings = Sample(sampler="heun", steps=6, scale=2.0, interval=(0.05, 20.0))
    each = calls_of_each(settings, TRAINING)
    assert {calls for _, calls in each} == {1, 2}
    assert all((calls == 2) == (0.05 < level <= 20) for level, calls in each)
    assert network_calls(settings, TRAINING) == sum(calls for _, calls in each)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2s", "dpmpp_2m"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("interval", [(0.0, 1e9), (0.1, 3.0)])
@pytest.mark.parametrize("calls", [1, 2, 3, 8, 15])
def test_as_many_steps_are_taken_as_fit(sampler, scale, interval, calls):
    found = SPACE.fitted(USUAL, calls, sampler=sampler, scale=scale, interval=interval)
    fitting = [
        steps
        for steps in range(1, calls + 1)
        if network_calls(
            Sample(sampler=sampler, scale=scale, interval=interval, steps=steps, grid=USUAL.grid),
            TRAINING,
        )
        <= calls
    ]
    assert (found and found.steps) == max(fitting, default=None)


def test_the_optimum_is_found_and_no_other_combination_of_values_is_better():
    options = {"sigma_max": 13.9, "sigma_min": 0.0336, "rho": 4.0}
    goal = Sample(
        sampler="heun",
        scale=2.0,
        interval=(0.15, 5.0),
        grid=ScheduleConfig(name="karras", options=options),
    )
    score = distance(goal)
    found = search(SPACE, score, [USUAL], 40, few=10, many=40)
    values = list(SPACE.coarse(USUAL))
    grids = [
        {"grid": ScheduleConfig(name="karras", options=dict(zip(options, each, strict=True)))}
        for each in product(
            *(
                [change["grid"].options[name] for change in column]
                for name, column in zip(options, values, strict=False)
            )
        )
    ]
    lows, highs = ([c["interval"][end] for c in values[5 + 1 - end]] for end in (0, 1))
    intervals = [{"interval": pair} for pair in product(lows, highs) if pair[0] < pair[1]]
    # The score is a sum, so the best product of values is the product of the best values.
    lowest = [
        min(column, key=lambda changes: score(replace(goal, **changes), 0))
        for column in (grids, values[3], values[4], intervals)
    ]
    best = {name: value for changes in lowest for name, value in changes.items()}
    every = SPACE.fitted(USUAL, 40, **best)
    assert score(found.settings, 0) <= score(every, 0) + 1e-9
    assert found.settings.sampler == "heun"
    assert found.settings.scale == 2
    assert network_calls(found.settings, TRAINING) <= 40
    assert found.tried <= most_candidates(SPACE, USUAL)


def test_the_same_search_finds_the_same():
    asked = []

    def score(settings, pictures):
        asked.append((settings, pictures))
        return distance(USUAL)(settings, pictures)

    first = search(SPACE, score, [USUAL], 6, few=10, many=40)
    half = len(asked)
    assert search(SPACE, score, [USUAL], 6, few=10, many=40) == first
    assert asked[:half] == asked[half:]


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_no_candidate_takes_more_calls_than_it_may_and_none_is_judged_twice(calls):
    asked = []

    def score(settings, pictures):
        asked.append((SPACE.key(settings), pictures))
        assert network_calls(settings, TRAINING) <= calls
        return distance(USUAL)(settings, pictures)

    found = search(SPACE, score, [USUAL], calls, few=10, many=40)
    assert len(asked) == len(set(asked))
    assert sum(pictures == 40 for _, pictures in asked) == min(FINALISTS, found.tried)


def test_many_pictures_decide_between_the_best():
    def score(settings, pictures):
        lucky = settings.sampler == "euler" and pictures == 10
        return distance(USUAL)(settings, pictures) - lucky * 0.6

    found = search(SPACE, score, [USUAL], 20, few=10, many=40)
    assert found.settings.sampler == USUAL.sampler


def test_the_best_in_fewer_calls_may_stay_the_best_in_more():
    few = search(SPACE, distance(USUAL), [USUAL], 3, few=10, many=40).settings

    def score(settings, pictures):
        return float(settings.steps != few.steps)  # more steps make it worse

    assert search(SPACE, score, [USUAL, few], 9, few=10, many=40).settings == few


def test_a_model_without_prompts_is_searched_without_guidance():
    plain = Space(TRAINING, sigma_data=0.5, prompted=False)

    def score(settings, pictures):
        assert settings.scale == 1.6
        return distance(USUAL)(settings, pictures)

    found = search(plain, score, [USUAL], 7, few=10, many=40)
    assert found.settings.steps == 7  # no step takes two calls


def test_guidance_from_a_negative_prompt_is_not_turned_off():
    start = replace(USUAL, negative_prompt="eight")
    found = search(SPACE, lambda settings, _: settings.scale, [start], 8, few=10, many=40)
    assert found.settings.scale > 1
    assert found.settings.negative_prompt == "eight"


def test_settings_without_a_score_lose():
    def score(settings, pictures):
        return math.inf if settings.sampler != "heun" else 1.0

    assert search(SPACE, score, [USUAL], 8, few=10, many=40).settings.sampler == "heun"


def test_a_grid_that_follows_training_becomes_one_with_ends_of_its_own():
    linear = ScheduleConfig(name="linear")
    space = Space(linear, sigma_data=0.5, prompted=False)
    start = Sample(sampler="ddim", grid=ScheduleConfig(name=""))

    def score(settings, pictures):
        return abs(max(levels(settings, linear)) - 10) if settings.grid.name == "karras" else 99

    found = search(space, score, [start], 4, few=10, many=40)
    assert abs(max(levels(found.settings, linear)) - 10) < 4
