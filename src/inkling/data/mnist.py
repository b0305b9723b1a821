"""MNIST: 60,000 + 10,000 handwritten digits, 28x28, from IDX files in a folder or downloaded."""

import os
from pathlib import Path

import torch

from inkling.data.captions import NUMBERS, digit_groups
from inkling.data.idx import read_idx
from inkling.data.pictures import Dataset, Pictures
from inkling.errors import UserError

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
_PREFIX = {"train": "train", "test": "t10k"}


def cache_folder() -> Path:
    """Where downloads are kept: `$INKLING_CACHE`, else the platform's cache folder."""
    import pooch

    return Path(os.environ.get("INKLING_CACHE") or pooch.os_cache("inkling"))


def _download(name: str) -> Path:
    import pooch
    from requests.exceptions import RequestException

    cache = cache_folder() / "mnist"
    try:
        fetched = pooch.retrieve(
            _MIRROR + name, f"md5:{_MD5[name]}", fname=name, path=cache, progressbar=True
        )
    except (RequestException, OSError, ValueError) as error:
        raise UserError(
            f"could not download {name} ({type(error).__name__}); put MNIST's four IDX files into "
            f"a folder and name it with --data, or put them into {cache}"
        ) from None
    return Path(fetched)


def _find(folder: Path, stem: str) -> Path:
    """The IDX file of this name: gzipped or not, `-` or `.` before `idx`, here or in `raw/`."""
    names = [stem, f"{stem}.gz"]
    names += [name.replace("-idx", ".idx") for name in names]
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise UserError(f"{folder} holds no {stem}(.gz); --data takes a folder of MNIST's files")


def load(folder: Path | None, split: str) -> Pictures:
    """MNIST's training (60,000) or test (10,000) split.

    Raises:
        UserError: the folder is missing, incomplete or damaged, or nothing could be downloaded.
    """
    stems = [f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-labels-idx1-ubyte"]
    if folder is None:
        images_path, labels_path = [_download(f"{stem}.gz") for stem in stems]
    elif not folder.is_dir():
        raise UserError(f"there is no folder {folder}; --data takes a folder of MNIST's files")
    else:
        images_path, labels_path = [_find(folder, stem) for stem in stems]
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise UserError(
            f"{images_path} has shape {images.shape} and {labels_path} {labels.shape}; expected "
            "[N, H, W] pictures and [N] labels"
        )
    if len(labels) == 0 or labels.max() > 9:
        raise UserError(f"{labels_path} should hold digits 0 to 9 and at least one of them")
    digits = torch.from_numpy(labels.astype("int64"))
    return Pictures(
        images=torch.from_numpy(images.copy()).unsqueeze(1),
        group=digits,
        labels=digits,
        classes=NUMBERS,
        **digit_groups(),
    )


MNIST = Dataset(
    title="MNIST, 70,000 handwritten digits, grey, 28x28",
    load=load,
    licence="CC BY-SA 3.0",
    citation="LeCun, Cortes & Burges 1998, The MNIST Database of Handwritten Digits",
    classes=NUMBERS,
)
