"""The judge: a classifier of real images, whose predictions and features score samples.

It is never trained on samples, and takes no part in the training of any model.
"""

import hashlib
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.config.judge_recipe import JudgeRecipe
from inkling.data import Data, Pictures, read_pictures
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.build import classifier, load_weights
from inkling.models.card import Card
from inkling.nets.classifier import Classifier
from inkling.pixels import from_bytes
from inkling.system.cache import cache_folder
from inkling.system.progress import bar
from inkling.training.loop import fit
from inkling.training.state import TrainState

_BATCH = 500
_EPOCHS, _LEAST_STEPS = 4, 500
"""Epochs of a judge that is trained on demand for a score, but at least so many steps."""


class Judge:
    """A trained classifier.

    Args:
        classifier: in eval mode.
        card: what it was trained on.
    """

    def __init__(self, classifier: Classifier, card: Card):
        self.classifier = classifier.eval()
        self.channels, *size = card.shape
        self.size = (size[0], size[1])
        self.classes = card.classes
        self.fingerprint = card.fingerprint
        self.summary = card.summary
        """Its accuracy in words, if it was measured."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The judge in a run folder of `inkling train judge-NAME`, or in its checkpoint file.

        Raises:
            UserError: there is no run, or it is not the run of a judge.
        """
        try:
            stored = checkpoint.read(checkpoint.locate(path))
        except UserError as error:
            raise UserError(
                f"{path} holds no judge ({error}); train one: inkling train judge-NAME"
            ) from None
        if not isinstance(stored.recipe, JudgeRecipe):
            raise UserError(
                f"{path} holds no judge (it learnt {stored.recipe.objective}); train one: "
                "inkling train judge-NAME"
            )
        net = classifier(stored.recipe, stored.card.shape, len(stored.card.classes))
        load_weights(net, stored)
        return cls(net, stored.card)

    @torch.no_grad()
    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features [N, D], logits [N, classes]) of uint8 images [N, C, H, W], of any size.

        Raises:
            UserError: images of another number of channels than it was trained on.
        """
        if images.shape[1] != self.channels:
            raise UserError(
                f"the judge takes pictures of {self.channels} channels, these have "
                f"{images.shape[1]}; train one on this data set with `inkling train judge-NAME`"
            )
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images.float(), self.size, mode="area")
        found = []
        for part in torch.split(images, _BATCH):
            features = self.classifier.features(from_bytes(part))
            found.append((features, self.classifier.decide(features)))
        features, logits = (torch.cat(each) for each in zip(*found, strict=True))
        return features, logits

    def examine(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(features [N, D] float64, classes [N] int64) of uint8 images [N, C, H, W]."""
        features, logits = self.outputs(images)
        return features.double().numpy(), logits.argmax(1).numpy()

    def accuracy(self, pictures: Pictures) -> float:
        """Fraction of images that it classifies correctly, of those whose class is known."""
        _, found = self.examine(pictures.pixels().cpu())
        labels = pictures.labels.numpy()
        return float((found == labels)[labels >= 0].mean())


def train_judge(
    pictures: Pictures, epochs: int = _EPOCHS, *, seed: int = 0, what: str = "training a judge"
) -> tuple[Judge, TrainState]:
    """A judge trained on these images, and the final state of its training."""
    recipe = JudgeRecipe(name="judge", source="for scores")
    steps = max(_LEAST_STEPS, -(-epochs * len(pictures) // recipe.train.batch))
    train = msgspec.structs.replace(recipe.train, steps=steps, seed=seed, previews="0")
    recipe = msgspec.structs.replace(recipe, train=train)
    empty = pictures.take(torch.arange(0))
    with bar(what, steps) as advance:
        for progress in fit(recipe, device_name="cpu", pictures=(pictures, empty)):
            state = progress.state
            advance(1)
    assert isinstance(state.model, Classifier), "a judge's objective trains a classifier"
    state.ema.swap()
    return Judge(state.model, state.card), state


def judge_for(data: Data, withheld: tuple[int, int] | None = None) -> tuple[Judge, str]:
    """A judge of a data set, and its name; trained once for the same pictures, and cached.

    Args:
        data: the settings of the data set.
        withheld: number and seed of the images that a run held out of training, where they are what
            the judge is to judge by, so that it must not learn from them; None: it learns from all.

    Raises:
        UserError: the data set has no classes.
    """
    data = msgspec.structs.replace(data, captions=True, caption="", codec="")
    if withheld is None:  # all images, whatever limit the scored model was trained with
        data = msgspec.structs.replace(data, limit=None)
    pictures = read_pictures(data)
    parts = (pictures.fingerprint, _EPOCHS, _LEAST_STEPS, withheld)
    if withheld is not None:
        pictures, _ = pictures.split(*withheld)
    key = hashlib.sha256(repr(parts).encode())
    file = cache_folder() / "judges" / f"{data.name}-{key.hexdigest()[:12]}.safetensors"
    if not file.is_file() or not _intact(file):
        if not pictures.classes:
            raise UserError(
                f"{data.name} has no classes for a judge to learn; use --features pixels, "
                "clip:FOLDER or inception"
            )
        _, state = train_judge(pictures, what=f"training a judge of {data.name}")
        state.ema.swap()
        checkpoint.save(file, state.model_checkpoint())
    return Judge.load(file), f"{data.name} {mark(file)}"


def _intact(file: Path) -> bool:
    """Whether the judge in a file can be loaded; a damaged one is trained again."""
    try:
        Judge.load(file)
    except UserError:
        return False
    return True


def mark(path: Path) -> str:
    """A short digest that identifies a judge."""
    return hashlib.sha256(checkpoint.locate(path).read_bytes()).hexdigest()[:8]
