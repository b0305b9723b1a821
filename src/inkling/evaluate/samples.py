"""Samples for scores: made in batches, stored on disk, resumed and reused.

Sample i has seed `seed + i` and prompt `i` modulo the number of prompts, so the first 2,000 of
5,000 samples are the same as in an evaluation with 2,000.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inkling.config.overrides import to_json
from inkling.config.sample import Sample
from inkling.data import Pictures
from inkling.data.sets.shapes import Scene, scenes
from inkling.models import checkpoint
from inkling.models.build import described
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import write_whole

BATCH = 250
_MOST_PROMPTS = 5000
FOLDER = "evaluation"


class Plan(NamedTuple):
    """The prompts, seeds and sampling settings of an evaluation."""

    prompts: tuple[str, ...]
    """Used in turn."""
    prompted: tuple[int, ...]
    """The class index of each prompt; empty if the prompts do not name classes."""
    scenes: tuple[Scene, ...]
    """The scene that each prompt describes, in a data set with an exact judge; else empty."""
    settings: Sample
    seed: int
    weights: str
    """"ema" or "raw"."""
    balanced: bool = False
    """Whether each class has as many prompts, rather than those of the reference's frequencies."""
    pictures: bool = False
    """Whether prompts are pictures of the reference, by name."""

    def prompt(self, number: int) -> str:
        """The prompt of sample `number`."""
        return self.prompts[number % len(self.prompts)]

    def describe(self) -> str:
        """The prompts in a few words, with a digest of them."""
        if self.prompts == ("",):
            return "no prompt"
        digest = hashlib.sha256("\n".join(self.prompts).encode()).hexdigest()[:6]
        if self.pictures:
            return f"{len(self.prompts):,} pictures of the reference in turn ({digest})"
        if not self.prompted:
            return f"{len(self.prompts):,} captions in turn ({digest})"
        how = "equally often" if self.balanced else "as often as in the reference"
        return f"{len(set(self.prompted)):,} classes {how} ({digest})"

    def sampling(self) -> str:
        """The sampling settings in a few words."""
        settings = self.settings
        text = f"{settings.sampler}, {settings.steps} steps, guidance {settings.scale:g}"
        return text if self.weights == "ema" else f"{text}, last weights"


def plan(
    pipeline: TextToImage,
    reference: Pictures,
    settings: Sample,
    seed: int = 0,
    weights: str = "ema",
    balanced: bool = False,
) -> Plan:
    """Prompts for scores: scenes for the exact judge, classes, or captions of the reference; or its
    pictures, for a model that reads pictures.

    Args:
        pipeline: the model.
        reference: what samples are compared with.
        settings: how to sample.
        seed: of the first sample.
        weights: "ema" or "raw".
        balanced: prompt for each class equally often; else as often as it is in the reference, or
            a perfect model would seem to have the wrong distribution.
    """
    data = pipeline.recipe.data
    if pipeline.model.text.reads_pictures:
        return _of_pictures(pipeline, reference, settings, seed, weights, balanced)
    if not pipeline.recipe.data.captions or not reference.conditional:
        return Plan(("",), (), (), settings, seed, weights)
    if data.name == "shapes":
        chosen = list(scenes(data.hold_out, held=False))
        np.random.default_rng(0).shuffle(chosen)
        chosen = chosen[:_MOST_PROMPTS]
        # Every second one is said the other way round.
        prompts = tuple(scene.sentences()[row % 2] for row, scene in enumerate(chosen))
        return Plan(prompts, (), tuple(chosen), settings, seed, weights)
    if pipeline.classes:
        known = reference.labels[reference.labels >= 0]
        counts = known.bincount(minlength=len(pipeline.classes)).tolist()
        if balanced or not sum(counts):
            counts = [1] * len(pipeline.classes)
        total = len(counts) if len(set(counts)) == 1 else _MOST_PROMPTS
        numbers = in_frequencies(counts, total)
        prompts = tuple(pipeline.classes[number] for number in numbers)
        return Plan(prompts, numbers, (), settings, seed, weights, balanced)
    captions = (reference.distinctive[int(group)] for group in reference.group[:_MOST_PROMPTS])
    prompts = tuple(caption for caption in captions if pipeline.model.text.takes(caption))
    return Plan(prompts or ("",), (), (), settings, seed, weights)


def _of_pictures(
    pipeline: TextToImage,
    reference: Pictures,
    settings: Sample,
    seed: int,
    weights: str,
    balanced: bool,
) -> Plan:
    """Pictures of the reference as prompts, of their classes in turn; see `plan`."""
    rows = torch.arange(len(reference))
    labels = reference.labels
    known = rows[labels >= 0]
    if reference.classes and len(known):
        counts = labels[known].bincount(minlength=len(reference.classes)).tolist()
        turns = in_frequencies(counts, min(len(known), _MOST_PROMPTS))
        left = [iter(rows[labels == label].tolist()) for label in range(len(counts))]
        rows = torch.tensor([next(left[label]) for label in turns])
    some = described(pipeline.recipe, reference.take(rows[:_MOST_PROMPTS]))
    pipeline.model.see(some)
    prompted = tuple(some.labels.tolist()) if reference.classes and len(known) else ()
    return Plan(tuple(some.names()), prompted, (), settings, seed, weights, balanced, True)


def in_frequencies(counts: Sequence[int], total: int) -> tuple[int, ...]:
    """Classes in turn, so that at any point each has had its share, to less than one.

    Args:
        counts: how frequent each class is.
        total: length of the result.
    """
    frequency, taken, found = np.array(counts), np.zeros(len(counts), dtype=np.int64), []
    for number in range(1, total + 1):
        # In whole numbers, so that equal frequencies simply take turns.
        chosen = int((number * frequency - taken * frequency.sum()).argmax())
        taken[chosen] += 1
        found.append(chosen)
    return tuple(found)


def cached_samples(pipeline: TextToImage, chosen: Plan, count: int, run: Path) -> Iterator[Tensor]:
    """Samples in batches, uint8 [250 or fewer, C, H, W]; stored batches are read from disk.

    Args:
        pipeline: the model of the run.
        chosen: prompts, seeds and sampling settings.
        count: number of samples.
        run: the run folder or checkpoint of the model; samples are stored beside it.

    Raises:
        UserError: they cannot be stored there.
    """
    folder = home(run) / f"drawn-{key(run, chosen)}"
    for first in range(0, count, BATCH):
        file = folder / f"{first:08d}.npy"
        images = _stored(file)
        if images is None:
            rows = range(first, first + BATCH)  # a full batch, so that a larger count can reuse it
            sampled = pipeline(
                [chosen.prompt(row) for row in rows],
                seeds=[chosen.seed + row for row in rows],
                settings=chosen.settings,
            )
            raw = io.BytesIO()
            images = sampled.numpy()
            np.save(raw, images)
            write_whole(file, raw.getvalue())
        yield torch.from_numpy(images)[: count - first]


def _stored(file: Path) -> np.ndarray | None:
    """The batch in a file; None where there is none, or a damaged one."""
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(found, np.ndarray) and found.dtype == np.uint8 and len(found) == BATCH
    return found if whole else None


def home(run: Path) -> Path:
    """The folder of a run's scores and of the samples for them."""
    return (run if run.is_dir() else run.parent) / FOLDER


def model_of(run: Path) -> str:
    """A digest of what a run's model samples with; what is noted in its card changes nothing.

    Raises:
        UserError: there is none, or it is damaged.
    """
    stored = checkpoint.read(checkpoint.locate(run))
    return checkpoint.digest(
        stored.tensors, {"recipe": to_json(stored.recipe), "vocabulary": stored.vocabulary}
    )


def key(run: Path, chosen: Plan) -> str:
    """A digest of the model, its weights, the sampling settings, the prompts and the seed."""
    fields = {name: str(getattr(chosen.settings, name)) for name in Sample.__struct_fields__}
    text = json.dumps([model_of(run), fields, chosen.prompts, chosen.seed, chosen.weights])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
