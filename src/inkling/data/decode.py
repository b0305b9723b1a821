"""Decodes an image file to uint8 pixels of a given size, without distortion.

Rotation, transparency, palettes, CMYK and 16 bits are handled here, and nowhere else.
"""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inkling.data.settings import Resize
from inkling.data.source import Content
from inkling.system.reading import require_regular

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "PPM",
    "TGA",
    "ICO",
    "AVIF",
    "MPO",
    "JPEG2000",
)
"""The formats that are read, by Pillow's names. Others are refused: some of Pillow's decoders start
another program (EPS: Ghostscript), and few are tested on hostile files."""
_GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"})
_UNKNOWN_RANGE = frozenset({"I", "F"})
_ORIENTATION = 0x0112
_ROTATED = frozenset({5, 6, 7, 8})
"""Values of the EXIF orientation that exchange width and height."""


class Look(NamedTuple):
    """Size and colour of an image, from its header."""

    size: tuple[int, int]
    """(W, H) as displayed."""
    grey: bool


def open_picture(content: Path | bytes) -> Image.Image:
    """A PIL image in one of `FORMATS`, which may not be decoded yet.

    Raises:
        PIL.UnidentifiedImageError: it is in another format.
        OSError, ValueError and any other error that a decoder raises on invalid bytes.
    """
    Image.init()
    present = [name for name in FORMATS if name in Image.OPEN]
    file = require_regular(content) if isinstance(content, Path) else BytesIO(content)
    return Image.open(file, formats=present)


def look(content: Content) -> Look:
    """Size and colour of an image without decoding it.

    Raises:
        OSError, ValueError and any other error that a decoder raises on invalid bytes.
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
        content: the image.
        size: (H, W) of the result.
        resize: how to resize, see `squared`.
        channels: C, 1 or 3.
        background: grey value behind transparency and in the padding.

    Raises:
        OSError, ValueError and any other error that a decoder raises on invalid bytes.
    """
    if isinstance(content, np.ndarray) and _has_shape(content, size, channels):
        stored = content[None] if content.ndim == 2 else content.transpose(2, 0, 1)
        return stored, (size[1], size[0])
    with _opened(content) as image:
        original = _viewed_size(image)
        # JPEG can decode at 1/2, 1/4 or 1/8; at least twice the final size is kept.
        image.draft(None, (2 * size[1], 2 * size[0]))
        image = ImageOps.exif_transpose(image)
        image = _flattened(image, "L" if channels == 1 else "RGB", background)
    if (image.height, image.width) != size:
        image = squared(image, size, resize, background)
    pixels = np.asarray(image)
    return (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)), original


def reason(error: Exception) -> str:
    """The reason why an image cannot be read, in one line."""
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "so many pixels that it may be a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture in a format that inkling reads: {', '.join(FORMATS)}"
    return " ".join(str(error).split()) or type(error).__name__


def squared(
    image: Image.Image, size: tuple[int, int], resize: Resize, background: int
) -> Image.Image:
    """The image at (H, W), in its proportions and antialiased (bicubic, as in clean-fid).

    Args:
        image: in "L" or "RGB".
        size: (H, W).
        resize: "crop" fills the frame and crops the excess evenly on both sides; "fit" scales the
            whole image up or down and pads it; "pad" pads a smaller image without scaling, and
            scales a larger one down.
        background: grey value of the padding.
    """
    frame = (size[1], size[0])
    if resize == "crop":
        return ImageOps.fit(image, frame, Image.Resampling.BICUBIC)
    scale = min(frame[0] / image.width, frame[1] / image.height)
    if resize == "fit" or scale < 1:
        inside = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(inside, Image.Resampling.BICUBIC)
    canvas = Image.new(image.mode, frame, background if image.mode == "L" else (background,) * 3)
    canvas.paste(image, ((frame[0] - image.width) // 2, (frame[1] - image.height) // 2))
    return canvas


def _has_shape(pixels: np.ndarray, size: tuple[int, int], channels: int) -> bool:
    return pixels.shape == (size if channels == 1 else (*size, channels))


def _opened(content: Content) -> Image.Image:
    """A PIL image, which may not be decoded yet."""
    if callable(content):
        content = content()
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    return open_picture(content)


def _viewed_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    rotated = image.getexif().get(_ORIENTATION) in _ROTATED
    return (height, width) if rotated else (width, height)


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _flattened(image: Image.Image, mode: str, background: int) -> Image.Image:
    """In "L" or "RGB", over the background where it is transparent."""
    if image.mode in _UNKNOWN_RANGE:
        raise ValueError(f"32-bit pixels (mode {image.mode}) have no agreed range; save as 8 or 16")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(wide.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(canvas, image)
    if image.mode == "P":
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)
