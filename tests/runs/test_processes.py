"""Two processes against one, on the CPU with gloo."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from inkling.models import checkpoint
from inkling.models.checkpoint import checkpoints
from inkling.runs import run_folder
from inkling.runs.metrics import read_metrics
from tests.cli.test_cli import SMALL, inkling

SETTINGS = [*SMALL, "--set", "train.batch=16", "--set", "train.checkpoint_every=20"]


def launch(out, steps, processes, *more):
    """Start a run on so many processes, each with one thread."""
    return start(processes, "train", "digits", "--out", out, *SETTINGS, "--steps", steps, *more)


def start(processes, *arguments):
    command = [sys.executable, "-m"]
    if processes > 1:
        # `accelerate launch` starts several processes for accelerators only; on the CPU torchrun
        # does, and Accelerate finds itself among them.
        command += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command += ["-m"]
    command += ["inkling", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process):
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    every = ["--set", "train.previews=5"]
    alone = finish(launch(tmp_path / "one", 50, 1, *every))
    both = finish(launch(tmp_path / "two", 50, 2, *every))
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    assert [r["step"] for r in one] == [r["step"] for r in two] == [10, 20, 30, 40, 50]
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], abs=1e-4)
    cards = [checkpoint.read(tmp_path / name / checkpoint.FILE).card for name in ("one", "two")]
    assert [card.processes for card in cards] == [1, 2]
    weights = [load_file(tmp_path / name / checkpoint.FILE) for name in ("one", "two")]
    for name in weights[0]:  # raw.* and ema.*
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=2e-3)
    draw = ("sample", tmp_path / "one", "seven", "two", "--count", 5, "--out")
    for processes in (1, 2):
        finish(start(processes, *draw, tmp_path / f"{processes}.npz"))
    drawn = [np.load(tmp_path / f"{processes}.npz")["images"] for processes in (1, 2)]
    assert drawn[0].shape == (10, 8, 8, 1)
    assert np.abs(drawn[0].astype(int) - drawn[1]).max() <= 1
    for text in (alone, both):  # one process speaks
        assert text.count("step 50/50") == 1
        assert text.count("sample  inkling sample") == 1


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_with_an_error_and_it_resumes(tmp_path):
    out = tmp_path / "run"
    process = launch(out, 100_000, 2)
    while not list(checkpoints(out)):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children(recursive=True)
    workers[-1].kill()
    process.communicate(timeout=120)
    assert process.returncode != 0
    stored = run_folder.newest(out)
    process = launch(out, 100_000, 2, "--resume")
    while run_folder.newest(out).progress["step"] <= stored.progress["step"]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert f"step {stored.progress['step']}" in said
    assert "the checkpoint is saved; go on with" in said, said


@pytest.mark.slow
def test_weights_that_are_shared_out_learn_what_whole_ones_do(tmp_path):
    """Sharded over two processes, stopped, resumed, and drawn with: the run of one process."""
    settings = ["train.previews=5", "train.accumulation=2", "train.snapshots=2"]
    more = [word for setting in settings for word in ("--set", setting)]
    finish(launch(tmp_path / "one", 50, 1, *more))
    more += ["--set", "train.shard=true"]
    finish(launch(tmp_path / "two", 50, 2, *more))
    (tmp_path / "two" / checkpoint.FILE).unlink()  # as if it had been killed after its last state
    said = finish(launch(tmp_path / "two", 50, 2, *more, "--resume"))
    assert "step 40" in said
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], abs=1e-3)
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], abs=1e-4)
    for file in (checkpoint.FILE, run_folder.BEST, "averages/step-00000050.safetensors"):
        weights = [load_file(tmp_path / name / file) for name in ("one", "two")]
        assert weights[0].keys() == weights[1].keys()
        for name in weights[0]:
            torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=2e-3)
    assert (tmp_path / "two" / "samples" / "step-000050.png").exists()
    inkling("sample", tmp_path / "two", "seven", "--count", 1, "--out", tmp_path / "7.png")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "judge", "codec"])
def test_other_objectives_too_are_one_run_on_two_processes(tmp_path, kind):
    pytest.importorskip("transformers", reason="the extra clip is not installed")
    small = {
        "clip": ["towers.width=32", "towers.layers=1", "towers.heads=2"],
        "judge": ["classifier.widths=8,8,16", "classifier.dropout=0"],
        "codec": ["autoencoder.widths=8,16"],
    }[kind]
    settings = [*small, "train.batch=16", "train.precision=float32", "train.previews=2"]
    options = [word for setting in settings for word in ("--set", setting)]
    for processes in (1, 2):
        out = tmp_path / str(processes)
        run = ["train", f"{kind}-digits", "--out", out, *options, "--steps", 20]
        if kind == "codec" and processes == 2:
            run += ["--set", "train.shard=true"]
        said = finish(start(processes, *run))
        assert said.count("step 20/20") == 1
    one, two = (read_metrics(tmp_path / name) for name in ("1", "2"))
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


@pytest.mark.slow
def test_two_processes_agree_on_how_many_steps_fit_a_budget(tmp_path):
    said = finish(
        start(
            2,
            "train",
            "digits",
            "--out",
            tmp_path / "two",
            *SETTINGS,
            "--set",
            "train.steps=0",
            "--budget",
            "6s",
        )
    )
    *_, last = read_metrics(tmp_path / "two")
    assert last["step"] == last["total"]
    assert f"step {last['total']}/{last['total']}" in said
