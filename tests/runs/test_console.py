"""What a run says of itself on the terminal."""

import pytest
from msgspec.structs import replace

from inkling.runs import console
from inkling.runs.session import run
from inkling.training.budget import StepBudget
from tests.cli.test_cli import SMALL, inkling


@pytest.fixture
def update(tiny, tmp_path):
    return next(run(tiny, tmp_path / "run", device_name="cpu"))


def of_size(update, size, total, budget=0.0):
    """The update of a run of pictures of another size, of so many steps."""
    state = update.progress.state
    state.card = replace(state.card, size=(size, size))
    state.budget = StepBudget(replace(state.recipe.train, steps=0, budget=budget), 0.0)
    progress = update.progress._replace(total=total, step=1, seconds=4.0, images_per_second=16.0)
    return update._replace(progress=progress)


@pytest.mark.parametrize(
    ("size", "total", "budget", "says"),
    [
        (8, 99, 0.0, "of 99 steps will show little: digits of 8x8 pixels are legible after about"),
        (8, 50, 30.0, "train longer (--budget 1m00s or more)"),
        (28, 299, 0.0, "MNIST's digits are legible after about 300 steps"),
        (28, 10, 0.0, "train longer (--steps 300 or more)"),
        (64, 40, 40.0, "(--budget 2m51s or more), or on smaller pictures (--set data.size=32)"),
    ],
)
def test_a_run_that_is_too_short_says_what_would_help(update, size, total, budget, says):
    line = console._too_short(of_size(update, size, total, budget))
    assert says in line
    assert ("data.size" in line) == (size > 32)


@pytest.mark.parametrize(("size", "total"), [(8, 100), (28, 300), (64, 5000), (28, None)])
def test_a_run_that_is_long_enough_says_nothing(update, size, total):
    assert not console._too_short(of_size(update, size, total))


def test_it_is_said_once_and_of_denoisers_that_begin_from_nothing(tmp_path):
    arguments = ("train", "digits", *SMALL, "--steps", 3)
    first, second = tmp_path / "a", tmp_path / "b"
    assert inkling(*arguments, "--out", first)[1].count("note: a run of 3 steps") == 1
    assert "note:" not in inkling(*arguments, "--out", second, "--from", first)[1]
    judge = ("--set", "train.batch=16", "--set", "train.previews=1", "--steps", 2)
    assert "note:" not in inkling("train", "judge-digits", *judge, "--out", tmp_path / "c")[1]
