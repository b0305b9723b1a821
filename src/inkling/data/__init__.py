"""Pictures and captions. *Sources* read a format, *data sets* name a source and its captions, and
all become one in-memory form, `Pictures`. A new set is one file and one entry in `DATASETS`.
"""

from dataclasses import replace
from pathlib import Path

from inkling.data.captions import class_groups
from inkling.data.pictures import Dataset, Pictures
from inkling.data.preparation import prepare
from inkling.data.sets.celeba import CELEBA
from inkling.data.sets.cifar10 import CIFAR10
from inkling.data.sets.coco import COCO
from inkling.data.sets.digits import DIGITS
from inkling.data.sets.mnist import MNIST
from inkling.data.sets.own import FOLDER, HUB
from inkling.data.sets.quickdraw import QUICKDRAW
from inkling.data.sets.shapes import SHAPES
from inkling.data.source import Options, only
from inkling.errors import UserError, nearest

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "quickdraw": QUICKDRAW,
    "cifar10": CIFAR10,
    "celeba": CELEBA,
    "coco": COCO,
    "shapes": SHAPES,
    "folder": FOLDER,
    "hub": HUB,
}


def read(name: str, path: str = "", split: str = "train", options: Options = Options()) -> Pictures:
    """A data set's "train" or "test" split.

    Args:
        name: a key of `DATASETS`.
        path: a folder (for "folder" also a file, for "hub" an id); empty: embedded, cached or
            downloaded.
        split: "train" or "test".
        options: which pictures, in which form.

    Raises:
        UserError: no such data set, its files are missing or damaged, or there is no such class.
    """
    if name not in DATASETS:
        raise UserError(nearest(name, DATASETS, "data set"))
    dataset = DATASETS[name]
    if split not in dataset.splits:
        raise UserError(nearest(split, dataset.splits, f"split of {name!r}:"))
    if options.hold_out and "held_out" not in dataset.splits:
        raise UserError(
            f"data.hold_out={options.hold_out:g} means nothing for {name!r}, which has no "
            "combinations to hold out; leave it out, or train shapes"
        )
    place = Path(path).expanduser() if path else None
    if place is not None and name != "hub" and not place.exists():
        raise UserError(
            f"there is no folder {place}; name one with the files of {name!r}, or leave it out"
        )
    found = dataset.find(place, split, options)
    if isinstance(found, Pictures):
        return found
    if options.classes and options.classes != found.classes:
        found = only(found, options.classes)
    if found.classes and not found.groups:
        found = replace(found, **class_groups(found.classes))
    return prepare(name, dataset, found, options)


__all__ = ["DATASETS", "Dataset", "Options", "Pictures", "read"]
