"""Emoji from the computer's own colour font, each with its Unicode name: about 3,500 pictures whose
captions compose ("woman astronaut, dark skin tone").

Nothing is downloaded. A tenth of the compositions of a person and a skin tone, say, can be held out
of training, and what a model should have drawn for them is known.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.extras import how_to_install

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
"""Of skin, by Unicode's names."""
_FONTS = ("NotoColorEmoji.ttf", "Apple Color Emoji.ttc", "seguiemj.ttf")
"""Of Linux, macOS and Windows; other fonts whose name has "emoji" in it come after these."""
_ENDINGS = (".ttf", ".ttc", ".otf")
_INSTALL = (
    "install one (Debian and Ubuntu: apt install fonts-noto-color-emoji), or name its file with "
    "--data FONT.ttf"
)
_SIZES = (109, 160, 136, 128, 96, 64)
"""Heights in pixels; fonts of bitmaps have one or two of them, outlines any."""
_TYPICAL, _UNKNOWN = "\N{GRINNING FACE}", "\U0010fffd"
"""A sequence that every such font has, and one that none has."""
_FULLY_QUALIFIED = 2
"""The status of one sequence for each emoji (`emoji.STATUS`)."""
_TONE = re.compile(r"_(light|medium-light|medium|medium-dark|dark)_skin_tone")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
"""Two regional indicators: the flag of a country."""
_MARGIN = 0.04
"""Free space around a picture, as a fraction of its longer side."""


class Emoji(NamedTuple):
    """An emoji."""

    sequence: str
    """Its code points."""
    name: str
    """Without the skin tone: "woman astronaut"."""
    tone: str
    """One of `TONES`, or none."""
    aliases: tuple[str, ...] = ()
    """Other names."""

    def captions(self) -> tuple[str, ...]:
        """The sentences that describe it, the name first."""
        end = f", {self.tone} skin tone" if self.tone else ""
        return tuple(dict.fromkeys(f"{name}{end}" for name in (self.name, *self.aliases)))


def _emoji_data() -> Mapping[str, Mapping[str, Any]]:
    try:
        from emoji.unicode_codes import EMOJI_DATA
    except ImportError:
        raise UserError(
            f"the names of emoji come from the package emoji: {how_to_install('emoji')}"
        ) from None
    known: Mapping[str, Mapping[str, Any]] = EMOJI_DATA
    return known


def every_emoji() -> tuple[Emoji, ...]:
    """All emoji of Unicode, in the order of their names; those with the skin tones of two people
    are left out.

    Raises:
        UserError: the package with their names is missing.
    """
    found = []
    for sequence, about in _emoji_data().items():
        tones = _TONE.findall(about["en"])
        if about["status"] == _FULLY_QUALIFIED and len(tones) <= 1:
            names = [_words(name, sequence) for name in (about["en"], *about.get("alias", ()))]
            found.append(Emoji(sequence, names[0], "".join(tones), tuple(names[1:])))
    return tuple(sorted(found, key=lambda each: (each.name, each.tone)))


def _words(name: str, sequence: str) -> str:
    """A name such as ":woman_astronaut_dark_skin_tone:" in words, without the skin tone."""
    words = _TONE.sub("", name.strip(":")).replace("_", " ")
    is_bare_flag = _FLAG.fullmatch(sequence) and "flag" not in words
    return f"flag of {words}" if is_bare_flag else words


def held_out(known: Sequence[Emoji], fraction: float) -> frozenset[Emoji]:
    """The emoji held out of training: this fraction of the compositions of a name and a skin tone,
    spread evenly over both, so that training has every name and every tone.

    Raises:
        UserError: a name would lose all of its tones, or nothing would be held out.
    """
    by_name: dict[str, list[Emoji]] = {}
    for each in known:
        if each.tone:
            by_name.setdefault(each.name, []).append(each)
    complete = [tones for tones in by_name.values() if len(tones) == len(TONES)]
    count = round(fraction * len(complete) * len(TONES))
    if fraction and not 0 < count <= len(complete) * (len(TONES) - 1):
        raise UserError(
            f"data.hold_out={fraction:g} is not between one composition and four fifths"
        )
    # Neighbours in this order have other tones, and at most four fall on one name.
    places = ((number * len(complete) // count, number % len(TONES)) for number in range(count))
    return frozenset(complete[name][tone] for name, tone in places)


class Font:
    """A font with coloured emoji.

    Raises:
        UserError: it cannot be read, or has no coloured emoji.
    """

    def __init__(self, file: Path):
        if not features.check("raqm"):
            raise UserError(
                "this build of Pillow cannot join emoji sequences (it lacks libraqm); install "
                "Pillow's own wheel: pip install --force-reinstall pillow"
            )
        self._font = self._opened(file)
        self._side = round(2 * self._font.size)
        self._width = self._font.getlength(_TYPICAL)
        self._unknown = self._drawn(_UNKNOWN).tobytes()
        pixels = np.asarray(self._drawn(_TYPICAL)).astype(int)
        coloured = np.ptp(pixels[..., :3], axis=-1)[pixels[..., 3] > 0]
        if coloured.size == 0 or coloured.max() == 0:
            raise UserError(f"{file} has no coloured emoji; {_INSTALL}")

    @staticmethod
    def _opened(file: Path) -> ImageFont.FreeTypeFont:
        for size in _SIZES:
            try:
                return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.RAQM)
            except OSError:  # not this size, or no font at all
                continue
        raise UserError(f"cannot read {file} as a font; {_INSTALL}")

    def _drawn(self, sequence: str) -> Image.Image:
        image = Image.new("RGBA", (self._side, self._side), (255, 255, 255, 0))
        place = (self._side // 8, self._side // 8)
        ImageDraw.Draw(image).text(place, sequence, font=self._font, embedded_color=True)
        return image

    def draw(self, sequence: str) -> np.ndarray | None:
        """The picture of an emoji, uint8 [S, S, 4] with transparency; None if the font lacks it.

        A sequence that a font does not know falls apart into its parts, or is shown as a box.
        """
        if not 0 < self._font.getlength(sequence) < 1.5 * self._width:
            return None
        image = self._drawn(sequence)
        box = image.getbbox()
        if box is None or image.tobytes() == self._unknown:
            return None
        left, top, right, bottom = box
        side = round(max(right - left, bottom - top) * (1 + 2 * _MARGIN))
        square = Image.new("RGBA", (side, side), (255, 255, 255, 0))
        square.paste(image.crop(box), ((side - right + left) // 2, (side - bottom + top) // 2))
        return np.asarray(square)


def find_font(path: Path | None) -> Path:
    """The file of a font: the one named, one in the folder named, or the computer's own.

    Raises:
        UserError: there is none with colour; it says what was looked for.
    """
    if path is not None and path.is_file():
        return path
    if path is not None:
        files: Iterable[str] = map(str, sorted(path.iterdir()))
    else:
        from matplotlib.font_manager import findSystemFonts

        files = findSystemFonts()
    fonts = {Path(file).name: Path(file) for file in files if file.lower().endswith(_ENDINGS)}
    others = sorted(name for name in fonts if "emoji" in name.lower())
    for name in (*_FONTS, *others):
        if name in fonts and _has_colour(fonts[name]):
            return fonts[name]
    where = f"in {path}" if path is not None else "among this computer's fonts"
    raise UserError(f"no font with coloured emoji {where} ({', '.join(_FONTS)}); {_INSTALL}")


def _has_colour(file: Path) -> bool:
    """Whether a font can be read and has coloured emoji."""
    try:
        Font(file)
    except UserError:
        return False
    return True


def find(folder: Path | None, split: str, options: Options) -> Source:
    """The emoji of a font: all but those held out ("train"), or these ("test", "held_out").

    Raises:
        UserError: no font, or none with colour; nothing is held out.
    """
    font = find_font(folder)
    known = every_emoji()
    apart = held_out(known, options.hold_out)
    if split != "train" and not apart:
        raise UserError("nothing is held out; set data.hold_out to a fraction such as 0.1")
    wanted = [each for each in known if (each in apart) == (split != "train")]
    problems: list[str] = []

    def items() -> Iterator[Item]:
        drawn = Font(font)
        for each in wanted:
            captions, picture = each.captions(), drawn.draw(each.sequence)
            if picture is None:
                problems.append(f"{font.name} has no {captions[0]!r}")
            else:
                yield Item(captions[0], picture, captions)

    names = hashlib.sha256(repr(wanted).encode()).hexdigest()
    return Source(
        items, None, (font,), stamp=names, problems=problems, layout=f"emoji of {font.name}"
    )


EMOJI = Dataset(
    title="emoji of the computer's colour font with their Unicode names, about 3,500",
    find=find,
    licence="that of the font: Noto Color Emoji is under the SIL Open Font License 1.1, the fonts "
    "of macOS and Windows are their makers'",
    citation="Unicode Technical Standard 51; the names are those of Unicode CLDR",
    size=32,
    channels=3,
    classes=False,
    splits=("train", "test", "held_out"),
)
