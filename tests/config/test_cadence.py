"""Amounts of training as one writes them."""

import pytest

from inkling.config.cadence import Cadence, cadence, milestone, seconds_of
from inkling.config.overrides import override
from inkling.config.recipes import RECIPES, small
from inkling.errors import UserError


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("6", 6, ""),
        ("1000steps", 1000, "steps"),
        ("1 step", 1, "steps"),
        ("50k", 50_000, "steps"),
        ("1.5k", 1500, "steps"),
        ("2epochs", 2, "epochs"),
        ("0.5epochs", 0.5, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("30%", 30, "%"),
        ("90s", 90, "seconds"),
        ("1h30m", 5400, "seconds"),
    ],
)
def test_amounts_are_read_with_their_units(text, number, unit):
    assert cadence(text, "train.previews") == Cadence(number, unit)


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "2 hours", "k", "%", "10steps5m"])
def test_anything_else_is_refused_with_the_choices(text):
    with pytest.raises(UserError, match=r"steps .*epochs .*or a time"):
        cadence(text, "train.previews")


def test_amounts_are_counted_in_steps():
    assert cadence("50k", "x").steps(1000, 10) == 50_000
    assert cadence("2epochs", "x").steps(1000, 64) == 32  # 31.25, the epoch is over
    assert cadence("14%", "x").steps(1000, 64, 300) == 42
    assert cadence("14%", "x").steps(1000, 64) is None
    assert cadence("5m", "x").steps(1000, 64, 300) is None
    assert cadence("0.1epochs", "x").steps(3, 64) == 1


@pytest.mark.parametrize("text", ["5m", "0", "0%", "101%", "ever"])
def test_a_milestone_is_a_moment_that_every_machine_has(text):
    with pytest.raises(UserError, match=r"train\.milestones"):
        milestone(text)
    with pytest.raises(UserError, match=r"train\.milestones"):
        override(RECIPES["mnist"], [f"train.milestones=30%,{text}"])


def test_milestones_in_steps_become_parts_of_a_small_run():
    recipe = small(RECIPES["cifar10"])
    assert RECIPES["cifar10"].train.milestones == ("50k", "100k", "250k", "300k", "350k")
    assert recipe.train.milestones == ("14%", "29%", "71%", "86%", "100%")


def test_times_are_hours_minutes_and_seconds():
    assert [seconds_of(t) for t in ("1h", "2m", "3s", "4", "1h2m3s", "x", "")] == [
        3600, 120, 3, 4, 3723, 0, 0,
    ]  # fmt: skip
