"""The evaluation of a run: its model, its training images, the reference, and every score."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from inkling.core.rng import stream
from inkling.errors import UserError, UserNote
from inkling.evaluate import learned_scores
from inkling.evaluate.emoji import every_picture, of_emoji
from inkling.evaluate.features import Features, OfJudge, Outputs
from inkling.evaluate.features import features as see
from inkling.evaluate.judge import judge_for
from inkling.evaluate.measures import PROMPT_ACCURACY, Measure, accuracy_of, of_outputs
from inkling.evaluate.memory import Memory, Nearest, memory, nearest_images
from inkling.evaluate.reference import evaluation_data, known_rows, parts_of
from inkling.evaluate.samples import Plan, cached_samples, home, key, model_of, plan
from inkling.evaluate.scores import Report, Terms, scored
from inkling.evaluate.shapes import of_scenes
from inkling.models.clip import Clip
from inkling.sampling.pipeline import TextToImage
from inkling.system.progress import bar

_UNSEEN = 2000
"""Reference images whose nearest training images are compared with those of samples."""


class Evaluation:
    """Scores of one run.

    Args:
        run: its folder.
        count: number of samples.
        data: folder of the data set, if it has moved since training.
        device: "auto", "cuda", "mps" or "cpu".
        reference: the split to compare samples with: "test".
        weights: "ema" or "raw".
        seed: of the first sample.
        sampling: changes to the run's recommended sampling settings, by name.
        balanced: prompt for each class equally often, and score against as many pictures of each;
            else as often as it is in the reference.

    Raises:
        UserError: there is no run or no data, or the model was trained on the reference.
    """

    def __init__(
        self,
        run: Path,
        count: int,
        *,
        data: Path | None = None,
        device: str = "auto",
        reference: str = "test",
        weights: str = "ema",
        seed: int = 0,
        sampling: Mapping[str, Any] | None = None,
        balanced: bool = False,
    ):
        self.run, self.count = run, count
        self.pipeline = TextToImage.load(run, device, weights)
        self.data = self.pipeline.recipe.data
        if data is not None:
            self.data = msgspec.structs.replace(self.data, path=str(data))
        found = evaluation_data(self.pipeline, self.data, reference, balanced)
        self.train, self.reference, self.held_against, self._withheld = found
        settings = self.pipeline.settings(**(sampling or {}))
        self.plan: Plan = plan(self.pipeline, self.reference, settings, seed, weights, balanced)
        self._outputs: dict[str, Outputs] = {}

    def batches(self) -> Iterator[Tensor]:
        """Samples in batches; stored batches are read from disk."""
        yield from cached_samples(self.pipeline, self.plan, self.count, self.run)

    def samples(self) -> Tensor:
        """All samples, uint8 [N, C, H, W], with a progress bar.

        Raises:
            UserError: some of the stored samples are missing.
        """
        parts = []
        with bar("sampling", self.count) as advance:
            for images in self.batches():
                parts.append(images)
                advance(len(images))
        images = torch.cat(parts)
        if len(images) != self.count:
            stored = f"{len(images)} of {self.count} samples are stored"
            raise UserError(f"only {stored} in {home(self.run)}; remove that folder")
        return images

    @property
    def prompted(self) -> np.ndarray | None:
        """The class of each sample's prompt, if the prompts name classes."""
        if not self.plan.prompted:
            return None
        rows = np.arange(self.count) % len(self.plan.prompted)
        return np.array(self.plan.prompted)[rows]

    def features(self, text: str) -> Features:
        """Features by name, as in `evaluate.features.features`; no judge has seen the reference.

        Raises:
            UserError: there are no such features, or the judge learnt from the reference.
        """
        if text == "judge" and self._withheld is not None:
            return OfJudge(*judge_for(self.data, self._withheld))
        found = see(text, self.data, self.pipeline.device)
        known = self.pipeline.card.fingerprint
        if isinstance(found, OfJudge) and self._withheld and found.judge.fingerprint == known:
            raise UserError(
                f"{found.name} was trained on the pictures of which some are the reference; leave "
                "the file out (--features judge), and one is trained without them"
            )
        return found

    def file(self, features: Features) -> Path:
        """The file for its scores by these features."""
        name = re.sub(r"[^\w.]+", "-", features.name)
        return home(self.run) / f"scores-{name}-{self.count}-{key(self.run, self.plan)}.json"

    def terms(self, features: Features) -> Terms:
        """The terms of scores with these features."""
        return Terms(
            n=self.count,
            data=self.data.name,
            reference=self.held_against,
            features=features.name,
            resize=features.resize,
            seeds=f"{self.plan.seed} to {self.plan.seed + self.count - 1}",
            prompts=self.plan.describe(),
        )

    def _real(self, features: Features) -> Outputs:
        """The features of the reference, computed once."""
        if features.name not in self._outputs:
            self._outputs[features.name] = features(self.reference.pixels())
        return self._outputs[features.name]

    def measures(self, images: Tensor, outputs: Outputs, features: Features) -> list[Measure]:
        """All scores that can be resampled.

        Args:
            images: the samples.
            outputs: the samples' features and class probabilities.
            features: the features.
        """
        prompted = self.prompted if self.judged(features) else None
        found = of_outputs(outputs, self._real(features), prompted)
        if self.plan.scenes:
            scenes = [self.plan.scenes[i % len(self.plan.scenes)] for i in range(self.count)]
            found += of_scenes(scenes, images)
        if self.data.name == "emoji" and self.data.captions:
            prompts = [self.plan.prompts[i % len(self.plan.prompts)] for i in range(self.count)]
            found += of_emoji(prompts, images, every_picture(self.data))
        return found

    def judged(self, features: Features) -> bool:
        """Whether these features classify images into the classes of the prompts, by name."""
        template = self.data.caption or "{}"
        captions = tuple(template.replace("{}", name) for name in features.classes)
        known = self.reference.classes in (features.classes, captions)
        return bool(self.plan.prompted) and known

    def judge_accuracy(self, features: Features) -> Measure | None:
        """How often these features recognise the class of a real image of the reference.

        None where they do not tell the classes of the prompts apart.

        Raises:
            UserError: as `accuracy_of`.
        """
        probabilities = self._real(features).probabilities
        if probabilities is None or not self.judged(features):
            return None
        return accuracy_of(features.name, probabilities, self.reference.labels.numpy())

    @cached_property
    def real_rows(self) -> Tensor | None:
        """Random training images in place of the samples: one for each, of its prompt's class.

        None, with a note, where there are too few.
        """
        order = torch.randperm(len(self.train), generator=stream(self.plan.seed, "floor"))
        if self.prompted is None:
            chosen = order[: self.count]
        else:
            labels = self.train.labels[order]
            wanted = np.bincount(self.prompted)
            parts = [order[labels == label][:count] for label, count in enumerate(wanted)]
            chosen = torch.cat(parts)
        if len(chosen) == self.count:
            return chosen
        lack = f"it takes {self.count:,} training pictures in the classes of the prompts"
        warnings.warn(f"no noise floor: {lack}, and there are too few", UserNote, stacklevel=3)
        return None

    def floors(self, features: Features) -> dict[str, Measure]:
        """Noise floors: the same measures of as many real training images.

        That of prompt accuracy is the judge's accuracy on the reference, since it was trained on
        the training images.
        """
        rows = self.real_rows
        if rows is None:
            return {}
        some = self.train.take(rows)
        measures = of_outputs(features(some.pixels()), self._real(features))
        floors = {measure.name: measure for measure in measures}
        accuracy = self.judge_accuracy(features)
        return floors | ({PROMPT_ACCURACY: accuracy} if accuracy else {})

    def memorised(self, images: Tensor) -> tuple[Memory, Nearest]:
        """Memorisation, and the nearest training image of each sample, by its row in `train`."""
        some = self.reference.take(torch.arange(min(_UNSEEN, len(self.reference))))
        both = torch.cat([images, some.pixels().cpu()])
        with bar("searching training pictures", len(rows := known_rows(self.train))) as advance:
            near = nearest_images(both, self._parts(advance), self.train.mirror)
        samples, unseen = (
            Nearest(*(each[part] for each in near))
            for part in (slice(len(images)), slice(len(images), None))
        )
        samples = samples._replace(row=rows[samples.row])
        return memory(samples, unseen, len(rows)), samples

    def _parts(self, advance: Callable[[int], None]) -> Iterator[Tensor]:
        """The training images part by part; says when each was compared."""
        for part in parts_of(self.train):
            yield part
            advance(len(part))

    def confusion(self, outputs: Outputs, features: Features) -> list[list[int]] | None:
        """How often samples of each prompted class [row] are recognised as each class [column]."""
        probabilities, prompted = outputs.probabilities, self.prompted
        if probabilities is None or prompted is None or not self.judged(features):
            return None
        names = range(probabilities.shape[1])
        table: list[list[int]] = confusion_matrix(
            prompted, probabilities.argmax(1), labels=names
        ).tolist()
        return table

    def report(
        self,
        images: Tensor,
        features: Features,
        found: Memory,
        clip: Clip | None = None,
        cas: bool = True,
    ) -> Report:
        """Every score of the samples.

        Args:
            images: the samples.
            features: the features for the scores.
            found: memorisation, from `memorised`.
            clip: a CLIP for the CLIP score.
            cas: whether to train a classifier on the samples for CAS, if prompts name classes.
        """
        accuracy = self.judge_accuracy(features)
        outputs, floors = features(images), self.floors(features)
        measures = self.measures(images, outputs, features)
        if accuracy is not None:
            measures.append(accuracy)
        if clip is not None:
            prompts = [self.plan.prompt(row) for row in range(self.count)]
            measures += learned_scores.clip_scores(images, prompts, clip)
        scores = [scored(m, floors.get(m.name)) for m in measures if _is_finite(m)]
        if cas and self.prompted is not None and bool((self.reference.labels >= 0).any()):
            rows = self.real_rows
            parts = (self.train, None if rows is None else self.train.take(rows), self.reference)
            scores.append(learned_scores.cas(images, self.prompted.tolist(), *parts))
        if self.pipeline.model.codec.is_pixels and self.pipeline.recipe.distil is None:
            captioned = self.plan.prompts != ("",)
            scores.append(
                learned_scores.bits(self.pipeline, self.reference, captioned, self.plan.seed)
            )
        return Report(
            run=str(self.run),
            model=model_of(self.run),
            sampling=self.plan.sampling(),
            terms=self.terms(features),
            scores=scores,
            details=self._details(found, self.confusion(outputs, features)),
        )

    def _details(self, memory: Memory, confusion: list[list[int]] | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "memorised": memory._asdict()
            | {"memorises": memory.memorises, "summary": memory.summary},
            "steps": self.pipeline.card.steps,
            "classes": list(self.reference.classes),
        }
        return found | ({"confusion": confusion} if confusion else {})


def _is_finite(measure: Measure) -> bool:
    """Whether a score is a number; one that is not is left out, with a note."""
    if np.isfinite(measure.value):
        return True
    warnings.warn(f"no {measure.name}: it is not a finite number", UserNote, stacklevel=3)
    return False
