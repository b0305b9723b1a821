"""The reference: real images that the training of a run never saw, which is verified by pixels."""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from inkling.core.rng import stream
from inkling.data import DATASETS, Data, Pictures, read_pictures
from inkling.errors import UserError, unknown_name
from inkling.evaluate.memory import check_shapes
from inkling.sampling.pipeline import TextToImage

HELD_OUT = "validation"
"""The name, as a reference, of what a run held out of training."""
_MOST = 10_000
"""Largest number of reference images."""
_LEAST = 20
"""Smallest number of reference images."""
_RENDERED = 60_000
"""Training images that stand for a set whose images are rendered, such as shapes."""
_PART = 1 << 25
"""Pixel values of training images that are compared at a time."""
_OVERLAP = 0.01
"""Largest fraction of reference images that may also be training images, pixel by pixel."""


class EvaluationData(NamedTuple):
    """The training images and the reference of a run."""

    train: Pictures
    """The training images, without those held out."""
    reference: Pictures
    """The reference images, in random order."""
    name: str
    """Name and size of the reference, with a digest of its pixels."""
    withheld: tuple[int, int] | None
    """Number and seed of the images held out of training, if these are the reference."""


def evaluation_data(
    pipeline: TextToImage, data: Data, split: str, balanced: bool = False
) -> EvaluationData:
    """The training images and the reference for scoring a model.

    The reference is the first of these that is large enough and shares no images with training:
    the whole test split; the test split with the run's own limit; the images held out of training.
    Of "validation" it is the last of these.

    Args:
        pipeline: the model.
        data: settings of its data, with the current path.
        split: the split for the reference; "validation" for the images held out of training.
        balanced: take as many images of each class, for training images and reference.

    Raises:
        UserError: the split is the training split, the data have changed since training, no
            reference is large enough and unseen, or classes are to be balanced and one is missing.
    """
    if split == "train":
        raise UserError(
            "the model was trained on the split 'train': against it, memorisation looks like "
            "quality; use --reference test"
        )
    splits = [each for each in DATASETS[data.name].splits if each != "train"]
    if split not in (*splits, HELD_OUT):
        known = [*splits, HELD_OUT]
        raise UserError(unknown_name(split, known, f"reference split of {data.name!r}:"))
    train, held_out = _trained_on(pipeline, data)
    if split == HELD_OUT and not len(held_out):
        raise UserError(
            "this run held no pictures out of training (data.validation=0); train with "
            "--set data.validation=500, or use --reference test"
        )
    digests: set[bytes] = set()
    for part in parts_of(train):
        digests.update(map(_digest, part))
        if train.mirror:
            digests.update(map(_digest, part.flip(-1)))
    unlimited = msgspec.structs.replace(data, limit=None)
    candidates: list[tuple[str, Callable[[], Pictures]]] = [
        (f"{data.name} {split}", lambda: read_pictures(unlimited, split)),
        (f"{data.name} {split}, as limited", lambda: read_pictures(data, split)),
        (f"{data.name}, held out of training", lambda: held_out),
    ]
    reasons = []
    for name, read in candidates[-1:] if split == HELD_OUT else candidates:
        try:
            reference = _unseen(read(), name, train, digests)
            reference = of_equal_classes(reference) if balanced else reference
        except UserError as error:
            reasons.append(error)
            continue
        digest = hashlib.blake2b(reference.pixels().cpu().numpy().tobytes(), digest_size=3)
        full_name = f"{name}, {len(reference):,} pictures ({digest.hexdigest()})"
        train = of_equal_classes(train) if balanced else train
        count = len(held_out) if read is candidates[-1][1] else 0
        withheld = (count, pipeline.recipe.train.seed) if count else None
        return EvaluationData(train, reference, full_name, withheld)
    if len(held_out):
        raise reasons[0]
    raise UserError(
        f"{reasons[0]}; nothing was held out of training either (data.validation=0), so train with "
        "--set data.validation=500 to have unseen pictures"
    )


def known_rows(train: Pictures) -> Tensor:
    """The rows of the training images that are compared: all, or some of a rendered set."""
    most = len(train) if isinstance(train.images, Tensor) else _RENDERED
    return torch.linspace(0, len(train) - 1, min(len(train), most), dtype=torch.float64).long()


def parts_of(train: Pictures) -> Iterator[Tensor]:
    """The training images that are compared, in parts that fit into memory: uint8 [m, C, H, W]."""
    size = max(1, _PART // train.shape.numel())
    for rows in torch.split(known_rows(train), size):
        yield train.at(rows).cpu()


def of_equal_classes(pictures: Pictures) -> Pictures:
    """As many images of each class: of the rarest one, all.

    Raises:
        UserError: there are no classes, or one has no image.
    """
    counts = [int((pictures.labels == row).sum()) for row in range(len(pictures.classes))]
    if not counts or not min(counts):
        without = [name for name, n in zip(pictures.classes, counts, strict=True) if not n]
        raise UserError(
            "balanced scores need pictures of every class, and there are none of "
            f"{', '.join(map(repr, without)) or 'any'}; leave --balance out"
        )
    rows = [torch.where(pictures.labels == row)[0][: min(counts)] for row in range(len(counts))]
    return pictures.take(torch.cat(rows).sort().values)


def _trained_on(pipeline: TextToImage, data: Data) -> tuple[Pictures, Pictures]:
    """(training images, images held out of training), split as in training."""
    everything = read_pictures(data)
    count = data.validation_count(len(everything))
    trained, now = pipeline.card.pictures, len(everything) - count
    known = pipeline.card.fingerprint
    if now != trained or (known and known != everything.fingerprint):
        raise UserError(
            f"{trained:,} pictures were trained on, and these {now:,} are not the same: it is "
            "unknown which of them are new; restore the data as they were in training, or name "
            "their folder with --data"
        )
    check_shapes(torch.Size(pipeline.shape), torch.Size(everything.shape))
    return everything.split(count, pipeline.recipe.train.seed)


def _unseen(found: Pictures, name: str, train: Pictures, digests: set[bytes]) -> Pictures:
    """A random subset as reference; refused if it is too small, has training images, or shows
    other classes than the model was trained on.
    """
    check_shapes(train.shape, found.shape)
    if found.classes != train.classes:
        raise UserError(
            f"{name} has the classes {', '.join(found.classes) or 'none'}, and the model was "
            f"trained on {', '.join(train.classes) or 'none'}; name data of the same classes"
        )
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
