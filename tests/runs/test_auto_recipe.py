"""Recipes chosen from pictures, and what `inkling data` says of them."""

import numpy as np
import pytest
from PIL import Image

from inkling.config.overrides import from_json, to_json
from inkling.data import DATASETS, Data
from inkling.errors import UserError
from inkling.inspect import survey
from inkling.runs import auto_recipe
from inkling.training.loop import fit
from tests.conftest import TINY

QUICK = [*TINY, "data.validation=2", "train.steps=2", "train.batch=4"]
QUICK += ["net.blocks=1,1", "net.attention=false,false"]


def write(folder, size, mode, count=8, captions=False, classes=1):
    for row in range(count):
        place = folder / f"class {row % classes}" if classes > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 60).convert(mode).save(place / f"{row}.png")
        if captions:
            (place / f"{row}.txt").write_text(f"picture number {row}\nnoise {row}")
    return folder


@pytest.mark.parametrize(
    ("size", "mode", "kind", "expected"),
    [
        ((28, 28), "L", {}, ((1, 28, 28), "label", 1.0)),
        ((200, 120), "RGB", {}, ((3, 64, 64), "label", 1.0)),
        ((20, 36), "RGB", {"captions": True}, ((3, 36, 20), "transformer", 1.6)),
        ((9, 9), "L", {"classes": 2}, ((1, 9, 9), "transformer", 1.6)),
    ],
)
def test_a_folder_trains_with_no_further_option(tmp_path, size, mode, kind, expected):
    folder = write(tmp_path / "own", size, mode, **kind)
    recipe = auto_recipe.resolve(str(folder), QUICK)
    *_, last = fit(recipe, device_name="cpu")
    state = last.state
    shape = (state.card.channels, *state.card.size)
    assert (shape, recipe.text.encoder, recipe.sample.scale) == expected
    assert recipe.name == "own"
    assert from_json(to_json(state.recipe)) == state.recipe


def test_settings_about_data_count_before_the_pictures_are_looked_at(tmp_path):
    folder = write(tmp_path / "own", (100, 60), "RGB", classes=2)
    recipe = auto_recipe.resolve(
        str(folder), ["data.size=16", "data.captions=false", "train.lr=0.5"]
    )
    assert recipe.net.patch == 1
    assert recipe.text.encoder == "label"
    assert recipe.train.lr == 0.5
    assert recipe.data.size == 16


def test_targets_are_recipes_then_data_sets_then_places(tmp_path):
    assert auto_recipe.find_target("mnist") == ("mnist", Data(name="mnist"))
    assert auto_recipe.find_target("hub:some/set:small") == (
        "some-set-small",
        Data(name="hub", path="some/set:small"),
    )
    assert auto_recipe.find_target(str(tmp_path))[1].name == "folder"
    with pytest.raises(UserError, match=r"did you mean 'cifar10'.*or name a folder of pictures"):
        auto_recipe.find_target("cifar1")


def test_every_data_set_has_a_size_or_chooses_one():
    for name, dataset in DATASETS.items():
        assert dataset.title, name
        assert dataset.channels in (None, 1, 3)


def test_the_survey_says_what_the_program_sees(tmp_path):
    folder = write(tmp_path / "own", (30, 20), "RGB", 9, classes=3)
    Image.new("RGB", (40, 20)).save(folder / "class 0" / "wide.png")
    _, _, pictures = auto_recipe.read_target(str(folder), [])
    said = "\n".join(survey.lines(pictures))
    assert "pictures    10" in said
    assert "layout      10 pictures in 3 class folders" in said
    assert "20x20, colour, made from 2 sizes with sides of 20 to 40; the commonest is 30x20" in said
    assert "12 distinct, 4 to 4 a picture" in said
    assert "class 0        4  ####" in said
    assert "problems    none" in said
    assert survey.contact_sheet(pictures).width > 200


def test_the_contact_sheet_shows_captions_below_pictures(tmp_path):
    folder = write(tmp_path / "own", (16, 16), "L", 7, captions=True)
    _, _, pictures = auto_recipe.read_target(str(folder), [])
    sheet = np.asarray(survey.contact_sheet(pictures))
    assert sheet.shape[0] > 2 * 144
    bare = auto_recipe.read_target(str(folder), ["data.captions=false"])[2]
    assert survey.contact_sheet(bare).height < sheet.shape[0]
    assert "an unconditional model" in "\n".join(survey.lines(bare))
