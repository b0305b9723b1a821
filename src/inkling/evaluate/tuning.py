"""Scores of sampling settings: one half of the held-out pictures and of the seeds is to choose by,
the other half says how good the chosen settings are.

The lowest of many noisy scores is too low. The other half had no part in the choice.
"""

import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inkling.config.recipe import RunRecipe
from inkling.config.sample import Sample
from inkling.errors import UserError, UserNote
from inkling.evaluate.evaluation import Evaluation
from inkling.evaluate.features import Features, Outputs
from inkling.evaluate.measures import (
    FRECHET,
    PROMPT_ACCURACY,
    Measure,
    frechet_distance,
    prompt_accuracy,
)
from inkling.evaluate.reference import HELD_OUT
from inkling.evaluate.search import Space
from inkling.evaluate.shapes import FAITHFUL, of_scenes
from inkling.models.checkpoint import locate, read_recipe
from inkling.sampling.calls import calls_of_each, network_calls

_ENOUGH = 1000
"""Held-out pictures with which the test split is left alone."""
_FEW = 4
"""Part of the pictures, one in so many, that judges every candidate."""


class Scored(NamedTuple):
    """Scores of settings on seeds and pictures that took no part in choosing them."""

    frechet: float
    accuracy: float | None
    """How often samples follow their prompts; None where no judge can tell."""
    milliseconds: float
    """A picture, all included."""


class Scorer:
    """Scores sampling settings of one model, all with the same prompts and seeds.

    Args:
        evaluation: of the model.
        features: in which pictures are compared.

    Raises:
        UserError: there are too few pictures, held out or to sample, for these features.
    """

    def __init__(self, evaluation: Evaluation, features: Features):
        self.evaluation, self.features = evaluation, features
        real = features(evaluation.reference.pixels()).features
        half, width = len(real) // 2, real.shape[1]
        if half <= width:
            raise UserError(
                f"{evaluation.held_against} has {len(real):,} pictures, and a Frechet distance of "
                f"{width} features from half of them needs {2 * width + 2:,}; train with a larger "
                "data.validation, or use other --features"
            )
        if evaluation.count <= width:
            raise UserError(
                f"--n {evaluation.count} is too few for a Frechet distance of {width} features; "
                f"take at least {width + 1}, better ten times as many"
            )
        self._real = {"choose": real[:half], "report": real[half:]}
        self.few = min(evaluation.count, max(2 * width, evaluation.count // _FEW))

    @property
    def many(self) -> int:
        """Pictures that choose among the best, and as many others that report."""
        return self.evaluation.count

    @property
    def space(self) -> Space:
        """What there is to choose from for this model."""
        diffusion = self.evaluation.pipeline.recipe.diffusion
        prompted = self.evaluation.plan.prompts != ("",)
        return Space(diffusion.noise, diffusion.sigma_data, prompted)

    def calls(self, settings: Sample) -> int:
        """Network calls that a picture takes."""
        return network_calls(settings, self.space.training, prompted=self.space.prompted)

    def guides(self, settings: Sample) -> bool:
        """Whether any step of a picture is guided."""
        each = calls_of_each(settings, self.space.training, prompted=self.space.prompted)
        return any(calls > 1 for _, calls in each)

    def choose(self, settings: Sample, count: int) -> float:
        """The Frechet distance of so many samples from the first half of the held-out pictures.

        Infinite where the samples have none, such as pictures that are all alike.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserNote)  # the same for every candidate
                images, _ = self._sampled(settings, 0, count)
            outputs = self.features(images)
            return self._frechet(outputs, "choose")
        except UserError:
            return float("inf")

    def report(self, settings: Sample) -> Scored:
        """Scores of fresh seeds against the second half of the held-out pictures."""
        first = self.many
        begin = time.perf_counter()
        images, rows = self._sampled(settings, first, self.many)
        seconds = time.perf_counter() - begin
        outputs = self.features(images)
        accuracy = self._accuracy(images, outputs, rows)
        return Scored(
            self._frechet(outputs, "report"),
            None if accuracy is None else accuracy.value,
            1000 * seconds / self.many,
        )

    @cached_property
    def floor(self) -> float | None:
        """The score of as many real training pictures; None, with a note, if there are too few."""
        rows = self.evaluation.real_rows
        if rows is None:
            return None
        real = self.evaluation.train.take(rows).pixels().cpu()
        return self._frechet(self.features(real), "report")

    @property
    def measure(self) -> str:
        """What `report` measures, in words."""
        seeds = f"seeds {self._seed(self.many)} to {self._seed(2 * self.many - 1)}"
        return (
            f"{FRECHET}, {self.many:,} samples ({seeds}; {self.evaluation.plan.describe()}) "
            f"against the second half of {self.evaluation.held_against}; features "
            f"{self.features.name}"
        )

    @property
    def accuracy_name(self) -> str:
        """The name of the score of following prompts; empty where there is none."""
        if self.evaluation.plan.scenes:
            return FAITHFUL
        return PROMPT_ACCURACY if self.evaluation.judged(self.features) else ""

    def _seed(self, row: int) -> int:
        return self.evaluation.plan.seed + row

    def _sampled(self, settings: Sample, first: int, count: int) -> tuple[Tensor, range]:
        """(samples `first` to `first + count - 1` uint8 [count, C, H, W], their numbers)."""
        plan, rows = self.evaluation.plan, range(first, first + count)
        images = self.evaluation.pipeline.batches(
            [plan.prompt(row) for row in rows],
            seeds=[self._seed(row) for row in rows],
            settings=settings,
        )
        return torch.cat(list(images)), rows

    def _frechet(self, outputs: Outputs, half: str) -> float:
        return frechet_distance(outputs.features, self._real[half]).value

    def _accuracy(self, images: Tensor, outputs: Outputs, rows: range) -> Measure | None:
        """How often samples follow their prompts, if a judge can tell."""
        plan = self.evaluation.plan
        if plan.scenes:
            scenes = [plan.scenes[row % len(plan.scenes)] for row in rows]
            return next(each for each in of_scenes(scenes, images) if each.name == FAITHFUL)
        if outputs.probabilities is None or not self.accuracy_name:
            return None
        prompted = np.array([plan.prompted[row % len(plan.prompted)] for row in rows])
        return prompt_accuracy(outputs.probabilities, prompted)


def scorer_for(
    run: Path,
    count: int,
    *,
    features: str | None = None,
    reference: str | None = None,
    data: Path | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Scorer:
    """A scorer of the settings of a run.

    Args:
        run: its folder or checkpoint.
        count: samples that choose among the best settings, and as many others that report.
        features: as in `Evaluation.features`; None: the judge of a set of classes, else pixels.
        reference: the split to score against; None: what the run held out of training if these
            are many, else the test split, or what was held out if there is none.
        data: folder of the data set, if it has moved since training.
        device: "auto", "cuda", "mps" or "cpu".
        seed: of the first sample.

    Raises:
        UserError: no run or one that cannot sample, no held-out pictures, or too few of them.
    """
    evaluation = Evaluation(
        run,
        count,
        data=data,
        device=device,
        reference=reference or _usual_reference(read_recipe(locate(run))),
        seed=seed,
    )
    usual = "judge" if evaluation.reference.classes else "pixels"
    return Scorer(evaluation, evaluation.features(features or usual))


def _usual_reference(recipe: RunRecipe) -> str:
    """The held-out pictures of the run if they are many, else the test split.

    In the second case `evaluation_data` takes the held-out ones where there is no test split.
    """
    return HELD_OUT if (recipe.data.validation or 0) >= _ENOUGH else "test"
