"""Training losses by epoch, held against the steps that they are the means of."""

import json

import pytest
import torch

from inkling.config.overrides import override
from inkling.runs.session import run
from inkling.training.epochs import EpochLosses, StepLosses
from inkling.training.loop import fit
from inkling.training.objective import GradientStep
from inkling.training.prepare import prepare


def losses(mean, low=0.0, count=0.0):
    return StepLosses(torch.tensor(mean), torch.tensor([low, count]))


def test_means_are_of_the_steps_of_the_epoch_and_of_the_pictures_at_low_noise():
    epochs = EpochLosses(pictures=100, batch=10, device=torch.device("cpu"))
    for step in range(1, 10):
        epochs.add(losses(float(step), 2.0 * step, 2.0), finite=True)
        assert epochs.means(step, last=False) is None
    epochs.add(losses(float("nan")), finite=False)
    found = epochs.means(10, last=False)
    assert found == (1.0, 5.0, 5.0)
    epochs.add(losses(7.0), finite=True)
    assert epochs.means(11, last=True) == (1.1, 7.0, None)


def test_short_epochs_are_taken_together():
    epochs = EpochLosses(pictures=4, batch=8, device=torch.device("cpu"))
    due = []
    for step in range(1, 31):
        epochs.add(losses(1.0), finite=True)
        due += [step] if epochs.means(step, last=False) else []
    assert due == [10, 20, 30]


def test_the_low_noise_loss_is_that_of_the_lowest_tenth_of_levels(tiny):
    """Of a run of one step an epoch: every picture's own loss, computed apart."""
    recipe = override(tiny, ["train.batch=64", "train.steps=1", "train.previews=0"])
    state = prepare(recipe, device_name="cpu")
    step = GradientStep(0, 0.0, 64, slice(0, 64))
    inputs = state.objective.inputs(step)
    low = state.objective.low_noise(inputs).bool()
    with torch.no_grad():
        each = state.objective(*inputs)
    sigma = inputs[2]
    assert low.sum() in (6, 7)  # stratified
    assert sigma[low].max() < sigma[~low].min()
    *_, last = fit(recipe, device_name="cpu")
    assert last.epoch is not None
    assert last.epoch.loss == pytest.approx(each.mean().item(), rel=1e-5)
    assert last.epoch.low == pytest.approx(each[low].mean().item(), rel=1e-5)


def test_a_resumed_run_has_the_same_means(tiny):
    recipe = override(tiny, ["train.steps=40", "data.limit=16", "data.validation=0"])
    whole = [p.epoch for p in fit(recipe, device_name="cpu") if p.epoch]
    assert len(whole) == 2  # 160 pictures, 20 steps an epoch
    for progress in fit(recipe, device_name="cpu"):
        if progress.step == 17:
            stored = progress.state.training_checkpoint()
            break
    stored = stored._replace(progress=json.loads(json.dumps(stored.progress)))
    rest = [p.epoch for p in fit(recipe, device_name="cpu", resume=stored) if p.epoch]
    assert rest == whole


def test_every_epoch_is_a_line_of_the_metrics(tiny, tmp_path):
    settings = ["train.steps=50", "data.limit=16", "data.validation=0", "train.previews=0"]
    list(run(override(tiny, settings), tmp_path / "run", device_name="cpu"))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    points = [r for r in map(json.loads, lines) if "epoch" in r]
    assert [r["epoch"] for r in points] == [1, 2, 2.5]
    assert all(r["epoch_loss"] > 0 and r["epoch_low_noise_loss"] > 0 for r in points)
