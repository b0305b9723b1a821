"""MNIST: 60,000 + 10,000 handwritten digits, 28x28, from IDX files in a folder or downloaded."""

from pathlib import Path

import numpy as np

from inkling.data.captions import NUMBERS, digit_groups
from inkling.data.fetch import fetch
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Source, of_arrays
from inkling.data.sources.idx import read_idx
from inkling.errors import UserError
from inkling.system.cache import cache_folder

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
_PREFIX = {"train": "train", "test": "t10k"}


def _download(name: str) -> Path:
    instead = "or put MNIST's four IDX files into a folder and name it with --data"
    return fetch(MIRROR + name, cache_folder() / "mnist" / name, md5=MD5[name], instead=instead)


def _locate(folder: Path, stem: str) -> Path:
    """The IDX file of this name: gzipped or not, `-` or `.` before `idx`, perhaps in `raw/`."""
    names = [stem, f"{stem}.gz"]
    names += [name.replace("-idx", ".idx") for name in names]
    for parent in (folder, folder / "raw", folder / "MNIST" / "raw"):
        for name in names:
            if (parent / name).is_file():
                return parent / name
    raise UserError(f"{folder} holds no {stem}(.gz); --data takes a folder of MNIST's files")


def load(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 28, 28] uint8, labels [N]) of a pair of IDX files.

    Raises:
        UserError: a file is damaged, or the two do not belong together.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise UserError(
            f"{images_path} has shape {images.shape} and {labels_path} {labels.shape}; expected "
            "[N, H, W] pictures and [N] labels"
        )
    if len(labels) == 0 or labels.max() > 9:
        raise UserError(f"{labels_path} should hold digits 0 to 9 and at least one of them")
    return images, labels.astype(np.int64)


def find(folder: Path | None, split: str, options: Options) -> Source:
    """MNIST's training (60,000) or test (10,000) split.

    Raises:
        UserError: the folder is incomplete, or nothing could be downloaded.
    """
    stems = [f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-labels-idx1-ubyte"]
    if folder is None:
        files = [_download(f"{stem}.gz") for stem in stems]
    else:
        files = [_locate(folder, stem) for stem in stems]
    return of_arrays(lambda: load(*files), files, classes=NUMBERS, **digit_groups())


MNIST = Dataset(
    title="MNIST, 70,000 handwritten digits, grey, 28x28",
    find=find,
    licence="CC BY-SA 3.0",
    citation="LeCun, Cortes & Burges 1998, The MNIST Database of Handwritten Digits",
    channels=1,
    background=0,
)
