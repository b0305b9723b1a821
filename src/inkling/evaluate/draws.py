"""Pictures drawn for scores: batch by batch, kept on disk, gone on with, and used again.

Picture i has seed `first + i` and prompt `i` of an endless round, so that 5,000 pictures begin
with the 2,000 that were drawn before.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from inkling.config.recipe import Sample
from inkling.data import Pictures
from inkling.data.sets.shapes import Scene, scenes
from inkling.models import checkpoint
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import write_whole

BATCH = 250
_MOST_PROMPTS = 5000
FOLDER = "evaluation"


class Plan(NamedTuple):
    """What is drawn for scores."""

    prompts: tuple[str, ...]
    """Taken in turn."""
    prompted: tuple[int, ...]
    """The class of each prompt; empty where prompts name none."""
    scenes: tuple[Scene, ...]
    """What each prompt describes, in a set with an exact judge."""
    settings: Sample
    seed: int
    weights: str
    """"ema" or "raw"."""

    def prompt(self, number: int) -> str:
        """Of picture `number`."""
        return self.prompts[number % len(self.prompts)]

    def describe(self) -> str:
        """The prompts in words."""
        if self.prompts == ("",):
            return "no prompt"
        kind = "classes" if self.prompted else "captions"
        mark = hashlib.sha256("\n".join(self.prompts).encode()).hexdigest()[:6]
        return f"{len(self.prompts):,} {kind} in turn ({mark})"

    def sampling(self) -> str:
        """How they are drawn, in words."""
        settings = self.settings
        said = f"{settings.sampler}, {settings.steps} steps, guidance {settings.scale:g}"
        return said if self.weights == "ema" else f"{said}, last weights"


def plan(
    pipeline: TextToImage,
    reference: Pictures,
    settings: Sample,
    seed: int = 0,
    weights: str = "ema",
) -> Plan:
    """Prompts for scores: classes; what an exact judge can read; else the reference's captions."""
    data = pipeline.recipe.data
    if not pipeline.recipe.data.captions or not reference.conditional:
        return Plan(("",), (), (), settings, seed, weights)
    if data.name == "shapes":
        wanted = list(scenes(data.hold_out, held=False))
        np.random.default_rng(0).shuffle(wanted)
        wanted = wanted[:_MOST_PROMPTS]
        said = tuple(s.sentences()[0] for s in wanted)
        return Plan(said, (), tuple(wanted), settings, seed, weights)
    if pipeline.classes:
        numbers = tuple(range(len(pipeline.classes)))
        return Plan(pipeline.classes, numbers, (), settings, seed, weights)
    captions = (reference.groups[int(group)][0] for group in reference.group[:_MOST_PROMPTS])
    said = tuple(caption for caption in captions if pipeline.model.text.takes(caption))
    return Plan(said or ("",), (), (), settings, seed, weights)


def draw(pipeline: TextToImage, chosen: Plan, count: int, run: Path) -> Iterator[Tensor]:
    """Batches uint8 [250 or fewer, C, H, W]; those that were drawn before are read.

    Args:
        pipeline: the model of the run.
        chosen: what to draw.
        count: pictures.
        run: where the model was read from; drawn pictures are kept beside it.

    Raises:
        UserError: they cannot be kept there.
    """
    folder = home(run) / f"drawn-{key(run, chosen)}"
    for first in range(0, count, BATCH):
        file = folder / f"{first:08d}.npy"
        if not file.is_file():
            rows = range(first, first + BATCH)  # whole batches, so that the next count can go on
            images = pipeline(
                [chosen.prompt(row) for row in rows],
                seeds=[chosen.seed + row for row in rows],
                settings=chosen.settings,
            )
            raw = io.BytesIO()
            np.save(raw, images.numpy())
            write_whole(file, raw.getvalue())
        yield torch.from_numpy(np.load(file))[: count - first]


def home(run: Path) -> Path:
    """The folder of a run's scores and of what was drawn for them."""
    return (run if run.is_dir() else run.parent) / FOLDER


def model_of(run: Path) -> str:
    """The digest of a run's model."""
    with safe_open(checkpoint.locate(run), framework="pt") as opened:
        found: str = opened.metadata()["digest"]
    return found


def key(run: Path, chosen: Plan) -> str:
    """Another model, other settings or prompts: another name."""
    fields = {name: str(getattr(chosen.settings, name)) for name in Sample.__struct_fields__}
    text = json.dumps([model_of(run), fields, chosen.prompts, chosen.seed, chosen.weights])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
