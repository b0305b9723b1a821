"""A run made ready for scores: its model, what it was trained on, what it is held against."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from inkling.core.likelihood import bits_per_dimension
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.errors import UserNote
from inkling.evaluate.draws import Plan, draw, home, key, model_of, plan
from inkling.evaluate.features import Features, Seen
from inkling.evaluate.intervals import of_a_share
from inkling.evaluate.judge import train_judge
from inkling.evaluate.measures import Measure, of_seen
from inkling.evaluate.memory import Memory, Nearest, memory, nearest
from inkling.evaluate.reference import held
from inkling.evaluate.scores import Report, Score, Terms, scored
from inkling.evaluate.shapes import faithfulness_of_each
from inkling.models.build import schedule
from inkling.models.clip import Clip
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
        sampling: sampler, steps, scale; what the run recommends where None.

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
        sampling: tuple[str | None, int | None, float | None] = (None, None, None),
    ):
        self.run, self.count = run, count
        self.artist = TextToImage.load(run, device, weights)
        self.data = self.artist.recipe.data
        if data is not None:
            self.data = msgspec.structs.replace(self.data, path=str(data))
        self.train, self.known, self.reference, self.held_against = held(
            self.artist, self.data, reference
        )
        settings = self.artist.settings(*sampling)
        self.plan: Plan = plan(self.artist, self.reference, settings, seed, weights)
        self._seen: dict[str, Seen] = {}

    def draw(self) -> Iterator[Tensor]:
        """Batches of pictures; drawn ones are kept and read again."""
        yield from draw(self.artist, self.plan, self.count, self.run)

    @property
    def asked(self) -> np.ndarray | None:
        """The class asked for in each picture, if classes were."""
        if not self.plan.asked:
            return None
        rows = np.arange(self.count) % len(self.plan.asked)
        return np.array(self.plan.asked)[rows]

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

    def _real(self, features: Features) -> Seen:
        """What features make of the reference, worked out once."""
        if features.name not in self._seen:
            self._seen[features.name] = features(self.reference.pixels())
        return self._seen[features.name]

    def measures(self, images: Tensor, drawn: Seen, features: Features) -> list[Measure]:
        """Everything that can be resampled.

        Args:
            images: the drawn pictures.
            drawn: what the features make of them.
            features: the features.
        """
        asked = self.asked if self._judged(features) else None
        found = of_seen(drawn, self._real(features), asked)
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
        return bool(self.plan.asked) and features.classes == len(self.artist.classes)

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
        seen = of_seen(features(some.pixels()), self._real(features), labels)
        return {measure.name: measure for measure in seen}

    def bits(self) -> Score:
        """Bits per dimension of reference pictures given their captions, a bound from above."""
        some = self.reference.take(torch.arange(min(_BITS, len(self.reference))))
        model, recipe = self.artist.model, self.artist.recipe
        captions = [some.groups[int(group)][0] for group in some.group]
        if self.plan.prompts == ("",):
            captions = [""] * len(some)
        law = schedule(recipe.diffusion.noise)
        with torch.no_grad():
            distinct = list(dict.fromkeys(captions))
            place = torch.tensor([distinct.index(caption) for caption in captions])
            ids = model.text.tokenize(distinct, cut=True).to(self.artist.device)
            conds = model.text(ids).take(place.to(self.artist.device))
            served = iter(torch.split(torch.arange(len(some), device=self.artist.device), 250))
            found = bits_per_dimension(
                lambda x, sigma: model.denoiser(x, sigma, conds.take(next(served))),
                some.pixels().to(self.artist.device).float() / 127.5 - 1,
                (law.sigma(torch.zeros(())).item(), law.sigma(torch.ones(())).item()),
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

    def usefulness(self, images: Tensor, epochs: int = 10) -> Score:
        """Share of real test pictures that a classifier trained on drawn ones alone gets right."""
        asked = self.asked
        assert asked is not None, "usefulness is for pictures asked for by class"
        drawn = replace(
            self.train, images=images, rows=None, labels=torch.from_numpy(asked), group=self._none()
        )
        rows = torch.randperm(len(self.train), generator=stream(self.plan.seed, "floor"))
        real, test = self.train.take(rows[: self.count]), self.reference
        found, floor = (self._taught(each, test, epochs) for each in (drawn, real))
        ends = of_a_share(round(found * len(test)), len(test))
        return Score(
            name="usefulness",
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
        *_, last = train_judge(pictures, test, epochs)
        return last.accuracy

    def clip_scores(self, images: Tensor, clip: Clip) -> list[Measure]:
        """100 x cosine of each picture and its prompt, and of the same prompts shuffled."""
        prompts = [self.plan.prompt(row) for row in range(self.count)]
        order = np.random.default_rng(0).permutation(self.count)
        distinct = list(dict.fromkeys(prompts))
        numbers = {prompt: number for number, prompt in enumerate(distinct)}
        which = torch.tensor([numbers[prompt] for prompt in prompts])
        with torch.no_grad():
            texts = clip.read(distinct).cpu()
            seen = torch.cat(
                [
                    clip.look(part.to(clip.device).float() / 127.5 - 1).cpu()
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

    def confusion(self, drawn: Seen, features: Features) -> list[list[int]] | None:
        """How often each asked class [row] was seen as each [column]."""
        shares, asked = drawn.shares, self.asked
        if shares is None or asked is None or not self._judged(features):
            return None
        names = range(shares.shape[1])
        table: list[list[int]] = confusion_matrix(asked, shares.argmax(1), labels=names).tolist()
        return table

    def report(
        self,
        images: Tensor,
        features: Features,
        found: Memory,
        clip: Clip | None = None,
        useful: bool = True,
    ) -> Report:
        """Every score of the drawn pictures.

        Args:
            images: the drawn pictures.
            features: the features to see them by.
            found: what `memorised` says of them.
            clip: a CLIP for the CLIP score.
            useful: train a classifier on them, where classes were asked for.
        """
        drawn, floors = features(images), self.floors(features)
        measures = self.measures(images, drawn, features)
        if clip is not None:
            measures += self.clip_scores(images, clip)
        scores = [scored(measure, floors.get(measure.name)) for measure in measures]
        if useful and self.asked is not None:
            scores.append(self.usefulness(images))
        scores.append(self.bits())
        return Report(
            run=str(self.run),
            model=model_of(self.run),
            sampling=self.plan.sampling(),
            terms=self.terms(features),
            scores=scores,
            details=_details(found, self.confusion(drawn, features), self.artist.facts),
        )


def _details(
    memory: Memory, confusion: list[list[int]] | None, facts: dict[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "memorised": memory._asdict() | {"memorises": memory.memorises, "says": memory.says},
        "steps": facts["steps"],
        "classes": list(facts["classes"]),
    }
    return found | ({"confusion": confusion} if confusion else {})
