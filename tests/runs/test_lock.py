"""One process at a time trains into a folder."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.runs.lock import free_folder, locked
from inkling.runs.session import run

HOLD = """
import sys, time
from pathlib import Path
from inkling.runs.lock import locked
with locked(Path(sys.argv[1])):
    Path(sys.argv[1], "recipe.json").write_text("{}")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a run folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_the_name_of_the_first(tiny, tmp_path, holder):
    out = tmp_path / "run"
    named = rf"process {holder.pid} on {platform.node()} \(since 2.*\) is training in"
    with pytest.raises(UserError, match=named):
        next(run(tiny, out, device_name="cpu"))
    assert (out / "recipe.json").read_text() == "{}"
    holder.kill()
    holder.wait()
    with locked(out):  # the operating system ended it
        assert json.loads((out / ".lock-holder").read_text())["process"] == os.getpid()


def test_a_process_may_hold_a_folder_several_times(tmp_path):
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()


def test_a_folder_that_nothing_was_written_into_goes_unless_it_was_there(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(KeyboardInterrupt), locked(tmp_path / name):
            raise KeyboardInterrupt
    assert (tmp_path / "mine").is_dir()
    assert not (tmp_path / "new").exists()
    made = free_folder(tmp_path, "run")
    with pytest.raises(KeyboardInterrupt), locked(made):
        raise KeyboardInterrupt
    assert not made.exists()


def test_what_is_wrong_with_a_run_leaves_no_folder(tiny, tmp_path):
    with pytest.raises(UserError, match="nothing of"):
        next(run(override(tiny, ["data.validation=5000"]), tmp_path / "a", device_name="cpu"))
    assert not [*tmp_path.iterdir()]


def test_runs_that_start_at_one_moment_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: free_folder(tmp_path / "runs", "digits"), range(24))]
    assert len({*found}) == 24
    assert tmp_path / "runs" / "digits" in found


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot make the run folder .*Not a directory"):
        free_folder(tmp_path / "file", "digits")
