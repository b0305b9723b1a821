"""Sheets: every picture where it belongs, enlarged without blur, captions inside the paper."""

import numpy as np
import pytest
import torch

import inkling
from inkling.errors import UserError
from inkling.visualize.grids import sheet


def test_pictures_are_pasted_pixel_exact_and_enlarged_by_a_whole_factor():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (3, 1, 16, 16), dtype=np.uint8)
    page = np.asarray(sheet([("", images)], cell=60))
    assert page.shape[0] >= 64
    first = page[4:68, 4:68]
    np.testing.assert_array_equal(first[::4, ::4, 0], images[0, 0])
    np.testing.assert_array_equal(first[3::4, 3::4, 2], images[0, 0])


def test_tiny_pictures_are_enlarged_smoothly():
    ramp = np.tile(np.arange(0, 256, 32, dtype=np.uint8), (1, 1, 8, 1))
    page = np.asarray(sheet([("", ramp)], cell=64))
    row = page[36, 4:68, 0].astype(int)
    assert np.abs(np.diff(row)).max() < 16  # 32 between blocks


def test_colour_keeps_its_channels():
    image = np.zeros((1, 3, 64, 64), np.uint8)
    image[0, 1] = 200
    assert np.asarray(sheet([("", image)]))[30, 30].tolist() == [0, 200, 0]


def test_long_rows_go_on_below():
    images = np.zeros((30, 1, 64, 64), np.uint8)
    narrow, wide = sheet([("", images)], most_columns=10), sheet([("", images)], most_columns=30)
    assert narrow.height > 2.5 * wide.height
    assert narrow.width < wide.width / 2


@pytest.mark.parametrize(
    "caption", ["seven", "a very long caption that goes on " * 9, "\U0001f43b"]
)
def test_captions_stay_left_of_the_pictures(caption):
    images = np.zeros((2, 1, 64, 64), np.uint8)
    page = np.asarray(sheet([(caption, images)]).convert("L"))
    black = (page[4:68] == 0).all(axis=0)
    assert black.sum() == 128  # two pictures, no letter on them


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_sampled_pictures_become_pil_images(channels, mode):
    images = torch.randint(0, 256, (2, channels, 5, 4), dtype=torch.uint8)
    found = inkling.to_pil(images)
    assert [(each.mode, each.size) for each in found] == [(mode, (4, 5))] * 2
    back = torch.from_numpy(np.array(found[1])).reshape(5, 4, channels)
    assert torch.equal(back.permute(2, 0, 1), images[1])
    (alone,) = inkling.to_pil(images[1].numpy())
    assert alone.tobytes() == found[1].tobytes()


@pytest.mark.parametrize("images", [torch.zeros(1, 1, 2, 2), torch.zeros(2, 2).byte(), [0.5]])
def test_what_is_no_picture_becomes_no_pil_image(images):
    with pytest.raises(UserError, match=r"to_pil takes uint8 pictures \[B, C, H, W\]"):
        inkling.to_pil(images)
