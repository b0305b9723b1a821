"""Pictures and captions. *Sources* read a format, *data sets* name a source and its captions, and
all become one in-memory form, `Pictures`. A new set is one file and one entry in `DATASETS`.
"""

from pathlib import Path

from inkling.data.digits import DIGITS
from inkling.data.mnist import MNIST
from inkling.data.pictures import Dataset, Pictures
from inkling.errors import UserError, nearest

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "mnist": MNIST,
}


def read(name: str, folder: Path | None, split: str) -> Pictures:
    """A named data set's "train" or "test" split, from a folder or wherever it lives.

    Raises:
        UserError: no such data set, or its files are missing or damaged.
    """
    if name not in DATASETS:
        raise UserError(nearest(name, DATASETS, "data set"))
    return DATASETS[name].load(folder, split)


__all__ = ["DATASETS", "Dataset", "Pictures", "read"]
