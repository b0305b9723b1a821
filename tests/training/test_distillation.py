"""A student of a tiny teacher: what it learns from, that it learns, and what it refuses."""

import shutil

import pytest
import torch
from msgspec.structs import replace

from inkling import TextToImage
from inkling.config.overrides import from_json, override, to_json
from inkling.config.sample import Distil, Sample
from inkling.core.jumps import state_at
from inkling.core.rng import ImageNoise
from inkling.core.samplers import towards
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.runs.student import recipe_for
from inkling.training.jump_table import JumpTable
from inkling.training.loop import fit
from inkling.training.objective import GradientStep
from inkling.training.prepare import prepare
from inkling.training.teacher import Pool
from tests.cli.test_cli import SMALL, inkling, refuses
from tests.runs.test_resume import drive

QUICK = ["train.steps=8", "train.budget=0", "train.batch=16", "train.warmup=1"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    inkling("train", "digits", "--out", out, *SMALL, "--steps", 30, "--set", "sample.steps=6")
    return out


@pytest.fixture
def recipe(teacher):
    return override(recipe_for(teacher, (1, 2, 3)), QUICK)


def weights(progress):
    return torch.cat([p.detach().flatten() for p in progress.state.learning])


def whole_batch(objective, step=0):
    size = objective.recipe.train.batch
    return objective.inputs(GradientStep(step, 0.0, size, slice(0, size)))


def test_every_jump_starts_and_lands_on_the_path_of_the_teacher(recipe):
    objective = prepare(recipe, device_name="cpu").objective
    noisy, target, sigma, ids, rows = whole_batch(objective)
    kept = objective._pool.rows(0, slice(0, 16))
    paths = objective.teacher.sample(kept.noise.float(), ids, rows).states
    ways = objective.recipe.distil.sigmas
    ends = {start: end for way in ways for start, end in zip(way, [*way[1:], 0.0], strict=True)}
    for row, start in enumerate(sigma.tolist()):
        level = min(ends, key=lambda each: abs(each - start))
        landed = towards(noisy[row], target[row], torch.tensor(start), torch.tensor(ends[level]))
        wanted = state_at(paths[row : row + 1], objective.teacher.sigmas.float(), ends[level])[0]
        torch.testing.assert_close(landed, wanted, rtol=0.01, atol=0.02)
        if level in {way[0] for way in ways}:  # sampling begins there, from noise alone
            torch.testing.assert_close(noisy[row], start * kept.noise[row].float())


def test_the_teacher_samples_as_the_pipeline_does(recipe, teacher):
    objective = prepare(recipe, device_name="cpu").objective
    pipeline = TextToImage.load(teacher, "cpu")
    settings = recipe.distil.sample
    *_, last = pipeline.steps("seven", seed=5, count=2, settings=settings)
    noise = ImageNoise([5, 6]).draw((1, 8, 8))
    ids = pipeline.model.text.tokenize(["seven"])
    found = objective.teacher.sample(noise, ids, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(found.states[:, -1], last.x, rtol=1e-4, atol=1e-4)
    assert found.states.shape[1] == settings.steps + 1


def test_a_student_comes_closer_to_its_teacher(recipe):
    longer = override(recipe, ["train.steps=120", "train.previews=0"])
    begun, *_, last = fit(longer, device_name="cpu")
    before = prepare(longer, device_name="cpu").validate()
    after = last.state.validate()
    assert begun.step == 1
    assert after.loss < 0.7 * before.loss
    assert after.scores["distance_1_calls"] < before.scores["distance_1_calls"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_student_is_reproducible_and_resumed_exactly(recipe, tmp_path, threads):
    recipe = override(recipe, [f"train.threads={threads}", "train.batch=32", "distil.reuse=2"])
    for progress in fit(recipe, device_name="cpu"):
        if progress.step == 5:
            file = checkpoint.save(tmp_path / "half", progress.state.training_checkpoint())
    whole = weights(progress)
    stored = checkpoint.read(file)
    assert stored.recipe.distil.sigmas  # a resumed run does not choose them again
    *_, resumed = fit(stored.recipe, device_name="cpu", resume=stored)
    assert torch.equal(whole, weights(resumed))


def test_the_pool_makes_each_batch_once_and_forgets_the_oldest():
    made = []

    def make(batch, rows):
        made.append(batch)
        return batch

    pool = Pool(make, reuse=3, most=4)
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        batch = pool.batch_of(step, generator)
        assert batch == step // 3 or step % 3
        assert max(0, step // 3 - 3) <= batch <= step // 3
        assert pool.rows(batch, slice(0, 2)) == batch
    assert len(pool._kept) <= 4
    assert sorted(set(made)) == list(range(20))
    assert len(made) == 20


def test_the_recipe_of_a_student_is_stored_and_read_back(recipe):
    assert from_json(to_json(recipe)) == recipe
    changed = override(recipe, ["distil.sample.scale=2.5", "distil.calls=2,4"])
    assert changed.distil.sample.scale == 2.5
    assert changed.distil.calls == (2, 4)


def test_levels_and_calls_of_a_student_are_checked():
    ways = Distil(teacher="x", sample=Sample(steps=5), calls=(1, 2), sigmas=((9.0,), (8.0, 1.0)))
    assert ways.student(1).sigmas == (8.0, 1.0)
    assert ways.choices == "1 or 2"
    for wrong, said in (
        ({"calls": (2, 1)}, "should rise"),
        ({"sigmas": ((9.0,), (1.0, 8.0))}, "does not fall"),
        ({"sigmas": ((9.0, 1.0), (8.0, 1.0))}, "as many noise levels"),
    ):
        with pytest.raises(UserError, match=said):
            replace(ways, **wrong)


@pytest.fixture(scope="module")
def student(teacher):
    out = teacher.parent / "student"
    said, error = inkling("distil", teacher, "--calls", "1,2,3", "--steps", 8, "--out", out)
    assert "3 calls " in said
    assert "distance to the teacher's pictures" in error
    return out


def test_a_student_samples_in_the_calls_that_it_learnt(student, teacher):
    pipeline = TextToImage.load(student, "cpu")
    assert [each.calls for each in pipeline.card.by_calls] == [1, 2, 3]
    assert all(each.milliseconds > 0 for each in pipeline.card.by_calls)
    for given, calls in (({}, 3), ({"calls": 1}, 1), ({"calls": 9}, 3), ({"steps": 2}, 2)):
        settings = pipeline.settings(**given)
        assert len(settings.sigmas) == settings.steps == calls
        assert len([*pipeline.steps("seven", settings=settings)]) == calls
    assert pipeline.settings(best=True) == pipeline.settings()
    assert (student / "samples").is_dir()
    assert any((student / "samples").iterdir())
    inkling("sample", student, "seven", "--calls", 1, "--count", 2)
    inkling("evaluate", student, "--n", 70, "--features", "pixels", "--no-cas")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--sampler", "heun"], "sampler=heun"),
        (["--scale", 2], "scale=2"),
        (["--steps", 7], "steps=7"),
        (["--not", "eight", "--scale", 2], "negative_prompt"),
    ],
)
def test_a_student_is_not_asked_for_what_it_never_learnt(student, given, said):
    sentence = refuses("sample", student, "seven", *given)
    assert said in sentence
    assert "samples in 1, 2 or 3 calls" in sentence
    assert "teacher" in sentence


def test_what_cannot_be_distilled_is_refused_in_a_sentence(student, teacher, tmp_path):
    assert "distilled already" in refuses("distil", student)
    assert "0" in inkling("distil", teacher, "--calls", "0", code=2)[1]
    assert "sample.scale=3 would be lost" in refuses("distil", teacher, "--set", "sample.scale=3")
    assert "no checkpoint" in refuses("distil", "nowhere", cwd=tmp_path)
    other = ("--set", "net.widths=8,8", "--out", tmp_path / "other")
    assert "net.widths" in refuses("distil", teacher, *other)
    sized = ("--set", "distil.sample.size=16,16", "--out", tmp_path / "sized")
    assert "size of training" in refuses("distil", teacher, *sized)
    assert "takes 6" in refuses("distil", teacher, "--calls", "1,9", "--out", tmp_path / "nine")
    noisy = ("--set", "distil.sample.sampler=ddpm", "--out", tmp_path / "noisy")
    assert "fresh noise of ddpm" in refuses("distil", teacher, *noisy)
    assert "already holds a run" in refuses("distil", teacher, "--out", student)
    assert "no checkpoint" in refuses("distil", tmp_path)
    plain = tmp_path / "plain"
    inkling("train", "digits", "--out", plain, *SMALL, "--set", "data.captions=false")
    assert "without prompts" in refuses("distil", plain)
    judge = tmp_path / "judge"
    inkling("train", "judge-digits", "--out", judge, "--steps", 2)
    assert "samples nothing" in refuses("distil", judge)
    assert "distilled" in refuses("tune", student, "--n", 70, "--features", "pixels")


def test_a_stopped_student_goes_on_with_the_same_command(teacher, tmp_path):
    out, moved = tmp_path / "stopped", tmp_path / "moved"
    recipe = override(recipe_for(teacher, (1, 2)), ["train.steps=6", "train.budget=0"])
    drive(recipe, out, stop_at=3)
    again = ("--out", out, "--resume")
    assert "in 1 or 2 calls; leave --calls out" in refuses(
        "distil", teacher, "--calls", "1,2,4", *again
    )
    shutil.copytree(teacher, moved)
    inkling("train", "digits", "--out", tmp_path / "else", *SMALL, "--set", "sample.steps=6")
    assert "is not the teacher" in refuses("distil", tmp_path / "else", *again)
    _, error = inkling("distil", moved, *again)
    assert f"{out}: step " in error
    assert "is finished" in inkling("distil", moved, *again)[0]


def test_each_number_of_calls_is_learnt_equally_often():
    table = JumpTable.between([(80.0,), (64.0, 1.0), (50.0, 3.0, 0.8, 0.3)])
    jump = table.choose((torch.arange(1200) + 0.5) / 1200)
    assert jump.bincount().tolist() == [400, 200, 200, 100, 100, 100, 100]
    assert table.levels[0] == 0.0
    assert [table.levels[end] for end in table.ends.tolist()] == pytest.approx(
        [0, 1.0, 0, 3.0, 0.8, 0.3, 0]
    )


@pytest.mark.parametrize("encoder", ["vision", "label"])
def test_other_conditions_are_distilled_too(tmp_path, request, encoder):
    settings = [f"text.encoder={encoder}", "train.steps=4", "sample.steps=4"]
    if encoder == "vision":
        settings.append(f"text.model={request.getfixturevalue('vision_model')}")
    given = [part for setting in settings for part in ("--set", setting)]
    inkling("train", "digits", "--out", tmp_path / "run", *SMALL, *given)
    said, error = inkling("distil", tmp_path / "run", "--steps", 3, "--out", tmp_path / "student")
    assert "4 calls" in said
    assert "distance to the teacher" in error
