"""Settings of the data: which images, in which format. Does not import torch."""

from typing import Annotated, Literal

from msgspec import Meta

from inkling.settings import Count, Fraction, Settings, Whole

Resize = Literal["crop", "pad", "fit"]
_VALIDATION = 500
"""Images held out by default."""


class Options(Settings, frozen=True):
    """Selection and format of the images."""

    size: Count | None = None
    """Height and width in pixels; null: the data set's default, or else chosen from the images.
    Half the size trains about four times as fast."""
    resize: Resize = "crop"
    """crop: fill the square and crop; pad: pad, scale down only; fit: scale to fit and pad."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour; null: as the images are."""
    background: Annotated[int, Meta(ge=0, le=255)] | None = None
    """Grey value behind transparency and in the padding; null: chosen from the images."""
    captions: bool = True
    """False: drop captions and classes, for an unconditional model."""
    classes: tuple[str, ...] = ()
    """Only these classes; empty: the data set's default."""
    limit: Count | None = None
    """Largest number of images, of each class if there are classes."""
    caption: Annotated[str, Meta(pattern=r"^$|\{\}")] = ""
    """One sentence for every class, such as "Drawing of {}"; empty: the set's own phrasings."""
    hold_out: Fraction = 0.0
    """Fraction of the combinations held out of training, in a set that has combinations."""
    unreadable: Fraction = 0.01
    """Fraction of images that may be unreadable before preparation stops."""
    mirror: bool | None = None
    """Flip half of the images horizontally, except those whose caption says left or right; null: as
    the data set does."""


class Data(Options, frozen=True):
    """The data that a run is trained on."""

    name: str = "mnist"
    """A key of `inkling.data.DATASETS`."""
    path: str = ""
    """A folder to read from; empty: the embedded set, the cache or a download."""
    validation: Whole | None = None
    """Images held out of the training split (never of the test split); null: 500, or a tenth of
    a small set."""
    codec: str = ""
    """A codec run on whose latents the denoiser is trained; empty: on pixels."""

    def validation_count(self, total: int) -> int:
        """Number of images that are held out of `total` training images."""
        return min(_VALIDATION, total // 10) if self.validation is None else self.validation
