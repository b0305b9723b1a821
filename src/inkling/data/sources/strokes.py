"""Quick, Draw! files: 28x28 bitmaps in `.npy`, simplified strokes in `.ndjson`."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inkling.data.source import Item
from inkling.errors import UserError

SIDE = 28
_CANVAS, _PADDING, _PEN = 256, 16, 16
"""Strokes live on a canvas of 256; Google's own bitmaps have this padding and pen width."""
_FINER = 8


def read_bitmaps(path: Path, most: int | None) -> np.ndarray:
    """The first `most` drawings of an `.npy` file, or of its beginning: uint8 [N, 28, 28].

    Raises:
        UserError: not an array of drawings.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
            shape, _, kind = read(file)
            start = file.tell()
    except (ValueError, AttributeError, OSError) as error:
        raise UserError(f"{path} is no NumPy file ({error}); fetch it again") from None
    if kind != np.uint8 or len(shape) != 2 or shape[1] != SIDE * SIDE:
        raise UserError(
            f"{path} holds {kind} of shape {shape}; Quick, Draw! bitmaps are uint8 [N, 784]"
        )
    there = (path.stat().st_size - start) // shape[1]  # a download of the first part is enough
    count = min(shape[0], there, shape[0] if most is None else most)
    pixels = np.memmap(path, np.uint8, "r", start, (count, SIDE, SIDE))
    return np.asarray(pixels)


def read_strokes(path: Path, label: int, side: int, problems: list[str]) -> Iterator[Item]:
    """One item for each line of an `.ndjson` file, drawn when its turn comes."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                strokes = json.loads(line)["drawing"]
                points = [list(zip(stroke[0], stroke[1], strict=True)) for stroke in strokes]
            except (ValueError, KeyError, IndexError, TypeError):
                problems.append(f"{path.name} line {number} is no drawing and was left out")
                continue
            yield Item(f"{path.name} line {number}", partial(rasterised, points, side), (), label)


def rasterised(strokes: Sequence[Sequence[tuple[float, float]]], side: int = SIDE) -> np.ndarray:
    """White strokes on black, centred and antialiased: uint8 [side, side].

    Args:
        strokes: lines of (x, y), in 0 .. 255 as in the simplified files.
        side: pixels.
    """
    fine = side * _FINER
    scale = fine / (_CANVAS + 2 * _PADDING + _PEN)
    points = np.array([point for stroke in strokes for point in stroke], dtype=float)
    shift = np.zeros(2) if points.size == 0 else (points.min(0) + points.max(0)) / 2
    image = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(image)
    pen = _PEN * scale
    for stroke in strokes:
        line = [tuple((np.array(point) - shift) * scale + fine / 2) for point in stroke]
        draw.line(line, fill=255, width=round(pen), joint="curve")
        for x, y in (line[0], line[-1]) if line else ():  # round ends, and single points
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
    return np.asarray(image.reduce(_FINER))
