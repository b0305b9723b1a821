"""Width and batch from a budget and the speed of the machine."""

import itertools
import math

import numpy as np
import pytest
import torch

from inkling.config.overrides import override
from inkling.config.recipes import DIGITS, MNIST, RECIPES, SHAPES, SHAPES64, small
from inkling.nets.configs import UNetConfig
from inkling.training import sizing
from inkling.training.loop import fit
from inkling.training.prepare import prepare
from inkling.training.sizing import StepTime, best_size, predicted_loss, with_size
from inkling.training.step import step_seconds

SLOW = StepTime(start=0.06, shared=0.0007, widening=0.0004)  # two cores, measured
FAST = StepTime(start=0.01, shared=0.00002, widening=0.000005)  # a GPU, imagined


@pytest.mark.parametrize("time", [SLOW, FAST])
def test_the_parts_of_a_steps_time_are_found_from_three_steps(time):
    for batch in (64, 100):
        steps = time.step(1, batch), time.step(1, 2 * batch), time.step(2, batch)
        assert StepTime.of(batch, *steps) == pytest.approx(time)


def test_noise_in_the_three_times_makes_none_of_the_parts_negative():
    for times in itertools.product([0.1, 0.2, 0.4], repeat=3):
        assert min(StepTime.of(64, *times)) >= -1e-12


def test_more_of_everything_is_better_and_more_helps_less_and_less():
    assert predicted_loss(1, 64, 2000) < predicted_loss(1, 64, 1000)
    assert predicted_loss(2, 64, 1000) < predicted_loss(1, 64, 1000)
    assert predicted_loss(1, 128, 1000) < predicted_loss(1, 64, 1000)
    first = predicted_loss(1, 64, 1000) - predicted_loss(1, 64, 2000)
    assert predicted_loss(1, 64, 2000) - predicted_loss(1, 64, 4000) < first


@pytest.mark.parametrize("time", [SLOW, FAST])
def test_longer_budgets_are_for_wider_networks(time):
    sizes = [best_size(time, seconds) for seconds in (60, 300, 1800, 14400)]
    factors, batches = zip(*sizes, strict=True)
    assert list(factors) == sorted(factors)
    assert list(batches) == sorted(batches)
    assert factors[-1] >= 3
    assert best_size(SLOW, 60)[0] < best_size(SLOW, 14400)[0]
    assert best_size(StepTime(start=0.1, shared=0.0, widening=0.0), 60)[1] == 256


@pytest.mark.parametrize("seconds", [-1e9, 0.0, 1e-3])
def test_a_budget_that_is_used_up_still_gets_a_size(seconds):
    chosen, _ = sizing.sized(MNIST, lambda recipe: 0.1, lambda: seconds)
    assert chosen.train.batch in (32, 64, 128, 256)


def test_a_network_that_has_no_wider_form_gets_a_batch_only(monkeypatch):
    monkeypatch.setattr(UNetConfig, "scaled", lambda self, factor: self)
    chosen, _ = sizing.sized(MNIST, lambda recipe: 0.001 * recipe.train.batch, lambda: 3600.0)
    assert chosen.net == MNIST.net


@pytest.mark.parametrize("net", [*(recipe.net for recipe in RECIPES.values())], ids=list(RECIPES))
def test_a_wider_network_is_nowhere_narrower(net):
    assert net.scaled(1.0) == net
    wider = net.scaled(1.5)
    for name in ("widths", "up_widths", "width"):
        before, after = (np.array(getattr(each, name, ())) for each in (net, wider))
        assert (after >= before).all()


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
        (SHAPES, [], False),
        (SHAPES, ["train.fit_budget=true"], True),
        (SHAPES64, ["train.fit_budget=true"], False),
        (MNIST, ["train.sizes=14,28"], False),
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


@pytest.mark.parametrize("divisor", [6, 100, 128])
def test_a_batch_is_shared_out_over_processes(divisor):
    tried = []

    def step_seconds(recipe):
        tried.append(recipe.train.batch)
        return SLOW.step(recipe.net.widths[0] / 32, recipe.train.batch)

    chosen, words = sizing.sized(MNIST, step_seconds, lambda: 300.0, divisor=divisor)
    assert all(batch % divisor == 0 for batch in [*tried, chosen.train.batch])
    alone, _ = sizing.sized(MNIST, step_seconds, lambda: 300.0)
    if divisor == 6:  # batches as before but for rounding
        assert chosen.net == alone.net
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
    again = [*fit(chosen, device_name="cpu", pictures=pictures.split(10, 0))][-1].state
    assert again.recipe.net == chosen.net
    assert again.sized == ""


def test_measuring_a_step_changes_nothing(tiny):
    state = prepare(tiny, device_name="cpu")
    before = [p.detach().clone() for p in state.learning]
    assert step_seconds(state) > 0
    assert state.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, state.learning, strict=True))
