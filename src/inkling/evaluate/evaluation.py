"""A run made ready for scores: its model, what it was trained on, what it is held against."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from inkling.core.likelihood import bits_per_dimension
from inkling.core.noise import ends_of
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.errors import UserNote
from inkling.evaluate.draws import Plan, draw, home, key, model_of, plan
from inkling.evaluate.features import Features, Outputs
from inkling.evaluate.intervals import of_a_share
from inkling.evaluate.judge import train_judge
from inkling.evaluate.measures import Measure, of_outputs
from inkling.evaluate.memory import Memory, Nearest, memory, nearest
from inkling.evaluate.reference import evaluation_data
from inkling.evaluate.scores import Report, Score, Terms, scored
from inkling.evaluate.shapes import faithfulness_of_each
from inkling.models.build import noise_schedule
from inkling.models.card import Card
from inkling.models.clip import Clip
from inkling.pixels import from_bytes
from inkling.sampling.pipeline import TextToImage

_UNSEEN = 2000
"""Real pictures whose nearest training picture is sought for comparison."""
_BITS = 500
"""Reference pictures whose bits are counted."""


class Evaluation:
    """Scores of one run.

    Args:
        run: its folder.
        count: pictures to draw.
        data: where the data set lies now, if elsewhere than in training.
        device: "auto", "cuda", "mps" or "cpu".
        reference: the split to be held against: "test".
        weights: "ema" or "raw".
        seed: of the first picture.
        sampling: changes to the sampling that the run recommends, by setting.

    Raises:
        UserError: no run, no data, or a reference that the model was trained on.
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
    ):
        self.run, self.count = run, count
        self.pipeline = TextToImage.load(run, device, weights)
        self.data = self.pipeline.recipe.data
        if data is not None:
            self.data = msgspec.structs.replace(self.data, path=str(data))
        self.train, self.known, self.reference, self.held_against = evaluation_data(
            self.pipeline, self.data, reference
        )
        settings = self.pipeline.settings(**(sampling or {}))
        self.plan: Plan = plan(self.pipeline, self.reference, settings, seed, weights)
        self._outputs: dict[str, Outputs] = {}

    def draw(self) -> Iterator[Tensor]:
        """Batches of pictures; drawn ones are kept and read again."""
        yield from draw(self.pipeline, self.plan, self.count, self.run)

    @property
    def prompted(self) -> np.ndarray | None:
        """The class asked for in each picture, if classes were."""
        if not self.plan.prompted:
            return None
        rows = np.arange(self.count) % len(self.plan.prompted)
        return np.array(self.plan.prompted)[rows]

    def file(self, kind: str) -> Path:
        """Where its scores by a kind of features are kept."""
        return home(self.run) / f"scores-{kind}-{self.count}-{key(self.run, self.plan)}.json"

    def terms(self, features: Features) -> Terms:
        """What scores of this kind depend on."""
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
        """What features make of the reference, worked out once."""
        if features.name not in self._outputs:
            self._outputs[features.name] = features(self.reference.pixels())
        return self._outputs[features.name]

    def measures(self, images: Tensor, drawn: Outputs, features: Features) -> list[Measure]:
        """Everything that can be resampled.

        Args:
            images: the drawn pictures.
            drawn: what the features make of them.
            features: the features.
        """
        prompted = self.prompted if self._judged(features) else None
        found = of_outputs(drawn, self._real(features), prompted)
        if self.plan.scenes:
            scenes = [self.plan.scenes[i % len(self.plan.scenes)] for i in range(self.count)]
            names = ("colour", "shape", "size", "relation")
            rights = faithfulness_of_each(scenes, images)
            found += [
                Measure(f"faithful: {name}", "higher", rights[:, column])
                for column, name in enumerate(names)
            ]
            found.append(Measure("faithful: all", "higher", (rights == 1).all(1).astype(float)))
        return found

    def _judged(self, features: Features) -> bool:
        """Whether these features know the classes that were asked for."""
        return bool(self.plan.prompted) and features.classes == len(self.pipeline.classes)

    def floors(self, features: Features) -> dict[str, Measure]:
        """The same measures of as many real training pictures: what a perfect model would get."""
        rows = torch.randperm(len(self.train), generator=stream(self.plan.seed, "floor"))
        some = self.train.take(rows[: self.count])
        if len(some) < self.count:
            warnings.warn(
                f"no noise floor: {self.count:,} pictures are drawn and only {len(some):,} were "
                "trained on",
                UserNote,
                stacklevel=2,
            )
            return {}
        labels = some.labels.numpy() if self._judged(features) else None
        seen = of_outputs(features(some.pixels()), self._real(features), labels)
        return {measure.name: measure for measure in seen}

    def bits(self) -> Score:
        """Bits per dimension of reference pictures given their captions, a bound from above."""
        some = self.reference.take(torch.arange(min(_BITS, len(self.reference))))
        model, recipe = self.pipeline.model, self.pipeline.recipe
        captions = [some.groups[int(group)][0] for group in some.group]
        if self.plan.prompts == ("",):
            captions = [""] * len(some)
        with torch.no_grad():
            distinct = list(dict.fromkeys(captions))
            number = torch.tensor([distinct.index(caption) for caption in captions])
            conds = model.encode_text(distinct, cut=True).take(number.to(model.device))
            found = bits_per_dimension(
                lambda x, sigma, rows: model(x, sigma, conds.take(rows)),
                model.codec.encode(some.pixels().to(model.device)),
                ends_of(noise_schedule(recipe.diffusion.noise)),
                recipe.diffusion.sigma_data,
                stream(self.plan.seed, "bits"),
            )
        reach = 1.96 * found.error
        return Score(
            name="bits per dimension",
            value=found.mean,
            low=found.mean - reach,
            high=found.mean + reach,
            n=len(some),
            better="lower",
            method="bound, stratified noise levels",
        )

    def cas(self, images: Tensor, epochs: int = 10) -> Score:
        """Classification accuracy score (Ravuri & Vinyals 2019): accuracy on real test pictures
        of a classifier that was trained on samples alone.
        """
        prompted = self.prompted
        assert prompted is not None, "CAS is for prompts that name classes"
        drawn = replace(
            self.train,
            images=images,
            rows=None,
            labels=torch.from_numpy(prompted),
            group=self._none(),
        )
        rows = torch.randperm(len(self.train), generator=stream(self.plan.seed, "floor"))
        real, test = self.train.take(rows[: self.count]), self.reference
        found, floor = (self._taught(each, test, epochs) for each in (drawn, real))
        ends = of_a_share(round(found * len(test)), len(test))
        return Score(
            name="CAS",
            value=found,
            low=ends.low,
            high=ends.high,
            n=self.count,
            better="higher",
            method=f"share of {len(test):,} real pictures, Wilson",
            floor=floor if len(real) == self.count else None,
        )

    def _none(self) -> Tensor:
        return torch.zeros(self.count, dtype=torch.int64)

    def _taught(self, pictures: Pictures, test: Pictures, epochs: int) -> float:
        judge, _ = train_judge(pictures, epochs)
        return judge.accuracy(test)

    def clip_scores(self, images: Tensor, clip: Clip) -> list[Measure]:
        """100 x cosine of each picture and its prompt, and of the same prompts shuffled."""
        prompts = [self.plan.prompt(row) for row in range(self.count)]
        order = np.random.default_rng(0).permutation(self.count)
        distinct = list(dict.fromkeys(prompts))
        numbers = {prompt: number for number, prompt in enumerate(distinct)}
        which = torch.tensor([numbers[prompt] for prompt in prompts])
        with torch.no_grad():
            texts = clip.encode_text(distinct).cpu()
            seen = torch.cat(
                [
                    clip.encode_images(from_bytes(part.to(clip.device))).cpu()
                    for part in torch.split(images, 250)
                ]
            )
        own = 100 * (seen * texts[which]).sum(1)
        shuffled = 100 * (seen * texts[which[torch.from_numpy(order)]]).sum(1)
        return [
            Measure("CLIP score", "higher", own.double().numpy()),
            Measure("CLIP score, shuffled", "lower", shuffled.double().numpy()),
        ]

    def memorised(self, images: Tensor) -> tuple[Memory, Nearest]:
        """Whether drawn pictures are copies of training pictures, and the nearest of each."""
        drawn = nearest(images, self.known)
        unseen = nearest(self.reference.pixels()[:_UNSEEN].cpu(), self.known)
        return memory(drawn, unseen), drawn

    def confusion(self, drawn: Outputs, features: Features) -> list[list[int]] | None:
        """How often each prompted class [row] was seen as each [column]."""
        probabilities, prompted = drawn.probabilities, self.prompted
        if probabilities is None or prompted is None or not self._judged(features):
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
        """Every score of the drawn pictures.

        Args:
            images: the drawn pictures.
            features: the features to see them by.
            found: what `memorised` says of them.
            clip: a CLIP for the CLIP score.
            cas: train a classifier on them, where prompts name classes.
        """
        drawn, floors = features(images), self.floors(features)
        measures = self.measures(images, drawn, features)
        if clip is not None:
            measures += self.clip_scores(images, clip)
        scores = [scored(measure, floors.get(measure.name)) for measure in measures]
        if cas and self.prompted is not None:
            scores.append(self.cas(images))
        if self.pipeline.model.codec.is_pixels:
            scores.append(self.bits())
        return Report(
            run=str(self.run),
            model=model_of(self.run),
            sampling=self.plan.sampling(),
            terms=self.terms(features),
            scores=scores,
            details=_details(found, self.confusion(drawn, features), self.pipeline.card),
        )


def _details(memory: Memory, confusion: list[list[int]] | None, card: Card) -> dict[str, Any]:
    found: dict[str, Any] = {
        "memorised": memory._asdict() | {"memorises": memory.memorises, "summary": memory.summary},
        "steps": card.steps,
        "classes": list(card.classes),
    }
    return found | ({"confusion": confusion} if confusion else {})
