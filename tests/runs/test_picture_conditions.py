"""Runs whose conditions are pictures, from training to scores."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.data import Data, read_pictures
from inkling.data.pictures import picture_name
from inkling.errors import UserError
from inkling.evaluate.evaluation import Evaluation
from inkling.evaluate.samples import plan
from inkling.inspect.plots import PLOTS
from inkling.models import checkpoint
from inkling.runs import run_folder
from inkling.runs.preview import PREVIEWS, by_prompt, prompts_for
from inkling.sampling.prompts import between
from inkling.training.posthoc_ema import compare_lengths
from inkling.training.prepare import prepare
from tests.cli.test_cli import SMALL, inkling, refuses
from tests.runs.test_resume import LONG, drive, same


def settings(model):
    return ["text.encoder=vision", f"text.model={model}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, vision_model):
    out = tmp_path_factory.mktemp("runs") / "variations"
    given = [part for each in settings(vision_model) for part in ("--set", each)]
    said, begun = inkling("train", "digits", "--out", out, *SMALL, *given, "--steps", 12)
    assert "--like PICTURE" in said
    assert "(the vision encoder stays frozen)" in begun
    return out


@pytest.fixture(scope="module")
def unseen():
    return read_pictures(Data(name="digits"), "test")


@pytest.fixture
def file(tmp_path, unseen):
    """A picture that training never saw, four times as large."""
    pixels = unseen.pixels()[3, 0].numpy()
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / "it.png")
    return tmp_path / "it.png"


def test_each_picture_is_its_own_condition(tiny, vision_model):
    recipe = override(tiny, settings(vision_model))
    state = prepare(recipe, device_name="cpu")
    pictures = state.pictures
    assert pictures.names()[5] == picture_name(pictures.at(torch.tensor([5]))[0])
    assert len(pictures.groups) == len(set(pictures.names()))
    assert pictures.describe().endswith("each its own condition")
    assert state.card.conditional
    assert not state.card.classes
    text = state.model.text
    cond = text(text.tokenize(pictures.names()[:8]))
    assert torch.cdist(cond.vector, cond.vector).add(torch.eye(8)).min() > 0
    assert cond.tokens.shape[1] == 0, "patch tokens are large, and no one reads them"
    assert set(prompts_for(state)) <= set(state.validation.names()), "held out of training"
    rows = PREVIEWS[type(recipe)].draw(state, state.model, lambda: False)
    shown = dict(zip(state.validation.names(), state.validation.pixels().numpy(), strict=True))
    for name, images in rows[:-1]:
        assert np.array_equal(images[0], shown[name]), "the picture itself goes first"
    assert rows[-1][0] == "(no prompt)"


def test_patch_tokens_are_read_where_the_network_attends_to_them(tiny, vision_model):
    attention = ["net.cross_attention=true", "net.attention=false,true"]
    for pooled in ("true", "false"):
        given = [*settings(vision_model), *attention, f"text.pooled={pooled}"]
        state = prepare(override(tiny, given), device_name="cpu")
        text = state.model.text
        cond = text(text.tokenize([*state.pictures.names()[:2], ""]))
        assert cond.mask.sum(1).tolist() == [5, 5, 1]
        assert bool(cond.vector[0].any()) == (pooled == "true")


def test_two_pictures_of_the_same_pixels_are_one_condition(pictures):
    twice = replace(pictures, images=pictures.images[torch.arange(40) // 2])
    found = twice.as_conditions()
    assert len(found.groups) == 20
    assert found.group.tolist() == [row // 2 for row in range(40)]
    assert found.take(torch.tensor([7])).names() == [found.groups[3][0]]
    assert found.examples(10).tolist() == [*range(10)], "one of each class"
    assert replace(found, labels=torch.full((40,), -1)).examples(4).tolist() == [0, 10, 20, 30]


def test_a_run_resumes_bit_for_bit(tiny, tmp_path, vision_model):
    recipe = override(tiny, [*LONG, "data.limit=8", *settings(vision_model)])
    drive(recipe, tmp_path / "whole")
    assert drive(recipe, tmp_path / "torn", stop_at=12).stopped
    stored = run_folder.newest(tmp_path / "torn")
    drive(stored.recipe, tmp_path / "torn", resume=stored)
    assert same(*(tmp_path / name / checkpoint.FILE for name in ("whole", "torn")))


def test_a_run_starts_from_another_of_the_same_encoder_only(run, tiny, vision_model):
    recipe = override(tiny, settings(vision_model))
    prepare(recipe, device_name="cpu", start_from=run)
    with pytest.raises(UserError, match=r"text\.encoder=vision and cannot start .*=transformer"):
        prepare(tiny, device_name="cpu", start_from=run)


def test_it_samples_like_a_file_without_its_training_pictures(run, tmp_path, file, monkeypatch):
    shutil.copy(run / checkpoint.FILE, tmp_path / "alone.safetensors")
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "empty"))
    out = tmp_path / "a.png"
    inkling("sample", tmp_path / "alone.safetensors", "--like", file, "--count", 3, "--out", out)
    with Image.open(out) as sheet:
        assert sheet.width > 4 * 64, "the picture itself, and three like it"
    npz = tmp_path / "a.npz"
    inkling("sample", run, "--like", file, "--like", file, "--count", 2, "--out", npz)
    with np.load(npz) as stored:
        assert stored["images"].shape == (4, 8, 8, 1)
        assert stored["prompts"].tolist() == ["like it.png"] * 4
    inkling("sample", run, "--like", file, "--like", file, "--between", 3, "--out", out)
    inkling("sample", run, "--count", 2, "--out", out)


def test_a_picture_of_another_size_than_the_samples_is_left_out_of_their_row():
    one, many = np.zeros((1, 8, 8), np.uint8), np.ones((4, 1, 8, 8), np.uint8)
    assert [len(images) for _, images in by_prompt(many, ["a", "b"], [one, None])] == [3, 2]
    larger = np.ones((4, 1, 16, 16), np.uint8)
    assert [len(images) for _, images in by_prompt(larger, ["a"], [one])] == [4]


def test_a_path_and_its_pixels_are_the_same_prompt(run, file, unseen):
    pipeline = TextToImage.load(run, "cpu")
    pixels = pipeline.picture(file)
    assert pixels.shape == (1, 8, 8)
    expected = pipeline([file] * 2, seeds=[0, 1], steps=2)
    for prompts in ([pixels] * 2, [pixels.numpy()] * 2, torch.stack([pixels] * 2)):
        assert torch.equal(pipeline(prompts, seeds=[0, 1], steps=2), expected)
    (mixed,) = pipeline.named([{file: 0.25, pixels: 0.75}])
    assert mixed == {picture_name(pixels): 1.0}, "the weights of one picture are summed"
    other = unseen.pixels()[0]
    assert not torch.equal(pipeline([other] * 2, seeds=[0, 1], steps=2), expected)
    assert len(pipeline(between(file, other, 3), seeds=[0] * 3, steps=2)) == 3
    colour = torch.cat([pixels] * 3)
    assert torch.equal(pipeline.picture(colour), pixels)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (
            "a cat",
            r"reads pictures, and 'a cat' is a text; sample with a picture \(--like FILE",
        ),
        (7, r"this model reads pictures, and '7' is a text"),
        (
            np.zeros((1, 8, 8)),
            r"is uint8 \[C, H, W\] with 1 or 3 channels, and this one is float64",
        ),
        (torch.zeros(8, 8, dtype=torch.uint8), r"this one is uint8 \[8, 8\]"),
    ],
)
def test_what_is_no_picture_is_refused(run, prompt, words):
    pipeline = TextToImage.load(run, "cpu")
    with pytest.raises(UserError, match=words):
        pipeline([prompt], seeds=[0])
    with pytest.raises(UserError, match=r"reads pictures, and 'eight' is a text"):
        pipeline.settings(negative_prompt="eight", scale=2.0)


def test_files_that_are_no_pictures_are_refused(run, tmp_path, file):
    (tmp_path / "text.png").write_text("no picture")
    out = tmp_path / "a.png"
    for name, words in (
        ("none.png", "there is no picture"),
        ("text.png", "not a picture in a format that inkling reads"),
        (".", "not a regular file"),
    ):
        assert words in refuses("sample", run, "--like", tmp_path / name, "--out", out)
    assert "not both" in refuses("sample", run, "three", "--like", file, "--out", out)
    assert "not both" in refuses("plot", "grid", run, "--prompt", "three", "--like", file)
    assert not out.exists()


def test_a_model_that_reads_text_refuses_pictures(tiny, tmp_path, file):
    drive(tiny, tmp_path / "text")
    words = refuses("sample", tmp_path / "text", "--like", file)
    assert "this model reads text, and" in words
    assert "it.png is a picture; give the prompt as text, or train" in words


def test_figures_show_pictures_that_were_held_out(run, tmp_path, file):
    kinds = ("grid", "strip", "progression", "between", "path", "nearest", "forward")
    for kind in kinds:
        few = ("--steps", 2) if PLOTS[kind].samples else ()
        inkling("plot", kind, run, *few, "--out", tmp_path / f"{kind}.png")
    inkling("plot", "animation", run, "--steps", 2, "--out", tmp_path / "animation.gif")
    inkling("plot", "grid", run, "--like", file, "--steps", 2, "--out", tmp_path / "one.png")
    with Image.open(tmp_path / "grid.png") as ten, Image.open(tmp_path / "one.png") as one:
        assert ten.height > 5 * one.height
        assert ten.width > 11 * 56, "each row begins with its picture"
    assert "reads no captions" in refuses("plot", "attention", run)
    assert "'two' is a text" in refuses("plot", "grid", run, "--prompt", "two")


def test_scores_prompt_with_pictures_of_the_reference(run, unseen):
    said, _ = inkling("evaluate", run, "--n", 60, "--no-cas")
    assert "prompt accuracy" in said
    assert "pictures of the reference in turn" in said
    chosen = Evaluation(run, 60, device="cpu")
    labels = dict(zip(unseen.as_conditions().names(), unseen.labels.tolist(), strict=True))
    assert [labels[name] for name in chosen.plan.prompts] == list(chosen.plan.prompted)
    balanced = Evaluation(run, 60, device="cpu", balanced=True)
    assert np.bincount(balanced.prompted).tolist() == [6] * 10
    assert "prompts of this model are pictures" in refuses("evaluate", run, "--clip", "nowhere")
    assert json.loads(next((run / "evaluation").glob("scores-judge*")).read_text())["details"][
        "confusion"
    ]


def test_pictures_without_classes_are_prompts_of_scores_too(run, unseen):
    pipeline = TextToImage.load(run, "cpu")
    unlabelled = replace(unseen, classes=(), labels=torch.full((len(unseen),), -1))
    chosen = plan(pipeline, unlabelled, pipeline.settings())
    assert len(chosen.prompts) == len(unseen)
    assert not chosen.prompted


def test_pictures_without_captions_are_conditions_too(tmp_path, vision_model, file):
    folder = tmp_path / "own"
    folder.mkdir()
    pixels = read_pictures(Data(name="digits")).pixels()[:60, 0].numpy()
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{number}.png")
    given = [part for each in settings(vision_model) for part in ("--set", each)]
    given += ["--set", "data.validation=6", "--set", "net.template=0"]
    out = tmp_path / "run"
    inkling("train", folder, "--out", out, *SMALL, *given, "--steps", 4)
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["sample"]["scale"] > 1, "it is guided, as a model with captions is"
    pipeline = TextToImage.load(out, "cpu")
    assert len(pipeline([file], seeds=[0], steps=2)) == 1


def test_lengths_of_the_average_are_compared_on_pictures(tiny, tmp_path, vision_model):
    given = [*settings(vision_model), "train.snapshots=3", "train.steps=12"]
    drive(override(tiny, given), tmp_path / "run")
    assert list(compare_lengths(tmp_path / "run", (0.1,), "cpu"))
