"""The embedded default: 1,797 real handwritten digits, 8x8, that come with scikit-learn."""

from pathlib import Path

import torch

from inkling.data.captions import NUMBERS, digit_groups
from inkling.data.pictures import Dataset, Pictures
from inkling.errors import UserError

_TEST = 297


def load(folder: Path | None, split: str) -> Pictures:
    """The first 1,500 drawings to train on, the last 297 to test on.

    Raises:
        UserError: a folder was given; there is nothing to read from one.
    """
    if folder is not None:
        raise UserError(
            f"the digits come with scikit-learn and need no folder, but --data {folder} was given; "
            "leave it out, or train the recipe mnist on it"
        )
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = slice(None, -_TEST) if split == "train" else slice(-_TEST, None)
    ink = torch.from_numpy(bunch.images[rows])  # [N, 8, 8] float64, 0 .. 16
    labels = torch.from_numpy(bunch.target[rows]).long()
    return Pictures(
        images=(ink * (255 / 16)).round().to(torch.uint8).unsqueeze(1),
        group=labels,
        labels=labels,
        classes=NUMBERS,
        **digit_groups(),
    )


DIGITS = Dataset(
    title="handwritten digits inside scikit-learn, 1,797 grey pictures of 8x8",
    load=load,
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
    classes=NUMBERS,
)
