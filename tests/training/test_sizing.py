"""Width and batch from a budget and the speed of the machine."""

import itertools
import math

import pytest

from inkling.config.overrides import override
from inkling.config.recipes import DIGITS, MNIST, RECIPES, SHAPES, small
from inkling.training import sizing
from inkling.training.loop import fit
from inkling.training.sizing import StepTime, best_size, predicted_loss, with_size

SLOW = StepTime(start=0.06, shared=0.0007, widening=0.0004)  # two cores, measured
FAST = StepTime(start=0.01, shared=0.00002, widening=0.000005)  # a GPU, imagined


@pytest.mark.parametrize("time", [SLOW, FAST])
def test_the_parts_of_a_steps_time_are_found_from_three_steps(time):
    found = StepTime.of(time.step(1, 64), time.step(1, 128), time.step(2, 64))
    assert found == pytest.approx(time)


def test_noise_in_the_three_times_makes_none_of_the_parts_negative():
    for times in itertools.product([0.1, 0.2, 0.4], repeat=3):
        assert min(StepTime.of(*times)) >= -1e-12


def test_more_of_everything_is_better_and_more_helps_less_and_less():
    assert predicted_loss(1, 64, 2000) < predicted_loss(1, 64, 1000)
    assert predicted_loss(2, 64, 1000) < predicted_loss(1, 64, 1000)
    assert predicted_loss(1, 128, 1000) < predicted_loss(1, 64, 1000)
    first = predicted_loss(1, 64, 1000) - predicted_loss(1, 64, 2000)
    assert predicted_loss(1, 64, 2000) - predicted_loss(1, 64, 4000) < first


@pytest.mark.parametrize("time", [SLOW, FAST])
def test_longer_budgets_are_for_wider_networks_and_more_pictures_a_step(time):
    sizes = [best_size(time, seconds) for seconds in (30, 60, 300, 1800, 14400)]
    factors, batches = zip(*sizes, strict=True)
    assert list(factors) == sorted(factors)
    assert batches[-1] >= batches[0]
    assert factors[-1] > factors[0]


def test_a_faster_machine_gets_the_wider_network():
    assert best_size(FAST, 300)[0] > best_size(SLOW, 300)[0]


def test_learning_rates_follow_the_square_root_of_the_batch():
    chosen = with_size(MNIST, 2.0, 4 * MNIST.train.batch)
    assert chosen.net.widths == (64, 128)
    assert chosen.train.batch == 512
    assert chosen.train.lr == pytest.approx(2 * MNIST.train.lr, rel=0.02)
    assert chosen.train.muon_lr == pytest.approx(2 * MNIST.train.muon_lr, rel=0.02)
    assert not chosen.train.fit_budget


@pytest.mark.parametrize(
    ("recipe", "settings", "wanted"),
    [
        (MNIST, [], True),
        (SHAPES, ["train.budget=60"], True),
        (MNIST, ["train.seed=3", "data.limit=20", "sample.scale=2"], True),
        (MNIST, ["train.steps=100"], False),
        (MNIST, ["train.epochs=1"], False),
        (MNIST, ["net.widths=32,64"], False),
        (MNIST, ["train.batch=32"], False),
        (MNIST, ["train.lr=1e-3"], False),
        (MNIST, ["train.lr=1e-3", "train.fit_budget=true"], True),
        (MNIST, ["train.shard=true"], False),
        (small(MNIST), [], False),
        (DIGITS, [], False),
        (RECIPES["cifar10"], ["train.budget=60", "train.steps=0"], False),
    ],
)
def test_a_size_is_chosen_for_a_budget_unless_it_is_set_by_hand(recipe, settings, wanted):
    assert sizing.wanted(override(recipe, settings)) == wanted


def test_a_batch_is_shared_out_over_processes():
    tried = []

    def step_seconds(recipe):
        tried.append(recipe.train.batch)
        return SLOW.step(recipe.net.widths[0] / 32, recipe.train.batch)

    chosen, words = sizing.sized(MNIST, step_seconds, lambda: 300.0, divisor=6)
    assert all(batch % 6 == 0 for batch in [*tried, chosen.train.batch])
    assert f"train.batch={chosen.train.batch}" in words
    assert "5m00s" in words


def test_a_run_with_a_budget_has_the_size_that_it_says(pictures):
    recipe = override(MNIST, ["train.budget=6", "train.previews=0"])
    for progress in fit(recipe, device_name="cpu", pictures=pictures.split(10, 0)):
        state = progress.state
    chosen = state.recipe
    assert not chosen.train.fit_budget
    assert sizing.in_words(chosen) in state.sized
    assert progress.step == progress.total
    assert math.isfinite(float(progress.loss))
    assert state.seconds < 12
