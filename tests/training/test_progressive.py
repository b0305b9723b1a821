"""Training that grows: few noise levels first, small pictures first."""

import pytest
import torch

from inkling.config.overrides import override
from inkling.config.recipes import RECIPES
from inkling.core.noise import LogNormal
from inkling.errors import UserError
from inkling.training.budget import StepBudget
from inkling.training.denoising import DenoisingObjective, resized, step_randomness
from inkling.training.loop import fit
from inkling.training.objective import GradientStep
from inkling.training.progressive import boundaries, mean_cost, relative_costs, size_at


def test_every_size_gets_the_same_time():
    costs = relative_costs((16, 32, 64))
    assert costs == (1 / 16, 1 / 4, 1)
    ends = boundaries(costs)
    begins = [0.0, *ends[:-1]]
    times = [(end - begin) * cost for begin, end, cost in zip(begins, ends, costs, strict=True)]
    assert times == pytest.approx([times[0]] * 3)
    assert ends[-1] == 1
    assert mean_cost(costs, 0, 1) == pytest.approx(3 * times[0])


def test_the_size_follows_from_the_share_of_the_run():
    sizes = (16, 32, 64)
    first, second, _ = boundaries(relative_costs(sizes))
    assert size_at(sizes, 0.0) == 16
    assert size_at(sizes, first) == 32
    assert size_at(sizes, second) == 64
    assert size_at(sizes, 1.0) is None
    assert size_at((), 0.3) is None


def test_a_budget_counts_on_steps_that_become_dearer(tiny):
    """100 s; steps of 0.01 s at the small size, 0.16 s at the full one: both get half of it."""
    recipe = override(
        tiny, ["train.steps=0", "train.budget=100", "train.sizes=2,8", "train.previews=0"]
    )
    measuring = StepBudget(recipe.train, 0.0)
    step, clock = 0, 0.0
    while not measuring.measured(step, clock, clock):
        step, clock = step + 1, clock + 0.01
    measuring.fix(step, clock, clock)
    costs = relative_costs((2, 8))
    assert measuring.total is not None
    total_time = measuring.total * mean_cost(costs, 0, 1) * 0.16
    assert total_time == pytest.approx(100, rel=0.05)
    assert measuring.eta(step, clock) == pytest.approx(92, rel=0.08)


def test_without_sizes_nothing_is_counted_otherwise(tiny):
    measuring = StepBudget(override(tiny, ["train.steps=100", "train.previews=0"]).train, 0.0)
    assert measuring.eta(25, 50.0) == pytest.approx(150)


def test_pictures_are_averaged_over_areas_and_keep_their_shape():
    x = torch.randn(2, 3, 8, 12)
    half = resized(x, 6)
    assert half.shape == (2, 3, 4, 6)
    torch.testing.assert_close(half[0, 0, 0, 0], x[0, 0, :2, :2].mean())
    assert resized(x, 12) is x
    assert resized(x, None) is x


def test_noise_levels_widen_around_the_middle_and_end_up_as_ever():
    plain = RECIPES["mnist"]
    recipe = override(plain, ["train.widen=0.4"])
    schedule = LogNormal(mean=0.3, std=1.0)

    def draws(recipe, step, fraction=0.0):
        rows = slice(0, recipe.train.batch)
        wanted = GradientStep(step, fraction, recipe.train.batch, rows)
        return step_randomness(recipe, schedule, wanted, (1, 2, 2), "cpu")

    def spread(fraction):
        levels = torch.cat([draws(recipe, step, fraction).sigma for step in range(9)])
        return float(levels.log().std()), float(levels.log().median())

    widths = [spread(fraction)[0] for fraction in (0.0, 0.2, 0.4)]
    assert widths == sorted(widths)
    assert widths[0] < 0.15 * widths[2]
    middles = [spread(fraction)[1] for fraction in (0.0, 0.2, 0.4)]
    assert middles == pytest.approx([middles[2]] * 3, abs=0.1)
    for ours, theirs in zip(draws(recipe, 3, 0.4), draws(plain, 3), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_goes_through_its_sizes(tiny, monkeypatch):
    seen = []
    plain = DenoisingObjective.inputs

    def watched(self, step):
        inputs = plain(self, step)
        seen.append((inputs[0].shape[-1], inputs[1].shape[-1]))
        return inputs

    monkeypatch.setattr(DenoisingObjective, "inputs", watched)
    recipe = override(tiny, ["train.steps=10", "train.sizes=4,8", "train.previews=0"])
    *_, last = fit(recipe, device_name="cpu")
    assert torch.isfinite(last.loss)
    assert [size for size, _ in seen] == [4] * 8 + [8] * 2
    assert all(noise == size for size, noise in seen)


@pytest.mark.parametrize("sizes", ["8,4", "4,16", "4", "4,4,8"])
def test_sizes_must_grow_up_to_the_pictures_own(tiny, sizes):
    with pytest.raises(UserError, match=r"the sizes rise, and the last is the pictures' own, 8"):
        next(fit(override(tiny, [f"train.sizes={sizes}"]), device_name="cpu"))
