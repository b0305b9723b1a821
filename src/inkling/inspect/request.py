"""What is asked of a figure: whose, with which prompts and settings."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import Tensor

from inkling.core.samplers import SAMPLERS
from inkling.data import Pictures, read_pictures
from inkling.errors import UserError, UserNote
from inkling.sampling.clip_guidance import Guide, guide_for
from inkling.sampling.pipeline import TextToImage
from inkling.sampling.prompts import Picture

_PROMPTS = 10


@dataclass
class PlotRequest:
    """The runs and options of a figure."""

    runs: Sequence[Path]
    """Run folders; most figures show the first."""
    given: Sequence[str] = ()
    """Prompts; empty: prompts from the training set, or those that the CLIP knows."""
    like: Sequence[Path] = ()
    """Pictures as prompts, for a model that reads pictures."""
    seed: int = 0
    device: str = "auto"
    data: Path | None = None
    """Folder of the data set, if it has moved since training."""
    options: dict[str, Any] = field(default_factory=dict)
    """Any of sampler, steps and scale, in place of the run's recommended ones."""
    swept: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Values of sampler, steps, calls and scale that the figure sweep compares."""
    levels: Sequence[float] = ()
    """Noise levels of strips, in `unit`; empty: `strips.TIMES`."""
    unit: str = "t"
    weights: str = "ema"
    """"ema" for the averaged weights, "raw" for the last ones."""
    estimate: bool = False
    """Show estimates of the clean image instead of noisy images."""
    guidance: dict[str, Any] = field(default_factory=dict)
    """Settings of CLIP guidance in place of those that the run recommends, by name."""

    def values(self, name: str) -> Sequence[Any]:
        """The values of sampler, steps, calls or scale to compare; none: the figure's own."""
        alone = [self.options[name]] if name in self.options else []
        return self.swept.get(name) or alone

    @property
    def run(self) -> Path:
        """The first run."""
        return self.runs[0]

    @cached_property
    def pipeline(self) -> TextToImage:
        """The model of the first run."""
        return TextToImage.load(self.run, self.device, self.weights)

    @cached_property
    def pictures(self) -> Pictures:
        """The training split of the first run, held-out images included."""
        settings = self.pipeline.recipe.data
        if self.data is not None:
            settings = msgspec.structs.replace(settings, path=str(self.data))
        return read_pictures(settings)

    @cached_property
    def guide(self) -> Guide | None:
        """The CLIP that was asked for; where prompts are given, the one that the run recommends.

        Raises:
            UserError: as `guide_for`.
        """
        recommended = self.pipeline.recipe.sample.clip
        return guide_for(recommended, self.guidance, self.given or None, self.pipeline.device)

    @cached_property
    def guided_prompts(self) -> list[str]:
        """Prompts of figures that a CLIP may guide: where one does, the classes that it knows.

        Raises:
            UserError: no prompt is given, and the CLIP knows no class.
        """
        if self.given or self.guide is None:
            return self.prompts
        known = self.guide.clip.known.classes
        if not known:
            raise UserError("this CLIP knows no classes to ask for; name prompts with --prompt")
        return [*known][:_PROMPTS]

    @cached_property
    def prompts(self) -> list[str]:
        """The given prompts, or the classes, some captions, some pictures, or the empty prompt."""
        if self.conditions:
            return [*self.conditions][:_PROMPTS]
        if self.given or self.pipeline.classes:
            return [*(self.given or self.pipeline.classes)][:_PROMPTS]
        captions = [sentence for sentence in self.pictures.distinctive if sentence]
        if not captions or not self.pipeline.recipe.data.captions:
            return [""]
        some = captions[:: max(1, len(captions) // _PROMPTS)]
        return [each for each in some if self.pipeline.model.text.takes(each)][: _PROMPTS // 2] or [
            ""
        ]

    @cached_property
    def conditions(self) -> dict[str, np.ndarray]:
        """Pictures that are prompts, uint8 [C, H, W] by name: those of `like`, or some that were
        held out of training, or trained on if none were. Empty where prompts are captions.
        """
        pipeline = self.pipeline
        if self.like or (pipeline.model.text.reads_pictures and not self.given):
            shown: Sequence[Picture] = self.like or [*self._examples()]
            names = pipeline.named(shown)
            return {str(n): pipeline.picture(p).numpy() for n, p in zip(names, shown, strict=True)}
        return {}

    def _examples(self) -> Tensor:
        """Some held-out pictures, uint8 [N, C, H, W]."""
        everything, recipe = self.pictures, self.pipeline.recipe
        count = recipe.data.validation_count(len(everything))
        held = everything.split(count, recipe.train.seed)[1]
        some = held if len(held) else everything
        return some.take(some.examples(_PROMPTS)).pixels().cpu()

    @property
    def guided(self) -> dict[str, Any]:
        """Options for figures that a CLIP may guide, as in `TextToImage.steps`."""
        return {"guide": self.guide, **self.options}

    @property
    def guided_many(self) -> dict[str, Any]:
        """As `many`, for figures that a CLIP may guide; under one, its own sampler and steps."""
        return self.many if self.guide is None else self.guided

    @property
    def distilled(self) -> bool:
        """Whether the model samples at its own noise levels only."""
        return self.pipeline.recipe.distil is not None

    @property
    def many(self) -> dict[str, Any]:
        """Options for figures that show many noise levels, with many solver steps."""
        if self.distilled:  # it has few noise levels, and only these
            return self.options
        chosen = {"sampler": "ddim", "steps": 100} | self.options
        own = self.pipeline.recipe.sample
        if SAMPLERS[own.sampler].stochastic and not self.options.keys() & {"sampler", "steps"}:
            warnings.warn(
                f"drawn with ddim in 100 steps; --sampler {own.sampler} --steps {own.steps} is how "
                "the recipe samples",
                UserNote,
                stacklevel=2,
            )
        return chosen
