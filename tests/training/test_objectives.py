"""What every objective holds to: it resumes exactly, takes a budget, and depends on rows alone."""

import pytest
import torch

from inkling.config.overrides import from_json, override, to_json
from inkling.config.recipes import DIGITS
from inkling.errors import UserError
from inkling.runs.auto_recipe import resolve
from inkling.runs.student import recipe_for
from inkling.training.loop import fit
from inkling.training.objective import GradientStep
from inkling.training.objectives import OBJECTIVES
from inkling.training.prepare import prepare
from tests.conftest import TINY, frozen

SMALL = {
    "denoising": TINY,
    "clip": ["towers.width=32", "towers.layers=1", "towers.heads=2"],
    "judge": ["classifier.widths=8,8,16"],
    "codec": ["autoencoder.widths=8,16"],
}
COMMON = ["data.limit=12", "train.batch=8", "train.precision=float32", "train.previews=0"]


_TEACHERS = []


@pytest.fixture(scope="module", autouse=True)
def teacher(tmp_path_factory):
    """What a distillation learns from."""
    folder = tmp_path_factory.mktemp("teacher")
    *_, last = fit(override(DIGITS, [*TINY, *COMMON, "sample.steps=4"]), device_name="cpu")
    last.state.save(folder)
    _TEACHERS[:] = [folder]


def recipe(kind, *settings):
    if kind == "distillation":
        return override(recipe_for(*_TEACHERS, (1, 2)), [*COMMON, *settings])
    if kind == "clip":
        pytest.importorskip("transformers", reason="the extra clip is not installed")
    given = [*SMALL[kind], *COMMON, *settings]
    return override(DIGITS, given) if kind == "denoising" else resolve(f"{kind}-digits", given)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_resumed_run_is_the_uninterrupted_one(kind):
    states = []
    for progress in fit(recipe(kind, "train.steps=6"), device_name="cpu"):
        states.append(frozen(progress.state.training_checkpoint()))
    *_, last = fit(states[2].recipe, device_name="cpu", resume=states[2])
    again = last.state.training_checkpoint().tensors
    assert again.keys() == states[-1].tensors.keys()
    for name, tensor in states[-1].tensors.items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_rows_of_a_batch_do_not_depend_on_who_asks(kind):
    state = prepare(recipe(kind, "train.steps=1"), device_name="cpu")
    whole = state.objective.inputs(GradientStep(5, 0.0, 8, slice(0, 8)))
    parts = [state.objective.inputs(GradientStep(5, 0.0, 8, slice(i, i + 4))) for i in (0, 4)]
    assert torch.equal(whole[0], torch.cat([part[0] for part in parts]))
    assert torch.equal(whole[1], torch.cat([part[1] for part in parts]))


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_losses_are_one_a_row_and_every_parameter_gets_a_gradient(kind):
    state = prepare(recipe(kind, "train.steps=1"), device_name="cpu")
    for parameter in state.model.parameters():  # as if it had been trained for a while
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    losses = state.objective(*state.objective.inputs(GradientStep(0, 0.0, 8, slice(0, 8))))
    assert losses.shape == (8,)
    losses.mean().backward()
    idle = [name for name, p in state.model.named_parameters() if p.grad is None]
    assert not idle


@pytest.mark.parametrize("kind", ["clip", "judge", "codec"])
def test_each_learns_takes_a_budget_and_validates(kind):
    chosen = recipe(kind, "train.epochs=0", "train.budget=3", "data.limit=100")
    losses = []
    for progress in fit(chosen, device_name="cpu"):
        losses.append(progress.loss.item())
    assert progress.step == progress.total == len(losses) > 10
    part = len(losses) // 4
    assert sum(losses[-part:]) < sum(losses[:part])
    found = progress.state.validate()
    assert found.text
    assert found.scores


def test_epochs_are_counted_in_steps():
    *_, last = fit(recipe("judge", "train.epochs=2", "data.validation=20"), device_name="cpu")
    assert last.step == -(-2 * 100 // 8)


def test_every_kind_of_recipe_goes_through_json():
    for kind in ("clip", "judge", "codec"):
        chosen = resolve(f"{kind}-digits", [])
        assert from_json(to_json(chosen)) == chosen
        assert chosen.objective == kind


def test_settings_of_denoisers_are_refused_elsewhere():
    for setting in ("train.sizes=4,8", "train.widen=0.3", "data.codec=runs/codec"):
        with pytest.raises(UserError, match=r"is for denoisers, not for a codec"):
            recipe("codec", setting)


def test_what_an_objective_cannot_do_is_one_sentence():
    with pytest.raises(UserError, match=r"'clip' compares the pictures of a batch.*set it to 1"):
        next(fit(recipe("clip", "train.accumulation=2", "train.steps=2"), device_name="cpu"))
    with pytest.raises(UserError, match=r"have no classes for a judge to learn"):
        next(fit(recipe("judge", "data.captions=false", "train.steps=2"), device_name="cpu"))
    with pytest.raises(UserError, match=r"the objective 'clip' reads other settings than this"):
        next(fit(recipe("denoising", "train.objective=clip"), device_name="cpu"))
    with pytest.raises(UserError, match=r"there is no setting 'towers.widht'"):
        recipe("clip", "towers.widht=3")
