"""Which pictures, in which form. No torch here."""

from typing import Annotated, Literal

from msgspec import Meta

from inkling.settings import Count, Fraction, Settings, Whole

Resize = Literal["crop", "pad", "fit"]
_VALIDATION = 500
"""Pictures held out where the settings do not say."""


class Options(Settings, frozen=True):
    """How pictures are chosen and brought to one form. Null: as the data set says."""

    size: Count | None = None
    """Height and width in pixels; null, here and below: as the data set says, or as fits what is
    there."""
    resize: Resize = "crop"
    """Cut what sticks out of the square; keep pixels and surround them; scale and surround."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour."""
    background: Annotated[int, Meta(ge=0, le=255)] | None = None
    """Grey value behind transparency and around padded pictures."""
    captions: bool = True
    """False: without captions and classes, for an unconditional model."""
    classes: tuple[str, ...] = ()
    """Only these classes; empty: the data set's own choice."""
    limit: Count | None = None
    """Pictures at most, of each class where there are classes."""
    caption: Annotated[str, Meta(pattern=r"^$|\{\}")] = ""
    """One sentence for every class, such as "Drawing of {}"; empty: the set's own phrasings."""
    hold_out: Fraction = 0.0
    """Fraction of the combinations kept from training, in a set that has combinations."""
    unreadable: Fraction = 0.01
    """Fraction of pictures that may be unreadable before preparation stops."""
    mirror: bool | None = None
    """Mirror half of the pictures; never where left and right mean something."""


class Data(Options, frozen=True):
    """Which pictures a run learns from."""

    name: str = "mnist"
    """A key of `inkling.data.DATASETS`."""
    path: str = ""
    """A folder to read from; empty: the embedded set, the cache or a download."""
    validation: Whole | None = None
    """Pictures held out of the training split (never of the test split); null: 500, or a tenth of
    a small set."""
    codec: str = ""
    """A codec run whose latents a denoiser learns; empty: pixels."""

    def validation_count(self, total: int) -> int:
        """How many of so many pictures are held out of training."""
        return min(_VALIDATION, total // 10) if self.validation is None else self.validation
