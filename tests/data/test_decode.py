"""Pictures as they come from the world: each is read right, or refused in a sentence."""

import io
import os
import subprocess

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from inkling.data import Options, read
from inkling.data.decode import FORMATS, decode, look
from inkling.data.parallel import workers
from inkling.data.source import Item, Source
from inkling.errors import UserError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def saved(image, form="PNG", **options):
    raw = io.BytesIO()
    image.save(raw, form, **options)
    return raw.getvalue()


def two_halves(size=(60, 40), left=RED, right=GREEN):
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def pixels(raw, size=(16, 16), resize="crop", channels=3, background=255):
    return decode(raw, size, resize, channels, background)[0]


def test_crop_fills_the_square_and_cuts_evenly():
    wide = Image.new("RGB", (500, 300), RED)
    wide.paste(GREEN, (100, 0, 400, 300))
    assert (pixels(saved(wide))[:, :, 1:-1] == np.array(GREEN)[:, None, None]).all()
    wide.paste(RED, (140, 0, 360, 300))  # forty pixels of green are left on either side
    image = pixels(saved(wide))
    assert np.array_equal(image, image[:, :, ::-1])
    assert decode(saved(wide), (16, 16), "crop", 3, 255)[1] == (500, 300)


def test_fit_shows_all_with_background_around():
    image = pixels(saved(Image.new("RGB", (500, 250), RED)), resize="fit", background=7)
    assert (image[:, :4] == 7).all()
    assert (image[:, 12:] == 7).all()
    assert (image[0, 4:12] == 255).all()


def test_pad_keeps_small_pixels_and_scales_large_pictures():
    small = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    image = pixels(saved(Image.fromarray(small)), (32, 32), "pad", 1, 0)
    assert np.array_equal(image[0, 2:30, 2:30], small)
    assert image.sum() == small.sum()
    large = pixels(saved(Image.new("L", (64, 32), 200)), (32, 32), "pad", 1, 0)
    assert (large[0, 8:24] == 200).all()
    assert large[0, :8].sum() == large[0, 24:].sum() == 0


@pytest.mark.parametrize("resize", ["crop", "fit", "pad"])
def test_a_circle_stays_round(resize):
    y, x = np.mgrid[:120, :200]
    circle = ((x - 100) ** 2 + (y - 60) ** 2 < 40**2).astype(np.uint8) * 255
    image = pixels(saved(Image.fromarray(circle)), (48, 48), resize, 1, 0)[0] > 127
    height, width = (np.ptp(np.flatnonzero(image.any(axis))) for axis in (1, 0))
    assert abs(height - width) <= 1


def test_shrinking_is_antialiased():
    y, x = np.indices((128, 128))
    checkers = ((x + y) % 2 * 255).astype(np.uint8)
    image = pixels(saved(Image.fromarray(checkers)), (16, 16), "crop", 1)
    assert np.abs(image.astype(int) - 127).max() < 10


def test_sixteen_bit_grey_keeps_its_range():
    wide = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = pixels(saved(Image.fromarray(wide)), channels=1)
    assert np.array_equal(image.ravel(), np.arange(256))
    assert look(saved(Image.fromarray(wide))).grey


def test_cmyk_jpeg_has_its_colours():
    raw = saved(two_halves().convert("CMYK"), "JPEG", quality=95)
    image = pixels(raw, (40, 60)).astype(int)
    assert abs(image[:, 20, 5] - RED).max() < 20
    assert abs(image[:, 20, 55] - GREEN).max() < 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_phone_picture_stands_upright(orientation):
    upright = two_halves((60, 40), RED, GREEN)
    back = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    turned = upright
    for step in back:
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = saved(turned, "JPEG", quality=95, exif=exif)
    image, original = decode(raw, (40, 60), "crop", 3, 255)
    assert original == (60, 40) == look(raw).size
    assert abs(image[:, 20, 5].astype(int) - RED).max() < 20
    assert abs(image[:, 20, 55].astype(int) - GREEN).max() < 20


def test_transparency_shows_the_background():
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert (pixels(saved(clear), background=255) == 255).all()
    assert (pixels(saved(clear), background=0) == 0).all()
    half = Image.new("LA", (16, 16), (0, 128))
    assert abs(int(pixels(saved(half), channels=1)[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 255, 0])
    assert (pixels(saved(palette, transparency=0)) == 255).all()
    assert (pixels(saved(palette)) == np.array(GREEN)[:, None, None]).all()


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, WHITE)]
    raw = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels(raw) == np.array(RED)[:, None, None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_is_known_as_grey(mode):
    image = Image.fromarray(np.full((8, 8), 300, np.uint16)) if mode == "I;16" else None
    assert look(saved(image or Image.new(mode, (8, 8)))).grey


def test_palettes_are_grey_only_if_all_their_colours_are():
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert("P")
    grey.putpalette([level for level in range(256) for _ in range(3)])
    assert look(saved(grey)).grey
    assert not look(saved(two_halves().quantize(4))).grey


def test_pixels_in_memory_are_not_touched():
    grey, colour = np.full((8, 8), 3, np.uint8), np.full((8, 8, 3), 9, np.uint8)
    assert np.array_equal(pixels(grey, (8, 8), channels=1), grey[None])
    assert np.array_equal(pixels(colour, (8, 8)), colour.transpose(2, 0, 1))
    assert pixels(grey, (8, 8)).shape == (3, 8, 8)


BAD = {
    "empty.jpg": (b"", "not a picture in a format that inkling reads: PNG, JPEG"),
    "text.jpg": (
        b"I am a text file.\n" * 10,
        "not a picture in a format that inkling reads: PNG, JPEG",
    ),
    "cut.png": (saved(Image.effect_noise((64, 64), 50))[:200], "trunc|broken|cut"),
    "bomb.png": (saved(Image.new("1", (10_000, 10_000))), "decompression bomb"),
    "float.tif": (saved(Image.new("F", (8, 8)), "TIFF"), "no agreed range"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_named_counted_and_stops_the_run_unless_allowed(tmp_path, name):
    raw, says = BAD[name]
    for row in range(3):
        (tmp_path / f"good{row}.png").write_bytes(saved(two_halves((32, 32))))
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=f"1 of 4 pictures cannot be read.*{name}.*({says})"):
        read("folder", str(tmp_path))
    pictures = read("folder", str(tmp_path), options=Options(unreadable=0.5))
    assert len(pictures) == 3
    assert len(pictures.problems) == 1
    assert name in pictures.problems[0]


def test_another_format_under_a_picture_s_name_starts_no_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **_: started.append(a))
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **_: started.append(a))
    postscript = io.BytesIO()
    two_halves().save(postscript, "EPS")
    for content in (postscript.getvalue(), tmp_path / "a.png"):
        (tmp_path / "a.png").write_bytes(postscript.getvalue())
        with pytest.raises(UnidentifiedImageError):
            pixels(content)
    assert not started


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"MPO"}))
def test_every_format_that_is_named_is_read(form):
    Image.init()
    if form not in Image.SAVE or form not in Image.OPEN:
        pytest.skip(f"this Pillow has no {form}")
    image = pixels(saved(Image.new("RGB", (16, 16), RED), form)).astype(int)
    assert abs(image - np.array(RED)[:, None, None]).max() < 8


def test_a_fifo_named_like_a_picture_is_unreadable_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read_it in (pixels, look):
        with pytest.raises(OSError, match=r"not a regular file"):
            read_it(tmp_path / "a.png")
    source = Source(lambda: iter([Item("a.png", tmp_path / "a.png")]), 1, ())
    with workers(source) as pool:
        assert pool is None


def test_long_lists_of_unreadable_pictures_are_cut(tmp_path):
    for row in range(30):
        (tmp_path / f"bad{row:02}.jpg").write_bytes(b"x")
    (tmp_path / "good.png").write_bytes(saved(two_halves()))
    pictures = read("folder", str(tmp_path), options=Options(unreadable=1.0))
    assert len(pictures.problems) == 21
    assert pictures.problems[-1] == "and 10 more pictures cannot be read"
    (tmp_path / "good.png").unlink()
    with pytest.raises(UserError, match="30 of 30 pictures cannot be read"):
        read("folder", str(tmp_path), options=Options(unreadable=1.0))
