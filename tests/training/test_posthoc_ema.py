"""The length of the average, chosen when the run is over."""

import pytest
import torch

from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.runs import run_folder
from inkling.training import posthoc_ema
from tests.cli.test_cli import inkling
from tests.runs.test_resume import drive

KEPT = ["train.steps=24", "train.snapshots=6", "train.ema_width=0.1", "train.checkpoint_every=5"]


def test_a_length_that_was_trained_with_comes_back(tiny, tmp_path):
    out = tmp_path / "run"
    drive(override(tiny, KEPT), out)
    assert len(list((out / "averages").iterdir())) == 6
    trained = checkpoint.read(out / checkpoint.FILE).part("ema")
    again = posthoc_ema.reconstruct(out, 0.1).part("ema")
    for name, tensor in trained.items():
        torch.testing.assert_close(again[name], tensor, rtol=2e-3, atol=2e-3)
    longer = posthoc_ema.reconstruct(out, 0.2).part("ema")
    assert any((longer[name] - trained[name]).abs().max() > 1e-3 for name in trained)


def test_a_resumed_run_keeps_its_short_averages(tiny, tmp_path):
    recipe = override(tiny, KEPT)
    drive(recipe, tmp_path / "whole")
    drive(recipe, tmp_path / "torn", stop_at=9)
    drive(recipe, tmp_path / "torn", resume=run_folder.newest(tmp_path / "torn"))
    for file in sorted((tmp_path / "whole" / "averages").iterdir()):
        twin = tmp_path / "torn" / "averages" / file.name
        one, other = checkpoint.read(file), checkpoint.read(twin)
        assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_the_command_sweeps_and_writes_a_model(tiny, tmp_path):
    out = tmp_path / "run"
    drive(override(tiny, KEPT), out)
    said, warned = inkling("ema", out, "--sweep")
    assert said.count("held out") == len(posthoc_ema.SWEEP) - 1
    assert "length 0.25 is left out: 6 stored EMAs cannot be mixed" in warned
    file = said.split()[-1]
    inkling("sample", file, "seven", "--count", 1, "--out", tmp_path / "x.png")
    inkling("ema", out, "--length", 0.12)
    assert checkpoint.read(out / "ema-0.120.safetensors").card.ema_width == 0.12


def test_lengths_and_runs_that_cannot_be_are_one_sentence(tiny, tmp_path):
    drive(tiny, tmp_path / "bare")
    with pytest.raises(UserError, match="holds no stored EMAs"):
        posthoc_ema.reconstruct(tmp_path / "bare", 0.1)
    with pytest.raises(UserError, match="is no fraction of training"):
        posthoc_ema.reconstruct(tmp_path / "bare", 0.9)


def test_a_mixture_of_equal_weights_is_these_weights(tiny, tmp_path):
    """A run that stopped early is averaged up to its last snapshot, and no weight shrinks."""
    out = tmp_path / "run"
    drive(override(tiny, KEPT), out, stop_at=14)  # snapshots after 4, 8 and 12 steps
    assert not (out / checkpoint.FILE).exists()
    stored = posthoc_ema.snapshots_of(out)
    assert [each.card.steps for each in stored.snapshots] == [4, 8, 12]
    for width in (0.05, 0.08, 0.1, 0.125):
        assert stored.solve(width).weights.sum().item() == pytest.approx(1)
    torch.testing.assert_close(
        posthoc_ema.reconstruct(out, 0.1).part("ema"),
        {n: t.float() for n, t in stored.snapshots[-1].part("short1").items()},
    )
    with pytest.raises(UserError, match=r"3 stored EMAs cannot be mixed into one of length 0.2 "):
        posthoc_ema.reconstruct(out, 0.2)
