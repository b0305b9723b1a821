"""Quick, Draw! files: 28x28 bitmaps in `.npy`, simplified strokes in `.ndjson`."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inkling.data.source import Item
from inkling.errors import UserError
from inkling.system.reading import require_regular

SIDE = 28
_CANVAS, _PADDING, _PEN = 256, 16, 16
"""Strokes are on a canvas of 256 pixels; Google's own bitmaps use this padding and pen width."""
_SUPERSAMPLING = 8


def read_bitmaps(path: Path, most: int | None) -> np.ndarray:
    """The first `most` drawings of an `.npy` file, which may be truncated: uint8 [N, 28, 28].

    Raises:
        UserError: it is not an array of drawings.
    """
    try:
        with require_regular(path).open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
            shape, _, kind = read(file)
            start = file.tell()
    except Exception as error:  # NumPy parses the header as Python, which may raise anything
        raise UserError(f"{path} is no NumPy file ({error}); fetch it again") from None
    if kind != np.uint8 or len(shape) != 2 or shape[1] != SIDE * SIDE:
        raise UserError(
            f"{path} holds {kind} of shape {shape}; Quick, Draw! bitmaps are uint8 [N, 784]"
        )
    complete = (path.stat().st_size - start) // shape[1]  # the file may be a partial download
    count = min(shape[0], complete, shape[0] if most is None else most)
    pixels = np.memmap(path, np.uint8, "r", start, (count, SIDE, SIDE))
    return np.asarray(pixels)


def read_strokes(path: Path, label: int, side: int, problems: list[str]) -> Iterator[Item]:
    """One item for each line of an `.ndjson` file, rasterised on access."""
    with require_regular(path).open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                strokes = json.loads(line)["drawing"]
                points = [list(zip(stroke[0], stroke[1], strict=True)) for stroke in strokes]
            except (ValueError, LookupError, TypeError, RecursionError):
                problems.append(f"{path.name} line {number} is no drawing and was left out")
                continue
            yield Item(f"{path.name} line {number}", partial(rasterised, points, side), (), label)


def rasterised(strokes: Sequence[Sequence[tuple[float, float]]], side: int = SIDE) -> np.ndarray:
    """White strokes on black, centred and antialiased: uint8 [side, side].

    Args:
        strokes: lines of (x, y), in 0 .. 255 as in the simplified files.
        side: height and width in pixels.
    """
    fine = side * _SUPERSAMPLING
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
    return np.asarray(image.reduce(_SUPERSAMPLING))
