"""Gradients computed in threads are those of the whole batch, and as reproducible."""

import pytest
import torch
from msgspec.structs import replace

from inkling.config.overrides import override
from inkling.models import checkpoint
from inkling.training.gradients import accumulate_gradients, threads_for
from inkling.training.loop import fit
from inkling.training.prepare import prepare


def gradients(recipe):
    state = prepare(recipe, device_name="cpu")
    losses = accumulate_gradients(state)
    return losses, torch.cat([p.grad.flatten() for p in state.learning if p.grad is not None])


def weights(recipe, **options):
    *_, last = fit(recipe, device_name="cpu", **options)
    return last.state, torch.cat([p.detach().flatten() for p in last.state.learning])


@pytest.fixture
def wide(tiny):
    return override(tiny, ["train.batch=48", "train.precision=float32", "train.steps=8"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_gradients_and_losses_of_threads_are_those_of_the_whole_batch(wide, accumulation):
    wide = override(wide, [f"train.accumulation={accumulation}"])
    whole, parts = (gradients(override(wide, [f"train.threads={n}"])) for n in (1, 3))
    torch.testing.assert_close(whole[0].mean, parts[0].mean)
    torch.testing.assert_close(whole[0].low, parts[0].low)
    torch.testing.assert_close(whole[1], parts[1], rtol=1e-3, atol=1e-5)


def test_runs_with_as_many_threads_are_equal_bit_for_bit_with_dropout_too(wide):
    wide = override(wide, ["train.threads=3", "net.dropout=0.2", "train.optimiser=muon"])
    assert torch.equal(weights(wide)[1], weights(wide)[1])


def test_a_resumed_run_goes_on_with_as_many_threads(wide, tmp_path):
    begun = override(wide, ["train.threads=2", "train.steps=6", "train.optimiser=muon"])
    for progress in fit(begun, device_name="cpu"):
        if progress.step == 3:
            file = checkpoint.save(tmp_path / "a", progress.state.training_checkpoint())
    whole = torch.cat([p.detach().flatten() for p in progress.state.learning])
    elsewhere = override(begun, ["train.threads=1"])
    state, resumed = weights(elsewhere, resume=checkpoint.read(file))
    assert state.threads == 2
    assert torch.equal(whole, resumed)


def test_threads_have_enough_rows_each_and_processes_have_none(wide):
    objective = prepare(wide, device_name="cpu").objective
    wanted = replace(wide.train, threads=8)
    assert threads_for(objective, replace(wanted, batch=64), 1) == 4
    assert threads_for(objective, replace(wanted, batch=64, accumulation=2), 1) == 2
    assert threads_for(objective, replace(wanted, batch=8), 1) == 1
    assert threads_for(objective, wanted, processes=2) == 1
    automatic = replace(wanted, threads=0, batch=1600)
    assert threads_for(objective, automatic, 1) == torch.get_num_threads()


def test_an_error_in_a_thread_reaches_the_caller(wide, monkeypatch):
    state = prepare(override(wide, ["train.threads=2"]), device_name="cpu")
    monkeypatch.setattr(state.objective, "inputs", lambda step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        accumulate_gradients(state)
