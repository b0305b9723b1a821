"""When previews are made and models kept, and of what."""

import json

import pytest
import torch

from inkling.config.overrides import override
from inkling.config.recipes import RECIPES, small
from inkling.config.sample import Sample
from inkling.errors import UserError, UserNote
from inkling.runs import preview, run_folder, session
from inkling.runs.moments import Milestones
from inkling.runs.run_folder import MILESTONES
from inkling.runs.session import StopFlag, run
from inkling.sampling.pipeline import TextToImage
from inkling.training.budget import StepBudget

LONG = ["train.steps=30", "data.limit=16", "data.validation=0"]  # 20 steps an epoch


def trained(recipe, out):
    return list(run(recipe, out, device_name="cpu"))


def seen(recipe, out):
    return [u.progress.step for u in trained(recipe, out) if u.preview is not None]


@pytest.mark.parametrize(
    ("previews", "steps"),
    [
        ("3", [10, 20, 30]),
        ("12steps", [12, 24, 30]),
        ("1epoch", [20, 30]),
        ("0.5epochs", [10, 20, 30]),
        ("50%", [15, 30]),
        ("30%", [9, 18, 27, 30]),
        ("7", [5, 9, 13, 18, 22, 26, 30]),
        ("1h", [30]),
        ("0", []),
    ],
)
def test_previews_come_so_often_and_at_the_end(tiny, tmp_path, previews, steps):
    recipe = override(tiny, [*LONG, f"train.previews={previews}", "train.preview_share=1"])
    assert seen(recipe, tmp_path / "run") == steps


def test_previews_by_time(tiny):
    train = override(tiny, ["train.steps=100", "train.previews=5s"]).train
    budget, looked = StepBudget(train, started=0.0), []
    for step in range(1, 101):
        if budget.preview_due(step, 1.0 * step, measured=False):
            looked.append(step)
            budget.fix(step, 1.0 * step, 1.0 * step)
    assert looked == [*range(5, 101, 5)]


def driven(budget, step_seconds, preview_seconds):
    """(steps, previews, seconds) of a run by this budget."""
    step, looked, worked, now = 0, 0, 0.0, 0.0
    while budget.total is None or step < budget.total:
        step, worked, now = step + 1, worked + step_seconds, now + step_seconds
        measured = budget.measured(step, worked, now)
        if budget.preview_due(step, now, measured):
            looked, now = looked + 1, now + preview_seconds
            budget.last_preview_seconds = preview_seconds
            budget.fix(step, worked, now)
        else:
            budget.correct(step, worked, now)
    return step, looked, now


@pytest.mark.parametrize(("share", "wanted"), [(0.1, 10), (0.05, 5), (0.0, 1), (1.0, 50)])
def test_counted_previews_take_no_more_than_their_share_of_a_budget(tiny, share, wanted):
    settings = ["train.previews=50", f"train.preview_share={share}"]
    train = override(tiny, ["train.steps=0", "train.budget=100", *settings]).train
    _, looked, seconds = driven(StepBudget(train, started=0.0), 0.1, 1.0)
    assert 0.8 * wanted - 1 <= looked - 1 <= wanted + 1  # one more shows what one costs
    assert seconds == pytest.approx(100, rel=0.06)


def test_a_budget_leaves_time_for_previews_that_are_so_far_apart(tiny):
    settings = ["train.steps=0", "train.budget=100", "train.previews=20steps"]
    step, looked, seconds = driven(
        StepBudget(override(tiny, settings).train, started=0.0), 0.1, 1.0
    )
    assert seconds == pytest.approx(100, rel=0.06)
    assert looked in (step // 20, step // 20 + 1, step // 20 + 2)


def test_prompts_and_pictures_of_previews_are_settings(tiny, tmp_path):
    prompts = "train.preview_prompts=a seven,zero"
    recipe = override(tiny, [prompts, "train.preview_count=3"])
    first = trained(recipe, tmp_path / "run")[0].progress.state
    rows = preview.PREVIEWS[type(recipe)].draw(first, first.model, lambda: False)
    assert [name for name, _ in rows] == ["a seven", "zero", "(no prompt)"]
    assert [len(images) for _, images in rows] == [3, 3, 3]


def test_a_prompt_of_previews_that_the_model_cannot_read_is_refused_at_the_start(tiny, tmp_path):
    settings = ["text.encoder=label", "train.preview_prompts=dog"]
    with pytest.raises(UserError, match="'dog' is none of them"):
        trained(override(tiny, settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_previews_sample_with_few_calls_where_the_recipe_takes_many():
    assert preview.preview_settings(RECIPES["mnist"]) == RECIPES["mnist"].sample
    for name in ("mnist-ddpm", "coco-text"):
        for recipe in (RECIPES[name], small(RECIPES[name])):
            found = preview.preview_settings(recipe)
            assert isinstance(found, Sample)
            assert (found.sampler, found.steps) == ("dpmpp_2m", 12)
            assert (found.scale, found.grid) == (recipe.sample.scale, recipe.sample.grid)


def test_milestones_are_models_that_stay(tiny, tmp_path):
    out = tmp_path / "run"
    milestones = "train.milestones=1,5,1epoch,40%,40%"
    trained(override(tiny, [*LONG, milestones, "train.keep=1", "train.checkpoint_every=3"]), out)
    files = sorted(file.name for file in (out / MILESTONES).iterdir())
    assert files == [f"step-{step:08d}.safetensors" for step in (1, 5, 12, 20)]
    for step in (1, 5, 12, 20):
        for weights in ("ema", "raw"):
            file = out / MILESTONES / f"step-{step:08d}.safetensors"
            assert TextToImage.load(file, "cpu", weights).card.steps == step


def test_milestones_of_a_budget_are_passed_when_its_length_is_known(tiny):
    train = override(tiny, ["train.steps=0", "train.budget=9", "train.milestones=10%,50%,3"]).train
    milestones = Milestones(train, pictures=100)
    asked = [(1, None), (3, None), (4, None), (5, 20), (6, 20), (10, 20), (11, 30), (15, 30)]
    assert [milestones.due(*each) for each in asked] == [
        False, True, False, True, False, True, False, False,
    ]  # fmt: skip


def test_a_run_that_goes_on_does_not_pass_them_again(tiny):
    train = override(tiny, ["train.steps=20", "train.milestones=5,50%"]).train
    assert not Milestones(train, 100, step=12, total=20).due(13, 20)
    assert Milestones(train, 100, step=6, total=20).due(10, 20)


def test_a_milestone_past_the_end_is_said_in_one_sentence(tiny, tmp_path):
    recipe = override(tiny, ["train.milestones=2,50k"])
    with pytest.warns(UserNote, match="train.milestones=50k lies past the end of the run, 4 steps"):
        trained(recipe, tmp_path / "run")


def test_milestones_of_steps_and_parts_do_not_hide_each_other(tiny):
    train = override(tiny, ["train.milestones=10%,30steps"]).train
    milestones = Milestones(train, 100)
    due = [step for step in range(1, 25) if milestones.due(step, 200)]
    due += [step for step in range(25, 60) if milestones.due(step, 400)]  # the budget's correction
    assert due == [20, 30]


def stopped_at(step, recipe, out):
    """A run that is stopped after a step, and goes on."""
    flag = StopFlag()
    for update in run(recipe, out, device_name="cpu", flag=flag):
        if update.progress.step == step - 1:
            flag.raise_flag()
    stored = run_folder.newest(out)
    assert stored.progress["step"] == step
    return [*run(recipe, out, device_name="cpu", resume=stored)]


def test_a_preview_is_not_made_again_after_a_resume_and_an_interrupted_one_is(tiny, tmp_path):
    settings = [*LONG, "train.previews=0", "train.checkpoint_every=30"]
    recipe = override(tiny, [*settings, "train.previews=10steps"])
    out = tmp_path / "run"
    updates = stopped_at(10, recipe, out)  # while it is drawn: the flag is up
    assert [u.progress.step for u in updates if u.preview is not None] == [11, 20, 30]


def test_what_begins_is_behind_a_run_that_goes_on(tiny):
    train = override(tiny, ["train.steps=0", "train.budget=100", "train.previews=5s"]).train
    budget = StepBudget(train, started=0.0)
    step = 0
    while not budget.preview_due(step, 1.0 * step, budget.measured(step, 1.0 * step, 1.0 * step)):
        step += 1
    stored = json.loads(json.dumps(budget.state()))
    again = StepBudget(train, started=0.0)
    again.restore(stored, 1.0 * step)
    now = step + 1.0
    assert not again.preview_due(step + 1, now, again.measured(step + 1, now, now))


def test_epochs_stay_epochs_in_the_recipe_of_a_run(tiny, tmp_path):
    """So that the same command goes on with it."""
    recipe = override(
        tiny, ["train.steps=0", "train.epochs=2", "data.limit=16", "data.validation=0"]
    )
    *_, last = trained(recipe, tmp_path / "run")
    assert last.progress.total == 40
    assert last.progress.state.recipe.train.steps == 0
    assert run_folder.recipe_of(tmp_path / "run") == last.progress.state.recipe


def test_a_signal_that_comes_while_processes_agree_is_not_lost(monkeypatch):
    flag, device = StopFlag(), torch.device("cpu")

    def any_process(_, raised):
        flag.raise_flag()
        return raised

    monkeypatch.setattr(session, "any_process", any_process)
    assert not flag.agreed(device)
    assert flag.agreed(device)
