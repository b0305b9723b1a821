"""Every setting of the training of a small CLIP; no torch here either."""

from typing import Annotated

from msgspec import Meta

from inkling.config.recipe import RunRecipe
from inkling.config.sample import ScheduleConfig
from inkling.config.train import Train
from inkling.errors import UserError
from inkling.settings import Count, Fraction, Settings, Whole


class Towers(Settings, frozen=True):
    """A small CLIP: a vision transformer and a text transformer that meet in one space."""

    width: Count = 128
    """Of both towers, and of the space in which they meet."""
    layers: Count = 3
    """Of the vision tower."""
    text_layers: Count = 1
    """Of the text tower."""
    heads: Count = 4
    """Attention heads of each block; they divide the width."""
    patch: Whole = 0
    """Side of a patch in pixels; 0: a quarter of the picture's side."""
    max_tokens: Count = 32
    """Longest caption in tokens."""
    vocabulary_size: Annotated[int, Meta(ge=258)] = 4096
    """Byte-level BPE tokens at most; 256 bytes and two marks come first."""


class Contrast(Settings, frozen=True):
    """What the pictures go through before the CLIP reads them."""

    noisy: Fraction = 0.5
    """Fraction of the pictures that are shown under noise, so that it can guide at every level."""
    noise: ScheduleConfig = ScheduleConfig(
        name="lognormal", options={"mean": 0.3, "std": 1.2, "sigma_min": 0.005, "sigma_max": 80.0}
    )
    """The distribution of that noise."""
    jitter: Fraction = 1.0
    """How far pictures are turned, scaled and shifted: 1 is 0.2 rad, 10 % and 14 %; 0: not."""


class ClipRecipe(RunRecipe, frozen=True, tag="clip"):
    """The training of a small CLIP as a value."""

    usual_objective = "clip"
    structure = ("towers",)

    towers: Towers = Towers()
    contrast: Contrast = Contrast()
    train: Train = Train(
        budget=300.0,
        batch=128,
        optimiser="muon",
        lr=3e-3,
        muon_lr=0.01,
        betas=(0.9, 0.98),
        decay=0.6,
        clip=0.0,
    )

    def __post_init__(self) -> None:
        self.refuse_denoiser_settings()
        if self.towers.width % self.towers.heads:
            raise UserError(
                f"towers.width {self.towers.width} is not a multiple of towers.heads "
                f"{self.towers.heads}"
            )
