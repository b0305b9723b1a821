"""Every setting of a small CLIP's training, on one page; no torch here either."""

from typing import Annotated

from msgspec import Meta

from inkling.config.recipe import Count, Data, Positive, Schedule, Settings, Share, Whole
from inkling.errors import UserError


class Towers(Settings, frozen=True):
    """A small CLIP: a vision transformer and a text transformer that meet in one space."""

    width: Count = 128
    """Of both towers, and of the space in which they meet."""
    layers: Count = 3
    """Of the vision tower."""
    text_layers: Count = 1
    heads: Count = 4
    patch: Whole = 0
    """Side of a patch in pixels; 0: a quarter of the picture's side."""
    max_tokens: Count = 32
    vocabulary_size: Annotated[int, Meta(ge=258)] = 4096


class Contrast(Settings, frozen=True):
    """How a CLIP learns which captions belong to which pictures."""

    steps: Whole = 0
    """Optimiser steps; 0: as many as fit the budget."""
    budget: Annotated[float, Meta(ge=0)] = 300.0
    """Seconds, when steps is 0."""
    seed: Whole = 0
    batch: Count = 128
    lr: Positive = 3e-3
    """AdamW's, for first and last layers."""
    muon_lr: Positive = 0.01
    """Muon's, for the hidden matrices."""
    weight_decay: Annotated[float, Meta(ge=0)] = 0.01
    warmup: Whole = 50
    decay: Share = 0.6
    """Last share of the run in which the learning rates fall linearly to zero."""
    noisy: Share = 0.5
    """Share of the pictures that are shown under noise, so that it can guide at every level."""
    noise: Schedule = Schedule(
        name="lognormal", options={"mean": 0.3, "std": 1.2, "sigma_min": 0.005, "sigma_max": 80.0}
    )
    jitter: Share = 1.0
    """How far pictures are turned, scaled and shifted: 1 is 0.2 rad, 10 % and 14 %; 0: not."""


class ClipRecipe(Settings, frozen=True):
    """The training of a small CLIP as a value."""

    name: str
    source: str
    expected: str = ""
    data: Data = Data()
    towers: Towers = Towers()
    train: Contrast = Contrast()

    def __post_init__(self) -> None:
        if self.towers.width % self.towers.heads:
            raise UserError(
                f"towers.width {self.towers.width} is not a multiple of towers.heads "
                f"{self.towers.heads}"
            )
