"""The named data sets, and reading one of them by name."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inkling.data.captions import class_groups
from inkling.data.decode import decode, reason
from inkling.data.pictures import Dataset, Pictures, fingerprint_of
from inkling.data.preparation import prepare_pictures
from inkling.data.sets.celeba import CELEBA
from inkling.data.sets.cifar10 import CIFAR10
from inkling.data.sets.coco import COCO
from inkling.data.sets.digits import DIGITS
from inkling.data.sets.emoji import EMOJI
from inkling.data.sets.mnist import MNIST
from inkling.data.sets.own import FOLDER, HUB
from inkling.data.sets.quickdraw import QUICKDRAW
from inkling.data.sets.shapes import SHAPES
from inkling.data.settings import Data, Options
from inkling.data.source import only
from inkling.data.sources.labels import printable, storable
from inkling.errors import UserError, unknown_name

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "quickdraw": QUICKDRAW,
    "cifar10": CIFAR10,
    "celeba": CELEBA,
    "coco": COCO,
    "shapes": SHAPES,
    "emoji": EMOJI,
    "folder": FOLDER,
    "hub": HUB,
}


def read_pictures(settings: Data, split: str = "train") -> Pictures:
    """The data set that the settings name; split and errors as in `read`."""
    return read(settings.name, settings.path, split, settings)


def read(name: str, path: str = "", split: str = "train", options: Options = Options()) -> Pictures:
    """A data set's "train" or "test" split.

    Args:
        name: a key of `DATASETS`.
        path: a folder (for "folder" also a file, for "hub" an id); empty: embedded, cached or
            downloaded.
        split: "train" or "test".
        options: selection and format of the images.

    Raises:
        UserError: no such data set, its files are missing or damaged, or there is no such class.
    """
    if name not in DATASETS:
        raise UserError(unknown_name(name, DATASETS, "data set"))
    dataset = DATASETS[name]
    if split not in dataset.splits:
        raise UserError(unknown_name(split, dataset.splits, f"split of {name!r}:"))
    if options.hold_out and "held_out" not in dataset.splits:
        raise UserError(
            f"data.hold_out={options.hold_out:g} means nothing for {name!r}, which has no "
            "combinations to hold out; leave it out, or train shapes or emoji"
        )
    if storable(path) != path:
        raise UserError(
            f"the path {printable(path)!r} is not UTF-8, so no recipe can hold it; rename it"
        )
    folder = Path(os.path.expanduser(path)) if path else None
    if folder is not None and name != "hub" and not os.path.exists(folder):
        fix = (
            "name where the pictures are now with --data"
            if name == "folder"
            else f"name one with the files of {name!r}, or leave it out"
        )
        raise UserError(f"there is no folder {printable(folder)}; {fix}")
    found = dataset.find(folder, split, options)
    if not isinstance(found, Pictures):
        if options.classes and options.classes != found.classes:
            found = only(found, options.classes)
        if found.classes and not found.groups:
            found = replace(found, **class_groups(found.classes))
        source = found
        found = prepare_pictures(name, dataset, source, options)
        # Not from the cache: what is left aside may change while the pictures do not.
        problems = (*source.unread, *found.problems)
        found = replace(found, layout=source.layout, problems=problems)
    if not found.fingerprint:
        found = replace(found, fingerprint=fingerprint_of(found))
    if options.caption:
        found = _one_sentence_a_class(found, name, options.caption)
    return found if options.mirror is None else replace(found, mirror=options.mirror)


def read_picture(
    picture: Path | np.ndarray, settings: Data, shape: tuple[int, int, int]
) -> torch.Tensor:
    """A picture in the form of those of a data set: uint8 [C, H, W].

    Args:
        picture: a file, or uint8 pixels [H, W] or [H, W, C], of any size.
        settings: of the set.
        shape: (C, H, W) of its pictures.

    Raises:
        UserError: there is no picture that can be read.
    """
    background = settings.background
    if background is None:
        background = DATASETS[settings.name].background if settings.name in DATASETS else 255
    channels, *size = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            pixels, _ = decode(picture, (size[0], size[1]), settings.resize, channels, background)
    except FileNotFoundError:
        raise UserError(f"there is no picture {picture}; name the file of one") from None
    except Exception as error:  # a decoder may raise anything on invalid bytes
        what = picture if isinstance(picture, Path) else f"pixels {picture.shape}"
        raise UserError(
            f"cannot read the picture {what}: {reason(error)}; name another, or save it as PNG"
        ) from None
    return torch.from_numpy(pixels.copy())


def _one_sentence_a_class(pictures: Pictures, name: str, caption: str) -> Pictures:
    """The set with one caption for each class, from a template such as "Drawing of {}"."""
    if not pictures.classes:
        raise UserError(
            f"data.caption={caption!r} names classes, and {name} has none; leave it empty"
        )
    captions = tuple(caption.replace("{}", name) for name in pictures.classes)
    return replace(
        pictures,
        groups=(*((sentence,) for sentence in captions), ("",)),
        group=torch.where(pictures.labels < 0, len(captions), pictures.labels),
        classes=captions,
        held_out=(),
    )
