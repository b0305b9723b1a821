"""The reference: real images that the training of a run never saw, which is verified by pixels."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.core.rng import stream
from inkling.data import DATASETS, Data, Pictures, read_pictures
from inkling.errors import UserError, unknown_name
from inkling.evaluate.memory import check_shapes
from inkling.sampling.pipeline import TextToImage

_MOST = 10_000
"""Largest number of reference images."""
_LEAST = 20
"""Smallest number of reference images."""
_TRAIN = 60_000
"""Largest number of training images among which nearest neighbours are searched."""
_OVERLAP = 0.01
"""Largest fraction of reference images that may also be training images, pixel by pixel."""


class EvaluationData(NamedTuple):
    """The training images and the reference of a run."""

    train: Pictures
    """The training images, without those held out."""
    known: Tensor
    """The training images among which neighbours are searched: uint8 [M, C, H, W]."""
    reference: Pictures
    """The reference images, in random order."""
    name: str
    """Name and size of the reference, with a digest of its pixels."""


def evaluation_data(pipeline: TextToImage, data: Data, split: str) -> EvaluationData:
    """The training images and the reference for scoring a model.

    The reference is the first of these that is large enough and shares no images with training:
    the whole test split; the test split with the run's own limit; the images held out of training.

    Args:
        pipeline: the model.
        data: settings of its data, with the current path.
        split: the split for the reference.

    Raises:
        UserError: the split is the training split, the data have changed since training, or no
            reference is large enough and unseen.
    """
    if split == "train":
        raise UserError(
            "the model was trained on the split 'train': against it, memorisation looks like "
            "quality; use --reference test"
        )
    splits = [each for each in DATASETS[data.name].splits if each != "train"]
    if split not in splits:
        raise UserError(unknown_name(split, splits, f"reference split of {data.name!r}:"))
    train, held_out = _trained_on(pipeline, data)
    rows = torch.linspace(0, len(train) - 1, min(len(train), _TRAIN)).long()
    known = train.at(rows).cpu()
    digests = {_digest(image) for image in known}
    unlimited = msgspec.structs.replace(data, limit=None)
    candidates: list[tuple[str, Callable[[], Pictures]]] = [
        (f"{data.name} {split}", lambda: read_pictures(unlimited, split)),
        (f"{data.name} {split}, as limited", lambda: read_pictures(data, split)),
        (f"{data.name}, held out of training", lambda: held_out),
    ]
    reasons = []
    for name, read in candidates:
        try:
            reference = _unseen(read(), name, train.shape, digests)
        except UserError as error:
            reasons.append(error)
            continue
        digest = hashlib.blake2b(reference.pixels().cpu().numpy().tobytes(), digest_size=3)
        full_name = f"{name}, {len(reference):,} pictures ({digest.hexdigest()})"
        return EvaluationData(train, known, reference, full_name)
    raise reasons[0]


def _trained_on(pipeline: TextToImage, data: Data) -> tuple[Pictures, Pictures]:
    """(training images, images held out of training), split as in training."""
    everything = read_pictures(data)
    count = data.validation_count(len(everything))
    trained, now = pipeline.card.pictures, len(everything) - count
    if now != trained:
        raise UserError(
            f"{trained:,} pictures were trained on, and now there are {now:,}: it is unknown which "
            "of them are new; restore the data as they were in training"
        )
    check_shapes(torch.Size(pipeline.shape), torch.Size(everything.shape))
    return everything.split(count, pipeline.recipe.train.seed)


def _unseen(found: Pictures, name: str, shape: torch.Size, digests: set[bytes]) -> Pictures:
    """A random subset as reference; refused if it is too small or has training images."""
    check_shapes(shape, found.shape)
    if len(found) < _LEAST:
        raise UserError(f"{name} has {len(found)} pictures; scores need at least {_LEAST}")
    # Many sets are sorted by class: the first images alone would be of one class.
    order = torch.randperm(len(found), generator=stream("reference"))
    found = found.take(order[:_MOST])
    overlap = sum(_digest(image) in digests for image in found.pixels()) / len(found)
    if overlap > _OVERLAP:
        raise UserError(
            f"{overlap:.1%} of the reference ({name}) are training pictures, pixel by pixel: "
            "against them, memorisation looks like quality; name data whose splits share no "
            "picture"
        )
    return found


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.cpu().contiguous().numpy().tobytes(), digest_size=12).digest()
