"""A name, a sentence around it and its index mean the same."""

import numpy as np
import pytest
import torch

from inkling import TextToImage
from inkling.cli.sample import _mixture
from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.sampling.prompts import caption_of
from inkling.text import LabelEncoder
from inkling.training.loop import fit
from tests.cli.test_cli import inkling, refuses

LABELS = LabelEncoder(["zero", "six", "seven", "sixty six", "red car"], 4)
CLASSES = LABELS.names


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (2, "seven"),
        (np.int64(2), "seven"),
        ("2", "seven"),
        (" 2 ", "seven"),
        ("seven", "seven"),
        ("Seven", "seven"),
        ("number seven", "seven"),
        ("generate digit 2", "seven"),
        ("a red car, please", "red car"),
        ("a car", "a car"),
        ("seven or zero", "seven or zero"),
        ("", ""),
        ({"2": 0.5, "zero": 0.5}, {"seven": 0.5, "zero": 0.5}),
    ],
)
def test_labels_are_named_in_many_ways(asked, meant):
    assert caption_of(asked, CLASSES, LABELS) == meant


def test_an_index_without_a_class_is_one_sentence():
    with pytest.raises(UserError, match=r"no class 5; choose from 0 \('zero'\) to 4 \('red car'\)"):
        caption_of(5, CLASSES, LABELS)
    with pytest.raises(UserError, match="no class -1"):
        caption_of(-1, CLASSES, LABELS)
    with pytest.raises(UserError, match="trained without classes and cannot be asked for class 3"):
        caption_of(3, (), LABELS)


@pytest.fixture(params=["label", "transformer"])
def run(request, tiny, tmp_path):
    settings = [f"text.encoder={request.param}"]
    settings += ["data.caption={}"] if request.param == "label" else []
    *_, last = fit(override(tiny, settings), device_name="cpu")
    last.state.save(tmp_path / "run")
    return tmp_path / "run"


def test_integers_tensors_and_names_sample_the_same(run, tmp_path):
    pipeline = TextToImage.load(run, device="cpu")
    named = pipeline(["seven", "three"], seeds=[0, 1])
    for asked in ([7, 3], torch.tensor([7, 3]), np.array([7, 3])):
        assert torch.equal(pipeline(asked, seeds=[0, 1]), named)
    arrays = []
    for number, prompt in enumerate(("7", "seven")):
        out = tmp_path / f"{number}.npz"
        inkling("sample", run, prompt, "--count", 2, "--out", out)
        arrays.append(np.load(out)["images"])
    if pipeline.recipe.text.encoder == "label":  # elsewhere "7" is a caption of its own
        assert (arrays[0] == arrays[1]).all()
        assert torch.equal(pipeline(["generate digit 7"], seeds=[0]), named[:1])
        assert "is none of them" in refuses("sample", run, "seven and eight")
        plain = pipeline(["zero"], seeds=[0], negative_prompt="8", scale=2)
        assert torch.equal(plain, pipeline(["zero"], seeds=[0], negative_prompt="eight", scale=2))
    assert "there is no class 12; choose from 0" in refuses("sample", run, "12")


def test_weights_of_what_turns_out_to_be_one_caption_are_summed():
    classes = ("zero", "one")
    assert caption_of({"one": 0.25, 1: 0.5, "zero": 0.25}, classes) == {"one": 0.75, "zero": 0.25}
    assert _mixture("zero=0.25,zero,one=0.5") == {"zero": 1.25, "one": 0.5}
