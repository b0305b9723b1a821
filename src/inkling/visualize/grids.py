"""Grids of small images with captions beside the rows or below the images."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from inkling.errors import UserError
from inkling.pixels import plain_picture
from inkling.system.disk import saved
from inkling.visualize.fonts import font_for

_GAP = 4
_TINY = 16
_PAPER, _INK, _EDGE = (255, 255, 255), (40, 40, 40), (225, 225, 225)
_FAINT = (120, 120, 120)
_MADE = "Description"
"""The field of a PNG that says what made a figure."""
_CAPTION_LINES = 4


def as_picture(image: np.ndarray) -> Image.Image:
    """A PIL image in colour of uint8 [C, H, W]; one channel is grey."""
    return plain_picture(image).convert("RGB")


def sheet(
    rows: Sequence[tuple[str, np.ndarray]],
    *,
    columns: Sequence[str] = (),
    cell: int = 64,
    most_columns: int = 12,
) -> Image.Image:
    """One grid: each row has a caption and its images.

    Args:
        rows: (caption, uint8 [N, C, H, W]); N may differ between rows.
        columns: headings over the columns, or none.
        cell: smallest height of an image in pixels; smaller images are enlarged by an integer
            factor with visible pixels, or smoothly if they have fewer than 16.
        most_columns: longer rows are wrapped, with their caption once.
    """
    height, width = rows[0][1].shape[-2:]
    factor = max(1, -(-cell // max(height, width)))
    tall, wide = height * factor, width * factor
    lines: list[tuple[str, np.ndarray]] = []
    for caption, images in rows:
        parts = [images[i : i + most_columns] for i in range(0, len(images), most_columns)]
        lines += [(caption if not i else "", part) for i, part in enumerate(parts)]
    # Enlarged pixels show the image as it is, but at 8x8 a smooth image is easier to recognise.
    tiny = max(height, width) < _TINY
    enlarge = Image.Resampling.BICUBIC if tiny else Image.Resampling.NEAREST
    across = max(len(images) for _, images in lines)
    font = font_for([*columns, *(caption for caption, _ in rows)], 12)
    words = [_fitted(caption, tall // 18) for caption, _ in lines]
    margin = _GAP + max(round(font.getlength(w)) for text in words for w in text.split("\n"))
    margin += 2 * _GAP if margin > _GAP else 0
    head = 20 if columns else _GAP
    size = (margin + across * (wide + _GAP), head + len(lines) * (tall + _GAP))
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for column, heading in enumerate(columns):
        x = margin + column * (wide + _GAP) + wide // 2
        draw.text((x, head // 2), heading, fill=_INK, font=font, anchor="mm")
    for line, (_, images) in enumerate(lines):
        y = head + line * (tall + _GAP)
        draw.multiline_text((_GAP, y + tall // 2), words[line], fill=_INK, font=font, anchor="lm")
        for column, image in enumerate(images):
            picture = as_picture(image).resize((wide, tall), enlarge)
            page.paste(picture, (margin + column * (wide + _GAP), y))
    return page


def contacts(
    pairs: Sequence[tuple[str, np.ndarray | None]], *, across: int = 6, cell: int = 144
) -> Image.Image:
    """A grid of images, each with its caption below.

    Args:
        pairs: (caption, uint8 [C, H, W]), all of one size; None leaves a cell empty.
        across: images in a row.
        cell: smallest width of an image in pixels.
    """
    height, width = next(image.shape[-2:] for _, image in pairs if image is not None)
    factor = max(1, -(-cell // max(height, width)))
    tall, wide = height * factor, width * factor
    font = font_for((caption for caption, _ in pairs), 11)
    letters = max(8, round(wide / font.getlength("n")))
    texts = [_fitted(caption, _CAPTION_LINES, letters) for caption, _ in pairs]
    below = 16 * max(text.count("\n") + bool(text) for text in texts) + _GAP
    across = min(across, len(pairs))
    down = -(-len(pairs) // across)
    size = (_GAP + across * (wide + 2 * _GAP), _GAP + down * (tall + below + _GAP))
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for index, (_, image) in enumerate(pairs):
        if image is None:
            continue
        row, column = divmod(index, across)
        x, y = _GAP + column * (wide + 2 * _GAP), _GAP + row * (tall + below + _GAP)
        page.paste(as_picture(image).resize((wide, tall), Image.Resampling.NEAREST), (x, y))
        draw.rectangle((x - 1, y - 1, x + wide, y + tall), outline=_EDGE)
        draw.multiline_text((x, y + tall + 2), texts[index], fill=_INK, font=font, spacing=2)
    return page


def _fitted(caption: str, most_lines: int, letters: int = 20) -> str:
    lines = textwrap.wrap(caption, letters)
    if len(lines) > max(most_lines, 1):
        lines = [*lines[: max(most_lines, 1)]]
        lines[-1] = lines[-1][: letters - 3] + "..."
    return "\n".join(lines)


def check_format(path: Path, *, axes: bool = False) -> None:
    """Refuse a name that no picture can be written to.

    Args:
        path: the file.
        axes: whether it is a figure with axes, which may also be drawn as lines (SVG).

    Raises:
        UserError: its extension is no format that can be written.
    """
    Image.init()
    known = {suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.SAVE}
    if path.suffix.lower() not in known | ({".svg"} if axes else set()):
        raise UserError(
            f"cannot write {path}: {path.suffix or 'no extension'} is no picture format; end the "
            "name in .png, .jpg or .webp"
        )


def save(page: Image.Image, path: str | Path) -> None:
    """Write the grid to a file, making its folder; what was there stays until it is complete.

    Raises:
        UserError: it cannot be written there, or not in that format.
    """
    made, file = page.info.get(_MADE), Path(path)
    options: dict[str, Any] = {}
    if made and file.suffix.lower() == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(_MADE, made)
    saved(lambda temporary: page.save(temporary, **options), file)


def signed(page: Image.Image, made: str) -> Image.Image:
    """The page with a line below it that says what made it; `save` writes it into a PNG as well.

    Args:
        page: a grid.
        made: such as "ddim, 10 steps, scale 1.5, seed 0".
    """
    font = font_for([made], 10)
    lines = textwrap.wrap(made, max(16, int(page.width / font.getlength("n")))) or [""]
    whole = Image.new("RGB", (page.width, page.height + 13 * len(lines) + _GAP), _PAPER)
    whole.paste(page)
    ImageDraw.Draw(whole).multiline_text(
        (_GAP, page.height), "\n".join(lines), fill=_FAINT, font=font, spacing=2
    )
    whole.info[_MADE] = made
    return whole
