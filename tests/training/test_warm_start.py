"""Starting from another run: its weights mean what they meant there."""

from dataclasses import replace

import pytest
import torch

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.runs.auto_recipe import resolve
from inkling.training.loop import fit
from inkling.training.prepare import prepare
from tests.cli.test_cli import inkling


def finished(recipe, **options):
    *_, last = fit(recipe, device_name="cpu", **options)
    return last.state


def weights(state):
    return torch.cat([p.detach().flatten() for p in state.model.parameters()])


@pytest.fixture
def first(tiny, tmp_path):
    state = finished(tiny)
    state.save(tmp_path / "first")
    return tmp_path / "first"


def test_the_averaged_weights_are_where_it_starts(tiny, tmp_path):
    state = finished(tiny)
    state.save(tmp_path / "first")
    later = prepare(tiny, device_name="cpu", start_from=tmp_path / "first")
    state.ema.swap()
    assert torch.equal(weights(later), weights(state))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("net.widths=16,32", r"net.widths=\(16, 16\) .*net.widths=\(16, 32\)"),
        ("net.middle_attention=false", "net.middle_attention=True .*net.middle_attention=False"),
        ("net.head_width=4", "net.head_width=8 .*net.head_width=4"),
        ("net.kind=transformer", "net.kind=UNetConfig .*net.kind=TransformerConfig"),
        ("text.heads=4", "text.heads=2 .*text.heads=4"),
        ("diffusion.prediction=eps", "prediction=edm .*cannot start a run with .*prediction=eps"),
        ("diffusion.sigma_data=0.5", r"diffusion.sigma_data=0\..*diffusion.sigma_data=0.5"),
        ("data.channels=3", "trained on grey pictures, and these are colour; set data.channels=1"),
    ],
)
def test_what_would_give_weights_another_meaning_is_refused(tiny, first, setting, says):
    with pytest.raises(UserError, match=says):
        prepare(override(tiny, [setting]), device_name="cpu", start_from=first)


def test_sigma_data_and_dropout_are_no_contradiction(tiny, first, pictures):
    """The standard deviation of other pictures would shift every scaling of the network."""
    darker = replace(pictures, images=pictures.images // 4)
    recipe = override(tiny, ["net.dropout=0.1", "data.validation=0"])
    later = prepare(recipe, device_name="cpu", start_from=first, pictures=(darker, darker))
    before = TextToImage.load(first, device="cpu").recipe.diffusion.sigma_data
    assert later.recipe.diffusion.sigma_data == later.model.denoiser.sigma_data == before
    assert abs(darker.sigma_data() - before) > 0.05


CAPTIONS = (("a crimson zorp",), ("nine",), ("",))


def recaptioned(pictures):
    return replace(pictures, groups=CAPTIONS, group=pictures.labels % 2, classes=(), held_out=())


@pytest.mark.parametrize("kind", ["transformer", "label", "frozen"])
def test_new_captions_are_taken_in_and_known_ones_stay(tiny, tmp_path, pictures, encoder, kind):
    settings = [f"text.encoder={kind}", f"text.model={encoder}", "data.validation=0"]
    recipe = override(tiny, settings)
    both = (pictures, pictures)
    finished(recipe, pictures=both).save(tmp_path / "first")
    old = TextToImage.load(tmp_path / "first", device="cpu").model
    new = recaptioned(pictures)
    later = prepare(recipe, device_name="cpu", start_from=tmp_path / "first", pictures=(new, new))
    said = ["nine", "", "seven"]
    with torch.no_grad():
        one, other = (model.eval().encode_text(said) for model in (old, later.model))
    assert torch.equal(one.vector, other.vector)
    assert later.model.text.unknown_words("a crimson zorp") == []
    done = finished(recipe, start_from=tmp_path / "first", pictures=(new, new))
    done.save(tmp_path / "later")
    sampled = TextToImage.load(tmp_path / "later", device="cpu")
    assert sampled(["a crimson zorp", "seven"], seeds=[0, 1]).shape == (2, 1, 8, 8)
    if kind == "frozen":
        assert "a crimson zorp" in sampled.model.text.lengths
        row = sampled.model.text.carried[sampled.model.text._number["a crimson zorp"]]
        assert row.any()


def test_a_judge_starts_from_one_of_the_same_classes(tmp_path, pictures):
    recipe = resolve("judge-digits", ["train.steps=2", "train.batch=8"])
    finished(recipe, pictures=(pictures, pictures)).save(tmp_path / "judge")
    other = replace(pictures, classes=tuple(reversed(pictures.classes)))
    with pytest.raises(UserError, match="a judge starts from one of the same classes"):
        prepare(recipe, device_name="cpu", start_from=tmp_path / "judge", pictures=(other, other))


def test_the_command_line_takes_the_structure_over(tmp_path, first):
    """`digits` has another network and predicts something else than the run it starts from."""

    _, said = inkling(
        *("train", "digits", "--from", first, "--out", tmp_path / "on", "--steps", 2),
        *("--set", "data.limit=20", "--set", "train.batch=8"),
    )
    assert f"from {first}, with its net, text, diffusion.prediction" in said
    later = TextToImage.load(tmp_path / "on", device="cpu").recipe
    assert later.net.widths == (16, 16)
