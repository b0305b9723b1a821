"""What a run is held against: real pictures that its training never saw, by name and by looking."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.core.rng import stream
from inkling.data import Data, Pictures, read_pictures
from inkling.errors import UserError
from inkling.evaluate.memory import check_shapes
from inkling.sampling.pipeline import TextToImage

_MOST = 10_000
"""Reference pictures at most."""
_LEAST = 20
"""And at least."""
_TRAIN = 60_000
"""Training pictures at most among which neighbours are sought."""
_SEEN_BEFORE = 0.01
"""Share of reference pictures that may be training pictures too, pixel by pixel."""


class EvaluationData(NamedTuple):
    """Training pictures, and what is held against them."""

    train: Pictures
    """What was trained on, held-out pictures left out."""
    known: Tensor
    """Of these, pictures for neighbours: uint8 [60,000 or fewer, C, H, W]."""
    reference: Pictures
    """In random order."""
    name: str
    """What the reference is, with a digest of its pixels."""


def evaluation_data(pipeline: TextToImage, data: Data, split: str) -> EvaluationData:
    """The pictures to score a model with.

    The reference is the test split whole; as the run's own settings cut it; or what training held
    out: the first that is large enough and shares no pictures with training.

    Args:
        pipeline: the model.
        data: where its pictures lie now.
        split: the wanted reference.

    Raises:
        UserError: the split that was trained on, other pictures than in training, or no reference
            that is large enough and unseen.
    """
    if split == "train":
        raise UserError(
            "the model was trained on the split 'train': against it, learning by heart looks "
            "like quality; use --reference test"
        )
    train, kept = _trained_on(pipeline, data)
    rows = torch.linspace(0, len(train) - 1, min(len(train), _TRAIN)).long()
    known = train.at(rows).cpu()
    marks = {_mark(image) for image in known}
    whole = msgspec.structs.replace(data, limit=None)
    readings: list[tuple[str, Callable[[], Pictures]]] = [
        (f"{data.name} {split}", lambda: read_pictures(whole, split)),
        (f"{data.name} {split}, as limited", lambda: read_pictures(data, split)),
        (f"{data.name}, held out of training", lambda: kept),
    ]
    reasons = []
    for name, read in readings:
        try:
            reference = _unseen(read(), name, train.shape, marks)
        except UserError as error:
            reasons.append(error)
            continue
        digest = hashlib.blake2b(reference.pixels().cpu().numpy().tobytes(), digest_size=3)
        said = f"{name}, {len(reference):,} pictures ({digest.hexdigest()})"
        return EvaluationData(train, known, reference, said)
    raise reasons[0]


def _trained_on(pipeline: TextToImage, data: Data) -> tuple[Pictures, Pictures]:
    """(pictures that were trained on, those that were held out), as training had them."""
    everything = read_pictures(data)
    count = data.validation_count(len(everything))
    trained, there = pipeline.card.pictures, len(everything) - count
    if there != trained:
        raise UserError(
            f"{trained:,} pictures were trained on, and now there are {there:,}: which of them are "
            "new cannot be told; bring the data back as they were"
        )
    check_shapes(torch.Size(pipeline.shape), torch.Size(everything.shape))
    return everything.split(count, pipeline.recipe.train.seed)


def _unseen(found: Pictures, name: str, shape: torch.Size, marks: set[bytes]) -> Pictures:
    """A choice of a reference, refused where it is tiny or holds training pictures."""
    check_shapes(shape, found.shape)
    if len(found) < _LEAST:
        raise UserError(f"{name} has {len(found)} pictures; scores need at least {_LEAST}")
    # Many sets lie in the order of their classes: the first few must not be of one.
    order = torch.randperm(len(found), generator=stream("reference"))
    found = found.take(order[:_MOST])
    asked = [_mark(image) for image in found.pixels()]
    share = sum(mark in marks for mark in asked) / len(asked)
    if share > _SEEN_BEFORE:
        raise UserError(
            f"{share:.1%} of the reference ({name}) are training pictures, pixel by pixel: "
            "against them, learning by heart looks like quality; name data whose splits share "
            "no picture"
        )
    return found


def _mark(image: Tensor) -> bytes:
    return hashlib.blake2b(image.cpu().contiguous().numpy().tobytes(), digest_size=12).digest()
