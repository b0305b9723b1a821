"""The embedded default: 1,797 real handwritten digits, 8x8, that come with scikit-learn."""

from pathlib import Path

import numpy as np

from inkling.data.captions import NUMBERS, digit_groups
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Source, of_arrays
from inkling.errors import UserError

_TEST = 297


def load(split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 8, 8] uint8, labels [N]): the first 1,500 to train on, the last 297 to test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = slice(None, -_TEST) if split == "train" else slice(-_TEST, None)
    ink = bunch.images[rows]  # [N, 8, 8] float64, 0 .. 16
    return np.round(ink * (255 / 16)).astype(np.uint8), bunch.target[rows]


def find(folder: Path | None, split: str, options: Options) -> Source:
    """The digits that come with scikit-learn.

    Raises:
        UserError: a folder was given; these digits are not read from a folder.
    """
    if folder is not None:
        raise UserError(
            f"the digits come with scikit-learn and need no folder, but --data {folder} was given; "
            "leave it out, or train the recipe mnist on it"
        )
    return of_arrays(lambda: load(split), (), stamp=split, classes=NUMBERS, **digit_groups())


DIGITS = Dataset(
    title="handwritten digits of scikit-learn, 1,797 grey pictures of 8x8",
    find=find,
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
    channels=1,
    background=0,
)
