"""The pictures of previews one by one."""

import numpy as np
import pytest
from PIL import Image

from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.runs.auto_recipe import resolve
from inkling.runs.preview import NO_PROMPT
from inkling.runs.preview_files import save_files
from inkling.runs.run_folder import clear_traces
from inkling.runs.session import run


def names(folder):
    return sorted(file.name for file in folder.glob("*"))


def train(recipe, out):
    for _ in run(recipe, out, device_name="cpu"):
        pass


def test_previews_are_written_one_by_one_where_asked(tiny, tmp_path):
    train(override(tiny, ["train.preview_files=true", "train.previews=2"]), tmp_path / "a")
    samples = tmp_path / "a" / "samples"
    alone = names(samples / "unconditional")
    assert alone == [f"step-{step:06d}-{i}.png" for step in (2, 4) for i in range(8)]
    asked = names(samples / "conditional")
    assert len(asked) == 2 * 10 * 8
    assert "step-000004-seven-7.png" in asked
    with Image.open(samples / "conditional" / "step-000004-seven-7.png") as picture:
        assert picture.size == (8, 8)
    clear_traces(tmp_path / "a")
    assert names(samples / "unconditional") == names(samples / "conditional") == []


def test_previews_are_one_sheet_otherwise(tiny, tmp_path):
    train(tiny, tmp_path / "a")
    assert names(tmp_path / "a" / "samples") == ["step-000004.png"]


def test_a_model_without_prompts_has_unconditional_pictures_only(tiny, tmp_path):
    settings = ["train.preview_files=true", "data.captions=false", "text.encoder=label"]
    train(override(tiny, settings), tmp_path / "a")
    assert names(tmp_path / "a" / "samples") == ["step-000004.png", "unconditional"]


def test_no_picture_is_written_over_another(tmp_path):
    pictures = np.arange(2 * 8, dtype=np.uint8).reshape(2, 1, 2, 4)
    long = "a very long prompt about nothing in particular"
    prompts = ["a/b", "A b", f"{long} at all", f"{long}, too", "../up", "x" * 300, NO_PROMPT]
    save_files([(prompt, pictures) for prompt in prompts], tmp_path, 500)
    found = names(tmp_path / "conditional")
    assert len({name.casefold() for name in found}) == 2 * 6
    assert "step-000500-a-b-1.png" in found
    assert "step-000500-A-b-2.png" in found, "names that differ in capitals alone count on"
    assert names(tmp_path / "unconditional") == ["step-000500-0.png", "step-000500-1.png"]
    assert names(tmp_path) == ["conditional", "unconditional"]
    with Image.open(tmp_path / "unconditional" / "step-000500-1.png") as written:
        assert np.array_equal(np.asarray(written)[..., 0], pictures[1, 0])


def test_a_codec_has_no_prompts_to_tell_apart():
    with pytest.raises(UserError, match=r"train.preview_files is for denoisers, not for a codec"):
        resolve("codec-digits", ["train.preview_files=true"])
