"""One encoded picture becomes uint8 pixels of the wanted size: what a viewer shows, unsquashed.

Rotation, transparency, palettes, CMYK and 16 bits are resolved here, and nowhere else.
"""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from inkling.data.settings import Resize
from inkling.data.source import Content

_GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"})
_NO_RANGE = frozenset({"I", "F"})
_SIDEWAYS = frozenset({5, 6, 7, 8})
_ORIENTATION = 0x0112


class Look(NamedTuple):
    """What the header of a picture says."""

    size: tuple[int, int]
    """(W, H) as it is viewed."""
    grey: bool


def look(content: Content) -> Look:
    """Size and colour of a picture without decoding it.

    Raises:
        OSError, ValueError and whatever else a decoder makes of bytes that are no picture.
    """
    if isinstance(content, np.ndarray):
        return Look((content.shape[1], content.shape[0]), content.ndim == 2)
    with _opened(content) as image:
        return Look(_viewed_size(image), image.mode in _GREY or _has_grey_palette(image))


def decode(
    content: Content, size: tuple[int, int], resize: Resize, channels: int, background: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """(pixels [C, H, W] uint8, original (W, H)).

    Args:
        content: the picture.
        size: (H, W) wanted.
        resize: how to get there, see `squared`.
        channels: C, 1 or 3.
        background: grey value behind transparency and around padding.

    Raises:
        OSError, ValueError and whatever else a decoder makes of bytes that are no picture.
    """
    if isinstance(content, np.ndarray) and _is_wanted(content, size, channels):
        stored = content[None] if content.ndim == 2 else content.transpose(2, 0, 1)
        return stored, (size[1], size[0])
    with _opened(content) as image:
        original = _viewed_size(image)
        # JPEG decodes at a half, a quarter or an eighth, still twice what is wanted.
        image.draft(None, (2 * size[1], 2 * size[0]))
        image = ImageOps.exif_transpose(image)
        image = _flattened(image, "L" if channels == 1 else "RGB", background)
    if (image.height, image.width) != size:
        image = squared(image, size, resize, background)
    pixels = np.asarray(image)
    return (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)), original


def squared(
    image: Image.Image, size: tuple[int, int], resize: Resize, background: int
) -> Image.Image:
    """The picture at (H, W), its proportions kept, antialiased (bicubic, as clean-fid does).

    Args:
        image: in "L" or "RGB".
        size: (H, W).
        resize: "crop" fills the frame and cuts what sticks out evenly; "fit" shows all of it,
            scaled up or down, with background around; "pad" does not enlarge: it keeps the pixels
            of a smaller picture and scales a larger one down, with background around.
        background: grey value of what is added.
    """
    frame = (size[1], size[0])
    if resize == "crop":
        return ImageOps.fit(image, frame, Image.Resampling.BICUBIC)
    scale = min(frame[0] / image.width, frame[1] / image.height)
    if resize == "fit" or scale < 1:
        inside = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(inside, Image.Resampling.BICUBIC)
    paper = Image.new(image.mode, frame, background if image.mode == "L" else (background,) * 3)
    paper.paste(image, ((frame[0] - image.width) // 2, (frame[1] - image.height) // 2))
    return paper


def _is_wanted(pixels: np.ndarray, size: tuple[int, int], channels: int) -> bool:
    return pixels.shape == (size if channels == 1 else (*size, channels))


def _opened(content: Content) -> Image.Image:
    """A PIL image, perhaps not yet decoded."""
    if callable(content):
        content = content()
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    return Image.open(content if isinstance(content, Path) else BytesIO(content))


def _viewed_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (height, width) if sideways else (width, height)


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _flattened(image: Image.Image, mode: str, background: int) -> Image.Image:
    """In "L" or "RGB", over the background where it is transparent."""
    if image.mode in _NO_RANGE:
        raise ValueError(f"32-bit pixels (mode {image.mode}) have no agreed range; save as 8 or 16")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(wide.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(paper, image)
    if image.mode == "P":
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)
