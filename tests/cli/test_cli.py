"""The command line as a user meets it: what it prints, what it writes, how it refuses."""

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest
from PIL import Image

from inkling.cli import cli, main
from inkling.cli.options import Verb
from inkling.cli.training import assignments_of
from inkling.config.recipes import DIFFERENCES
from inkling.errors import UserError
from inkling.sampling.pipeline import TextToImage
from tests.conftest import TINY

SMALL = [part for setting in TINY for part in ("--set", setting)]


def inkling(*arguments, cwd=".", code=0):
    """Run the command in this process; return (stdout, stderr)."""
    out, error = StringIO(), StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(error), pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    assert end.value.code == code, error.getvalue()
    return out.getvalue(), error.getvalue()


def refuses(*arguments, cwd="."):
    """The one sentence with which a mistake is refused."""
    out, error = inkling(*arguments, cwd=cwd, code=2)
    assert not out
    return error.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    out, error = inkling("train", "digits", "--out", folder, *SMALL, "--steps", 12)
    assert f"{folder / 'model.safetensors'}" in out
    assert "digits on CPU" in error
    assert "step 12/12" in error
    return folder


def test_recipes_are_listed_and_printed_whole():
    out, _ = inkling("recipes")
    assert out.startswith("digits ")
    assert "mnist " in out
    assert json.loads(inkling("recipes", "mnist", "--json")[0])["net"]["patch"] == 2
    whole, _ = inkling("recipes", "mnist-text")
    assert re.search(r"train\.lr +2e-0?6 +as the source states", whole)
    assert "changed for the trial" in inkling("recipes", "mnist-text", "--small")[0]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_reproduction_says_where_it_differs_from_its_source(name):
    out, _ = inkling("recipes", name)
    said = out.partition("\nwhere it differs from the source:\n")[2].splitlines()
    assert said == [f"- {sentence}" for sentence in DIFFERENCES[name]]
    assert all(len(sentence.split()) > 4 for sentence in said)
    assert "where it differs" not in inkling("recipes", "mnist")[0]


def test_a_run_folder_holds_what_the_manual_says(run):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["diffusion"]["sigma_data"] > 0  # measured, and written down
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [10, 12]
    assert {"loss", "lr", "images_per_second", "seconds", "grad_norm"} <= records[0].keys()
    assert records[-1]["validation_loss"] > 0
    with Image.open(run / "samples" / "step-000012.png") as sheet:
        assert sheet.width > 300


def test_sampling_writes_a_sheet_and_arrays(run, tmp_path):
    png, npz = tmp_path / "a.png", tmp_path / "b" / "b.npz"
    out, said = inkling("sample", run, "seven", "a handwritten three", "--count", 3, "--out", png)
    assert "two calls a solver evaluation" in said
    assert out.strip() == str(png)
    with Image.open(png) as sheet:
        assert sheet.width > sheet.height
    inkling("sample", run, "seven", "", "two", "--count", 2, "--seed", 5, "--out", npz)
    with np.load(npz, allow_pickle=False) as stored:
        assert stored["images"].shape == (6, 8, 8, 1)
        assert stored["images"].dtype == np.uint8
        assert stored["prompts"].tolist() == ["seven", "seven", "", "", "two", "two"]
        assert stored["seeds"].tolist() == [5, 6, 7, 8, 9, 10]


def test_a_second_sheet_does_not_replace_the_first(run):
    sheets = [inkling("sample", run, word, "--count", 1)[0].strip() for word in ("two", "six")]
    assert sheets == [str(run / "samples.png"), str(run / "samples-2.png")]
    (run / "samples.png").unlink()
    assert inkling("sample", run, "--count", 1)[0].strip() == str(run / "samples.png")
    assert sorted(run.glob("samples-*")) == [run / "samples-2.png"]


def test_fresh_noise_in_the_steps_of_ddim(run, tmp_path):
    arrays = []
    for name, options in (("a", ("ddim",)), ("b", ("ddim", "--eta", 1)), ("c", ("ddpm",))):
        out = tmp_path / f"{name}.npz"
        inkling("sample", run, "two", "--count", 2, "--out", out, "--sampler", *options)
        with np.load(out) as stored:
            arrays.append(stored["images"])
    assert (arrays[1] == arrays[2]).all()
    assert (arrays[1] != arrays[0]).any()


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("sample", "nowhere", "--steps", 5, "--steps", 10), "--steps is given 2 times"),
        (("train", "digits", "--budget=5m", "--budget", "90s"), "--budget is given 2 times"),
        (("plot", "grid", "nowhere", "--clip", "a", "--clip", "b"), "--clip is given 2 times"),
        (("evaluate", "nowhere", *["--seed", 1] * 3), "--seed is given 3 times"),
        (("evaluate", "nowhere", "--cas", "--no-cas"), "--cas is given 2 times"),
    ],
)
def test_an_option_that_takes_one_value_is_given_once(arguments, option):
    assert refuses(*arguments) == f"error: {option}; give one of them"


def test_what_may_be_given_twice_is():
    assert "there is no checkpoint" in refuses("sample", "x", "--mix", "a=1", "--mix", "b=1")
    says = refuses("train", "digits", "--small", "--small", "--set", "train.seed=1", "--set", "a=1")
    assert "there is no setting 'a'" in says


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("train", "digits", "--lr", "1e-3"), "--set train.lr=..."),
        (("train", "digits", "--batch-size=8"), "--set train.batch=..."),
        (("train", "digits", "--max_steps", "8"), "--steps"),
        (("sample", "x", "--guidance-scale", "2"), "--scale"),
        (("sample", "x", "--num_inference_steps", "9"), "--steps"),
    ],
)
def test_an_option_that_is_a_setting_is_answered_with_it(arguments, meant):
    assert re.search(
        rf"no such option.*{arguments[2].split('=')[0]}.*{re.escape(meant)}", refuses(*arguments)
    )


@pytest.mark.parametrize("verb", cli.commands.values(), ids=lambda verb: verb.name)
def test_every_verb_refuses_options_given_twice(verb):
    assert isinstance(verb, Verb)


def test_no_prompt_draws_without_one(run, tmp_path):
    _, said = inkling(
        "sample", run, "--count", 4, "--out", tmp_path / "any.npz", "--weights", "raw"
    )
    assert "one call a solver evaluation" in said  # nothing to guide towards
    with np.load(tmp_path / "any.npz", allow_pickle=False) as stored:
        assert stored["prompts"].tolist() == [""] * 4


def test_prompts_come_from_a_file_too(run, tmp_path):
    (tmp_path / "prompts.txt").write_text("\ufeffseven\u2028!\n\n  two  \n", "utf-8")
    arguments = ("--prompts-file", tmp_path / "prompts.txt", "--count", 1)
    inkling("sample", run, *arguments, "--out", tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as stored:
        assert stored["prompts"].tolist() == ["seven\u2028!", "two"]


def test_an_unknown_word_is_a_warning(run, tmp_path):
    _, error = inkling("sample", run, "zebra", "--count", 1, "--out", tmp_path / "z.png")
    assert "warning: this model never saw 'zebra'" in error


def test_training_starts_from_another_run(run, tmp_path):
    inkling("train", "digits", "--from", run, "--out", tmp_path / "on", *SMALL, "--steps", 2)
    assert (tmp_path / "on" / "model.safetensors").exists()


def test_the_default_folder_is_the_first_free_one(tmp_path):
    for expected in ("runs/digits", "runs/digits-2"):
        out, _ = inkling("train", "digits", *SMALL, "--steps", 1, cwd=tmp_path)
        assert f"{expected}/model.safetensors" in out


def test_data_says_what_it_sees_and_shows_it(tmp_path):
    out, _ = inkling("data", "digits", cwd=tmp_path)
    assert out.startswith("pictures    1,500\n")
    assert out.strip().endswith("runs/data-digits.png")
    with Image.open(tmp_path / "runs" / "data-digits.png") as sheet:
        assert sheet.width > 400
    _, error = inkling("data", "digits", "--out", "/proc/x.png", code=2)
    assert error.startswith("error: cannot write /proc/x.png")


def test_what_is_written_into_the_pictures_is_never_read_as_one(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for row in range(6):
            Image.effect_noise((8, 8), 60).save(tmp_path / name / f"{row}.png")
    inkling("data", ".", cwd=tmp_path)
    inkling("train", ".", "--set", "train.batch=2", "--steps", 1, cwd=tmp_path)
    out, _ = inkling("data", ".", cwd=tmp_path)
    assert "layout      12 pictures in 2 class folders; left aside: runs/\n" in out


def test_own_pictures_train_with_no_further_option(tmp_path):
    (tmp_path / "photographs").mkdir()
    for row in range(6):
        Image.effect_noise((80, 50), 60).save(tmp_path / "photographs" / f"{row}.jpg")
    (tmp_path / "photographs" / "bad.jpg").write_bytes(b"")
    settings = ["--set", "data.unreadable=0.5", "--set", "train.batch=2"]
    _, error = inkling("train", "./photographs", *settings, "--steps", 1, cwd=tmp_path)
    assert "chosen from the pictures: size theirs, net.widths=" in error
    assert "6 pictures, 48x48, grey, no captions" in error
    assert "warning: 1 problems in the data, the first: bad.jpg: not a picture" in error
    assert (tmp_path / "runs" / "photographs" / "model.safetensors").exists()


def test_the_installed_command_refuses_with_exit_code_two_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "inkling", "sample", "nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: there is no checkpoint at nowhere")
    assert "Traceback" not in done.stderr


def test_help_needs_no_torch():
    code = "import sys, inkling.cli; sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["train", "mnits"],
            "there is no recipe, data set or folder 'mnits'; did you mean 'mnist'",
        ),
        (["data", "cifar"], "did you mean 'cifar10'"),
        (["data", "mnist", "--data", "nowhere"], "there is no folder nowhere"),
        (["data", "digits", "--set", "data.sise=8"], "did you mean 'data.size'"),
        (["train", "digits", "--set", "train.lrr=1"], "did you mean 'train.lr'?"),
        (["train", "digits", "--set", "train.lr=-1"], "train.lr=-1: expected a number > 0"),
        (["train", "digits", "--set", "net.condition=x"], "choose among film, add"),
        (["train", "digits", "--steps", "0"], "0 is not in the range x>=1"),
        (["train", "digits", "--steps", "many"], "'many' is no whole number"),
        (["train", "digits", "--budget", "soon"], "'soon' is no time; write 90s, 5m or 1h30m"),
        (["train", "digits", "--budget", "0s"], "'0s' is no time"),
        (["train", "digits", "--budget", "1m", "--steps", "5"], "both end the run; give one"),
        (["train", "digits", "--data", "."], "error: the digits come with scikit-learn"),
        (["train", "mnist", "--data", "nowhere"], "/nowhere; name one with the files of 'mnist'"),
        (["train", "digits", "--device", "tpu"], "there is no device 'tpu'"),
        (["train", "digits", "--from", "nowhere"], "there is no checkpoint at nowhere"),
        (["train", "digits", "--form", "x"], "no such option '--form'"),
        (["tarin", "digits"], "no such command 'tarin'"),
        (["recipes", "digit"], "did you mean 'digits'?"),
        (["sample", "nowhere", "seven"], "there is no checkpoint at nowhere"),
        (["data", "hub:"], "hub: needs the id of a data set"),
        (["data", "hub::x"], "needs"),
        (["data", "x" * 5000], "there is no recipe, data set or folder"),
        (["data", os.fsdecode(b"\xff")], "there is no recipe, data set or folder"),
        (["train", "judge-mnits", "--steps", "2"], "did you mean 'mnist'?"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(arguments, says, tmp_path):
    assert says in refuses(*arguments, cwd=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sampler", "eulr"], "error: there is no sampler 'eulr'"),
        (["--count", "0"], "0 is not in the range x>=1"),
        (["--steps", "0"], "0 is not in the range x>=1"),
        (["--sampler", "heun", "--eta", "0.5"], "eta=0.5 adds fresh noise to the steps of ddim"),
        (["--eta", "2"], "2.0 is not in the range 0<=x<=1"),
        (["--mix", "zero:0.5"], "such as zero=0.5,eight=0.5; got 'zero:0.5'"),
        (["--mix", "zero=0.5,"], "such as zero=0.5,eight=0.5; got 'zero=0.5,'"),
        (["--mix", "zero=nan"], "such as zero=0.5,eight=0.5; got 'zero=nan'"),
        (["--mix", "zero=half"], "such as zero=0.5,eight=0.5; got 'zero=half'"),
        (["--scale", "-1"], "scale=-1.0: expected a number >= 0"),
        (["--out", "x.gif"], "should end in .png (a sheet) or .npz (arrays)"),
        (["--prompts-file", "none.txt"], "cannot read prompts from none.txt"),
        (["x" * 10_000], "10000 characters"),
    ],
)
def test_sampling_mistakes_are_one_sentence(run, arguments, says, tmp_path):
    assert says in refuses("sample", run, "seven", *arguments, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_a_run_is_refused_untouched(run):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    says = refuses("train", "digits", "--out", run, *SMALL)
    assert "already holds a run; nothing was changed" in says
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_checkpoint_that_is_cut_short_is_refused(run, tmp_path):
    raw = (run / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(raw[:-100])
    assert "truncated, damaged or not an inkling checkpoint" in refuses("sample", tmp_path, "two")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "nowhere", "--out", "/proc/x.png"),
        ("sample", "nowhere", "--out", "/proc/x.npz"),
        ("evaluate", "nowhere", "--out", "/proc/x.json"),
        ("report", "nowhere", "--out", "/proc/x.html"),
        ("ema", "nowhere", "--out", "/proc/x.safetensors"),
        ("plot", "grid", "nowhere", "--out", "/proc/x.png"),
        ("plot", "animation", "nowhere", "--out", "/proc/x.gif"),
        ("verify", "--out", "/proc/x.png"),
        ("data", "mnist", "--out", "/proc/x.png"),
        ("train", "mnist", "--out", "/proc/x"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work_begins(arguments):
    assert re.search(r"cannot (write|make the run folder) /proc/x", refuses(*arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("data", "digits", "--out", "x.svg"), ".svg is no picture format"),
        (("verify", "--out", "x.foo"), ".foo is no picture format"),
        (("plot", "grid", "nowhere", "--out", "x.svg"), ".svg is no picture format"),
        (("plot", "animation", "nowhere", "--out", "x.png"), "is no animation"),
        (("plot", "all", "nowhere", "--out", "x.png"), "all figures go into RUN/plots"),
    ],
)
def test_formats_are_refused_before_the_work_begins(arguments, says, tmp_path):
    assert says in refuses(*arguments, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", " ", "a" * 300])
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "digits", "--out"),
        ("train", "mnist", "--data"),
        ("train", "digits", "--from"),
        ("train",),
        ("sample", "nowhere", "--out"),
        ("sample", "nowhere", "--prompts-file"),
        ("sample",),
        ("evaluate",),
        ("evaluate", "nowhere", "--compare"),
        ("report",),
        ("watch",),
        ("ema",),
        ("plot", "grid"),
        ("data",),
        ("doctor",),
        ("verify", "--out"),
    ],
)
def test_names_that_no_file_can_have_are_refused(arguments, name, tmp_path):
    says = refuses(*arguments, name, cwd=tmp_path)
    assert re.search(
        "name is empty|the name of what to read is empty|name too long|there is no", says
    )
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_prompt_is_refused(run, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n \n")
    says = refuses("sample", run, "--prompts-file", tmp_path / "prompts.txt", cwd=tmp_path)
    assert "there is no prompt in" in says


@pytest.mark.parametrize("every", ["0", "0s", "0m00s"])
def test_checkpoints_without_an_interval_are_refused(every, tmp_path):
    setting = f"train.checkpoint_every={every}"
    says = refuses("train", "digits", "--set", setting, cwd=tmp_path)
    assert says.startswith(f"error: {setting} would never end writing; give steps")


@pytest.mark.parametrize("target", ["judge-shapes", "judge-coco", "judge-celeba"])
def test_a_judge_of_pictures_without_classes_is_refused_before_they_are_read(target, tmp_path):
    assert "have no classes for a judge to learn" in refuses("train", target, cwd=tmp_path)


def test_large_seeds_train_and_sample(tmp_path):
    out, npz = tmp_path / "run", tmp_path / "a.npz"
    inkling("train", "digits", "--out", out, *SMALL, "--seed", 2**62)
    inkling("sample", out, "--count", 2, "--seed", 2**62, "--out", npz)
    with np.load(npz) as stored:
        assert stored["seeds"].tolist() == [2**62, 2**62 + 1]
    assert "not in the range" in refuses("sample", out, "--seed", 2**62 + 1)
    says = refuses("train", "digits", "--set", f"train.seed={2**64}", "--out", tmp_path / "b")
    assert str(2**62) in says


def test_printed_commands_are_quoted_for_a_shell(tmp_path):
    for name in ("$(id)", "it's"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for row in range(12):
            picture = Image.effect_noise((16, 16), 60)
            picture.save(tmp_path / "my photos" / name / f"{row}.png")
    settings = ("--set", "train.batch=2", "--set", "train.previews=0", "--steps", 1)
    out, _ = inkling("train", "my photos", *settings, cwd=tmp_path)
    line = next(line for line in out.splitlines() if line.startswith("sample "))
    command = shlex.split(line.removeprefix("sample "))
    assert command[:2] == ["inkling", "sample"]
    assert command[2] == "runs/my photos"
    assert command[3] in ("$(id)", "it's")
    out, _ = inkling("train", "my photos", "--resume", cwd=tmp_path)
    assert "inkling train 'my photos' --from 'runs/my photos'" in out


def test_names_and_prompts_that_are_no_text_are_one_sentence(run, tmp_path):
    odd = os.fsdecode(b"nuk\xff")
    assert "cannot be a path" in refuses("train", "digits", "--out", tmp_path / odd)
    assert "is no valid text; type it in UTF-8" in refuses("sample", run, odd)


def test_a_run_folder_does_not_hide_a_class_of_the_data(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 40 * number).save(tmp_path / "data" / name / f"{number}.png")
    data = tmp_path / "data"
    said = refuses("train", data, "--out", data / "cat", *SMALL)
    assert "is not empty and holds no run" in said
    assert sorted(file.name for file in (data / "cat").iterdir()) == [f"{n}.png" for n in range(4)]


@pytest.mark.parametrize(
    "ends",
    [
        ("--epochs", 2, "--budget", "1m"),
        ("--steps", 5, "--epochs", 2),
        ("--epochs", 2, "--set", "train.budget=60"),
        ("--set", "train.steps=5", "--set", "train.epochs=1"),
    ],
)
def test_a_run_has_one_end(ends, tmp_path):
    says = refuses("train", "digits", *ends, cwd=tmp_path)
    assert says.endswith("both end the run; give one of them")
    assert not list(tmp_path.iterdir())


def test_what_is_given_takes_the_place_of_the_end_that_the_recipe_has():
    for given, left in (
        (["train.epochs=2"], ["train.epochs=2", "train.steps=0"]),
        (["train.budget=60"], ["train.budget=60", "train.steps=0", "train.epochs=0"]),
        (["train.steps=7"], ["train.steps=7"]),
        (["train.lr=1"], ["train.lr=1"]),
    ):
        ends = {"steps": None, "epochs": None, "budget": None}
        assert assignments_of(tuple(given), None, None, **ends) == left


def test_a_run_of_epochs_goes_on_with_the_same_command(tmp_path):
    settings = ["--set", "data.limit=16", "--set", "data.validation=0", "--out", tmp_path / "r"]
    small = [each for each in SMALL if each not in ("train.steps=4", "train.budget=0")]
    small = [part for setting in small if setting != "--set" for part in ("--set", setting)]
    command = ["train", "digits", *small, *settings, "--epochs", 2]
    inkling(*command)
    out, _ = inkling(*command, "--resume")
    assert "is finished" in out
    says = refuses("train", "digits", *small, *settings, "--epochs", 3, "--resume")
    assert "other settings than train.epochs=3; a resumed" in says


def test_a_scale_has_no_prompt_where_a_clip_reads_it(run):
    pipeline = TextToImage.load(run)
    with pytest.raises(UserError, match="a CLIP reads the prompt, so scale 3 has none"):
        pipeline.settings(guided=True, scale=3.0)


def test_epochs_are_passes_over_the_pictures(tmp_path):
    settings = ["--set", "data.limit=16", "--set", "data.validation=0", "--set", "train.steps=0"]
    _, error = inkling("train", "digits", *SMALL, *settings, "--epochs", 2, "--out", tmp_path / "r")
    assert "40/40" in error  # 160 pictures in batches of 8
