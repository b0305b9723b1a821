"""A run that stops goes on as if it never had, whatever stopped it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from inkling.config.overrides import override, to_json
from inkling.errors import UserError, UserNote
from inkling.models import checkpoint
from inkling.models.checkpoint import checkpoints
from inkling.runs import auto_recipe, run_folder
from inkling.runs.metrics import read_metrics
from inkling.runs.resume import Asked, to_restart, to_resume
from inkling.runs.session import StopFlag, run
from inkling.training import step
from inkling.training.loop import fit
from inkling.training.state import TrainState
from tests.cli.test_cli import SMALL, inkling, refuses
from tests.conftest import TINY

DEAD = 2**22 + 1
"""A process number that no process of Linux has."""
LONG = ["train.steps=30", "train.checkpoint_every=5", "train.batch=8", "train.accumulation=2"]


def drive(recipe, out, *, resume=None, stop_at=None):
    """The last update of a run that is stopped after a step, or left to its end."""
    flag = StopFlag()
    for update in run(recipe, out, device_name="cpu", resume=resume, flag=flag):
        if update.progress.step == stop_at:
            flag.raise_flag()
    return update


def same(one, other):
    """Whether two files hold the same tensors, bit for bit."""
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
@pytest.mark.parametrize("stop", [1, 13, 29])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tiny, tmp_path, stop, optimiser):
    # Forty pictures an epoch: thirty steps of eight end in the middle of the sixth.
    settings = [f"train.optimiser={optimiser}", "data.limit=8", "net.dropout=0.2"]
    recipe = override(tiny, [*LONG, *settings])
    drive(recipe, tmp_path / "whole")
    update = drive(recipe, tmp_path / "torn", stop_at=stop - 1)
    assert update.stopped == (stop > 1)
    stored = run_folder.newest(tmp_path / "torn")
    if stop > 1:
        assert stored.progress["step"] == stop
        update = drive(stored.recipe, tmp_path / "torn", resume=stored)
    assert update.progress.step == 30
    whole, torn = (tmp_path / name / checkpoint.FILE for name in ("whole", "torn"))
    assert same(whole, torn)
    steps = [r["step"] for r in read_metrics(tmp_path / "torn")]
    assert steps == sorted(set(steps)) == [10, 20, 30]


def test_the_last_states_are_kept_and_the_best_model(tiny, tmp_path):
    recipe = override(tiny, [*LONG, "train.keep=3", "train.previews=3"])
    drive(recipe, tmp_path / "a")
    assert [file.stem for file in checkpoints(tmp_path / "a")] == [
        "step-00000025",
        "step-00000020",
        "step-00000015",
    ]
    validations = [
        r["validation_loss"] for r in read_metrics(tmp_path / "a") if "validation_loss" in r
    ]
    best = checkpoint.read(tmp_path / "a" / run_folder.BEST)
    assert best.card.steps == 10 * (1 + validations.index(min(validations)))


def test_a_running_run_can_be_drawn_with(tiny, tmp_path):
    drive(override(tiny, LONG), tmp_path / "a", stop_at=11)
    inkling("sample", tmp_path / "a", "seven", "--count", 1, "--out", tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


def test_a_budget_goes_on_where_it_stopped(tiny, tmp_path):
    recipe = override(tiny, ["train.steps=0", "train.budget=6", "train.checkpoint_every=5"])
    update = drive(recipe, tmp_path / "a", stop_at=15)
    assert update.stopped
    total, spent = update.progress.total, update.progress.seconds
    time.sleep(1.5)  # what passes between is no part of the budget
    stored = run_folder.newest(tmp_path / "a")
    update = drive(stored.recipe, tmp_path / "a", resume=stored)
    assert update.progress.seconds > spent
    assert update.progress.step == update.progress.total
    assert total is None or update.progress.total == pytest.approx(total, rel=0.5)


# Files


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of 30 steps that was stopped at 22, with states at 20 and 22."""
    from inkling.config.recipes import DIGITS

    out = tmp_path_factory.mktemp("stopped") / "run"
    drive(override(DIGITS, [*TINY, *LONG]), out, stop_at=21)
    assert [file.stem[-2:] for file in checkpoints(out)] == ["22", "20"]
    return out


def copied(stopped, tmp_path):
    tmp_path.mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", stopped, tmp_path / "run"], check=True)
    return tmp_path / "run"


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.6, 0.9, 0.9999])
def test_a_flipped_bit_is_found_and_the_state_before_is_taken(stopped, tmp_path, share):
    out = copied(stopped, tmp_path)
    latest, before = checkpoints(out)
    raw = bytearray(latest.read_bytes())
    raw[int(share * len(raw))] ^= 4
    latest.write_bytes(raw)
    with pytest.warns(UserNote, match=rf"damaged.*going on from {before.name}"):
        assert run_folder.newest(out).progress["step"] == 20


def test_a_torn_state_is_passed_over_and_none_at_all_is_one_sentence(stopped, tmp_path):
    out = copied(stopped, tmp_path)
    latest, before = checkpoints(out)
    latest.write_bytes(latest.read_bytes()[:1000])
    with pytest.warns(UserNote, match="going on from"):
        assert run_folder.newest(out).progress["step"] == 20
    before.write_bytes(b"")
    with pytest.raises(UserError, match=r"no training checkpoint in .* can be read"):
        run_folder.newest(out)


def test_a_full_disk_leaves_the_last_good_state(stopped, tmp_path, monkeypatch):
    out = copied(stopped, tmp_path)
    before = {file: file.read_bytes() for file in checkpoints(out)}

    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inkling.models.checkpoint.save_file", full)
    stored = run_folder.newest(out)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device.*as it was"):
        drive(stored.recipe, out, resume=stored)
    assert {file: file.read_bytes() for file in checkpoints(out)} == before
    assert not list(out.rglob("*.partial*"))


def test_a_write_that_lies_is_found_before_the_old_state_goes(stopped, tmp_path, monkeypatch):
    out = copied(stopped, tmp_path)
    names = [file.name for file in checkpoints(out)]
    honest = checkpoint.save_file

    def lying(tensors, path, metadata):
        honest(tensors, path, metadata)
        raw = bytearray(path.read_bytes())
        raw[-3] ^= 1
        path.write_bytes(raw)

    monkeypatch.setattr("inkling.models.checkpoint.save_file", lying)
    stored = run_folder.newest(out)
    with pytest.raises(UserError, match="damaged"):
        drive(stored.recipe, out, resume=stored)
    assert [file.name for file in checkpoints(out)] == names


def test_states_hold_no_code(stopped):
    for file in checkpoints(stopped):
        stored = checkpoint.read(file)
        assert any(name.startswith("optimiser.0.") for name in stored.tensors)
        assert json.loads(json.dumps(stored.progress)) == stored.progress


# Numbers


def poisoned(monkeypatch, steps):
    """Make the loss of these steps not finite."""
    honest = step.accumulate_gradients

    def gradients(state):
        losses = honest(state)
        if state.step in steps:
            for p in state.model.parameters():
                if p.grad is not None:
                    p.grad.fill_(float("nan"))
            return losses._replace(mean=losses.mean * float("nan"))
        return losses

    monkeypatch.setattr(step, "accumulate_gradients", gradients)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(tiny, monkeypatch):
    poisoned(monkeypatch, {2})
    seen = []
    for progress in fit(tiny, device_name="cpu"):
        weights = torch.cat([p.detach().flatten() for p in progress.state.model.parameters()])
        seen.append((weights.clone(), progress.state.skipped))
    assert [skipped for _, skipped in seen] == [0, 0, 1, 1]
    assert torch.equal(seen[1][0], seen[2][0])
    assert not torch.equal(seen[2][0], seen[3][0])
    assert all(torch.isfinite(weights).all() for weights, _ in seen)
    assert all(torch.isfinite(a).all() for a in progress.state.ema.average)


def test_many_such_steps_in_a_row_stop_the_run_with_advice(tiny, tmp_path, monkeypatch):
    poisoned(monkeypatch, set(range(12, 30)))
    recipe = override(tiny, [*LONG, "train.most_skipped=4"])
    with pytest.raises(UserError, match=r"not finite in 4 steps in a row, up to step 16.*train.lr"):
        drive(recipe, tmp_path / "a")
    assert run_folder.newest(tmp_path / "a").progress["step"] == 15
    assert all(
        torch.isfinite(t).all() for t in load_file(next(checkpoints(tmp_path / "a"))).values()
    )


# The command line


def test_resume_on_the_command_line(tmp_path):
    out = tmp_path / "run"
    arguments = ("train", "digits", "--out", out, *SMALL, "--steps", 12)
    settings = ("--set", "train.checkpoint_every=4")
    _, error = inkling(*arguments, *settings, "--resume")
    assert "no checkpoint: starting afresh" in error
    before = load_file(out / "model.safetensors")
    assert "finished" in inkling(*arguments, *settings, "--resume")[0]
    differing = refuses(*arguments, *settings, "--set", "train.lr=0.5", "--resume")
    assert "other settings than train.lr=0.5" in differing
    assert "already holds a run" in refuses(*arguments)
    (out / "model.safetensors").unlink()
    other = refuses("train", "digits", "--out", out, "--set", "train.lr=0.5", "--resume")
    assert "other settings than train.lr=0.5" in other
    _, error = inkling("train", "digits", "--out", out, "--resume")
    assert "step 8" in error
    after = load_file(out / "model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_run_killed_while_it_wrote_its_first_state_starts_afresh(tiny, tmp_path):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "recipe.json").write_text(to_json(tiny))
    (out / "metrics.jsonl").write_text('{"step": 1')
    half = out / "checkpoints" / f".inkling-{DEAD}-0123abcd.partial.safetensors"
    half.write_text("half of it")
    os.utime(half, (0, 0))
    (out / "averages").mkdir()
    (out / "averages" / "step-00000900.safetensors").write_text("of the run that was killed")
    (out / "averages" / "notes.txt").write_text("mine")
    assert to_resume(out, Asked("digits")) is None
    with pytest.raises(UserError, match="is of digits and cannot go on as mnist"):
        to_restart(out, Asked("mnist"))
    with pytest.raises(UserError, match=r"other settings than train\.lr=0\.5"):
        to_restart(out, Asked("digits", ["train.lr=0.5"]))
    again = to_restart(out, Asked("digits"))
    assert again.net == tiny.net
    *_, _ = run(again, out, device_name="cpu", again=True)
    assert [file.name for file in (out / "averages").iterdir()] == ["notes.txt"]
    assert checkpoint.read(out / checkpoint.FILE).card.steps == 4
    assert not list(out.rglob("*.partial*"))


def started(out, *more):
    command = [sys.executable, "-m", "inkling", "train", "digits", "--out", str(out), *SMALL]
    command += ["--steps", "4000", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_steps(out, process):
    for _ in range(600):
        if (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text().count("\n") > 2:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_go_on_and_ends_within_five_seconds(tmp_path, number):
    process = started(tmp_path / "run")
    wait_for_steps(tmp_path / "run", process)
    begun = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode == 128 + number
    assert "the checkpoint is saved; go on with" in error
    assert f"inkling train digits --out {tmp_path / 'run'} --resume" in error
    assert "Traceback" not in error
    assert run_folder.newest(tmp_path / "run").progress["step"] > 20


@pytest.mark.slow
def test_killed_at_random_the_run_ends_with_the_same_bits(tmp_path):
    chances = random.Random(0)
    settings = [*SMALL, "--steps", "120", "--set", "train.checkpoint_every=3"]
    command = [sys.executable, "-m", "inkling", "train", "digits", *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole = [*command, "--out", str(tmp_path / "whole")]
    subprocess.run(whole, check=True, capture_output=True, env=environment)
    kills = 0
    while not (tmp_path / "torn" / checkpoint.FILE).exists():
        torn = [*command, "--out", str(tmp_path / "torn"), "--resume"]
        with subprocess.Popen(torn, stderr=subprocess.DEVNULL, env=environment) as process:
            try:
                process.wait(2.0 + chances.random() * 1.5 if kills < 3 else 100)
                assert process.returncode == 0
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        for file in checkpoints(tmp_path / "torn"):
            checkpoint.read(file)  # none is ever unreadable
    assert kills
    assert same(*(tmp_path / name / checkpoint.FILE for name in ("whole", "torn")))


def test_changed_data_are_not_resumed_on(tiny, tmp_path):
    drive(override(tiny, [*LONG, "data.limit=9"]), tmp_path / "a", stop_at=8)
    stored = run_folder.newest(tmp_path / "a")
    other = override(stored.recipe, ["data.limit=10"])
    with pytest.raises(UserError, match="was training on 58 pictures, and now there are 68"):
        drive(other, tmp_path / "a", resume=stored)


def written(folder, seed, count=48):
    """A folder of grey noise."""
    folder.mkdir()
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    for row, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{row:02d}.png")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run on a folder of pictures that was stopped on the way."""
    place = tmp_path_factory.mktemp("own")
    written(place / "photos", 0)
    settings = ["data.validation=8", "train.steps=8", "train.batch=8", "train.previews=1"]
    with chdir(place):
        recipe = auto_recipe.resolve("photos", settings)
        drive(recipe, place / "run", stop_at=3)
    return place


def test_where_data_are_is_stored_absolute(own):
    assert run_folder.recipe_of(own / "run").data.path == str(own / "photos")
    with chdir(own):
        recipe = auto_recipe.resolve("digits", ["data.path=x", "data.codec=runs/codec"])
        assert recipe.data.path == str(own / "x")
        assert recipe.data.codec == str(own / "runs" / "codec")
        assert auto_recipe.placed(recipe) == recipe
    with chdir(own.parent):
        asked = Asked(str(own / "photos"))
        stored = to_resume(copied(own / "run", own.parent / "elsewhere"), asked)
        assert stored.recipe.data.path == str(own / "photos")


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("./moved", []),
        ("photos", ["data.path=moved"]),
        ("./photos", ["data.path=moved", "train.steps=8"]),
    ],
)
def test_moved_data_are_resumed_on(own, tmp_path, target, settings):
    out = copied(own / "run", tmp_path)
    shutil.copytree(own / "photos", tmp_path / "moved")
    with chdir(tmp_path):
        stored = to_resume(out, Asked(target, settings))
    assert stored.recipe.data.path == str(tmp_path / "moved")
    assert drive(stored.recipe, out, resume=stored).progress.step == 8
    assert run_folder.recipe_of(out).data.path == str(tmp_path / "moved")


def test_exchanged_pictures_are_not_resumed_on(own, tmp_path):
    out = copied(own / "run", tmp_path)
    written(tmp_path / "other", 1)
    stored = to_resume(out, Asked("photos", [f"data.path={tmp_path / 'other'}"]))
    with pytest.raises(UserError, match="40 pictures as before, but not those"):
        drive(stored.recipe, out, resume=stored)
    unknown = stored._replace(card=msgspec.structs.replace(stored.card, fingerprint=""))
    assert drive(stored.recipe, out, resume=unknown).progress.step == 8


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked("digits"), "of photos and cannot go on as digits"),
        (Asked("hub:some/photos"), "of photos and cannot go on as hub:some/photos"),
        (Asked("clip-photos"), "of photos and cannot go on as clip-photos"),
        (Asked("photos", small=True), "was not started with --small"),
        (Asked("photos", start_from=Path("x")), "--from x starts a new run"),
        (Asked("photos", ["train.lr=0.5", "train.steps=8"]), r"other settings than train.lr=0.5;"),
    ],
)
def test_arguments_that_contradict_the_run_are_refused(own, asked, says):
    with chdir(own), pytest.raises(UserError, match=says):
        to_resume(own / "run", asked)


def test_what_a_recipe_leaves_open_may_be_said_again(own):
    """A run has made these choices, and asking for them contradicts nothing."""
    again = ["diffusion.noise.name=auto", "diffusion.sigma_data=0", "train.fit_budget=true"]
    with chdir(own):
        stored = to_resume(own / "run", Asked("photos", again))
        assert stored.recipe.diffusion.noise.name == "lognormal"
        with pytest.raises(UserError, match=r"other settings than diffusion\.noise\.name=cosine"):
            to_resume(own / "run", Asked("photos", ["diffusion.noise.name=cosine"]))


def test_files_that_no_run_wrote_are_left_alone(tmp_path):
    (tmp_path / "recipe.json").write_text('{"flour": 500}')
    (tmp_path / "metrics.jsonl").write_text("mine")
    (tmp_path / ".notes.partial").write_text("mine")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"recipe\.json was not written by a run of inkling"):
        to_restart(tmp_path, Asked("digits"))
    assert "already holds a run" in refuses("train", "digits", "--out", tmp_path)
    assert "not written by a run" in refuses("train", "digits", "--out", tmp_path, "--resume")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_temporary_files_of_others_are_left_alone(tiny, tmp_path):
    (tmp_path / ".mine").mkdir()
    mine = [tmp_path / ".a.partial", tmp_path / ".mine" / f".inkling-{DEAD}-0123abcd.partial"]
    for file in mine:
        file.write_text("mine")
    drive(tiny, tmp_path)
    assert all(file.exists() for file in mine)


def test_a_folder_of_other_things_is_no_run_folder(tiny, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty and holds no run \(notes.txt is in it\)"):
        drive(tiny, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_settings_that_a_file_does_not_give_back_are_refused_before_training(tiny, tmp_path):
    """Values that a program made; those of a command line are refused where they come in."""
    replace = msgspec.structs.replace
    infinite = replace(tiny, sample=replace(tiny.sample, interval=(0.0, float("inf"))))
    with pytest.raises(UserError, match=r"cannot be stored in recipe.json and read back"):
        drive(infinite, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_odd_lines_of_metrics_are_passed_over(tmp_path):
    good = {"step": 1, "total": None, "loss": 1.0, "grad_norm": 1.0}
    good |= {"images_per_second": 1.0, "seconds": 1.0}
    odd = ["[]", "5", "null", "{}", '{"step": 3, "lo', json.dumps(good | {"loss": "low"})]
    lines = [*odd[:3], json.dumps(good), *odd[3:]]
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(lines).encode() + b"\n\xff")
    assert read_metrics(tmp_path) == [good]


def test_files_are_read_and_written_as_utf_8(own, tmp_path):
    out = copied(own / "run", tmp_path)
    stored = run_folder.newest(out)
    data = msgspec.structs.replace(stored.recipe.data, caption="Zeichnung von {}, schön")
    text = to_json(msgspec.structs.replace(stored.recipe, data=data))
    (out / "recipe.json").write_bytes(text.encode())
    code = (
        f"from inkling.runs.run_folder import *; print(ascii(recipe_of(Path({str(out)!r})).data))"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert b"sch\\xf6n" in done.stdout, done.stderr


def test_checkpoints_may_be_read_by_whom_the_umask_allows(own):
    expected = 0o666 & ~umask()
    files = [*checkpoints(own / "run"), own / "run" / "recipe.json"]
    assert {file.stat().st_mode & 0o777 for file in files} == {expected}


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


SLOW_DATA = """
import time
from inkling.cli import main
from inkling.runs import session

def fit(*_, **__):
    print("preparing", flush=True)
    time.sleep(60)
    yield

session.fit = fit
main(["train", "digits", "--out", "run"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_stops_at_once_and_leaves_nothing(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_DATA],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "preparing\n"
        begun = time.monotonic()
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode == 128 + number
    assert error.strip().endswith("stopped before the first step")
    assert not [*tmp_path.iterdir()]


def test_a_state_says_what_it_needs(tiny):
    *_, last = fit(tiny, device_name="cpu")
    assert isinstance(last.state, TrainState)
    progress = last.state.training_checkpoint().progress
    assert progress["step"] == 4
    assert progress["budget"]["total"] == 4


def test_pictures_that_vanish_during_training_are_not_missed(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    for row in range(40):
        Image.effect_noise((8, 8), 60).save(tmp_path / "pictures" / f"{row}.png")
    settings = ["data.name=folder", f"data.path={tmp_path / 'pictures'}", "data.validation=8"]
    for update in run(override(tiny, [*LONG, *settings]), tmp_path / "a", device_name="cpu"):
        if update.progress.step == 3:
            shutil.rmtree(tmp_path / "pictures")
            shutil.rmtree(tmp_path / "cache")
    assert update.progress.step == 30


def test_a_folder_that_cannot_be_written_is_one_sentence(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot make the run folder"):
        drive(tiny, tmp_path / "file" / "run")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_fills_up_ends_the_run_with_a_sentence_and_it_goes_on(small_disk):
    out = small_disk / "run"
    arguments = ("train", "digits", "--out", out, *SMALL, "--steps", 40)
    settings = ("--set", "train.checkpoint_every=2", "--set", "train.keep=20")
    said = refuses(*arguments, *settings)
    assert "No space left on device" in said
    assert "make room" in said
    stored = run_folder.newest(out)
    assert stored.progress["step"] % 2 == 0
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    _, error = inkling(*arguments, *settings, "--resume")
    assert f"step {stored.progress['step']}" in error
    assert "step 40/40" in error
