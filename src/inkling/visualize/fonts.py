"""Fonts for labels in any script, among those that this computer has."""

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Segoe UI Symbol",
    "Arial Unicode MS",
)
"""Families with letters that DejaVu Sans lacks, as Linux, macOS and Windows have them."""


def font_for(texts: Iterable[str], size: int) -> ImageFont.FreeTypeFont:
    """The font for some labels: DejaVu Sans, which comes with matplotlib and has Latin, Greek and
    Cyrillic letters; or one of this computer, if it has more of the letters that they need.

    Args:
        texts: all labels of a figure.
        size: in pixels.
    """
    letters = frozenset(ord(letter) for text in texts for letter in text if letter.isprintable())
    return _sized(_file_for(letters), size)


@cache
def families() -> list[str]:
    """Font families of regular weight for matplotlib, which takes each letter from the first that
    has it; of one without, it would complain.
    """
    from matplotlib.font_manager import fontManager

    known = {entry.name for entry in fontManager.ttflist if entry.weight in (400, "normal")}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in known)]


@cache
def _sized(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@cache
def _dejavu() -> Path:
    spec = find_spec("matplotlib")
    assert spec is not None, "matplotlib is a dependency"
    assert spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _file_for(letters: frozenset[int]) -> Path:
    """The font file that has the most of some letters; DejaVu Sans where none has more."""
    best, missing = _dejavu(), len(letters - _letters_of(_dejavu()))
    if not missing:
        return best
    from matplotlib.font_manager import fontManager

    by_name = {entry.name: Path(entry.fname) for entry in fontManager.ttflist}
    for name in FALLBACKS:
        if name in by_name and (left := len(letters - _letters_of(by_name[name]))) < missing:
            best, missing = by_name[name], left
    return best


@cache
def _letters_of(file: Path) -> frozenset[int]:
    """The code points that a font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(file)).get_charmap())
