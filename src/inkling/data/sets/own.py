"""Your own images: a folder, a Parquet or tar file, or a data set of the hub."""

from collections.abc import Callable
from pathlib import Path

from inkling.data.pictures import Dataset
from inkling.data.sets import celeba, cifar10, coco, mnist, quickdraw
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.data.sources.folders import pictures_in, split_folder
from inkling.data.sources.hub import hub
from inkling.data.sources.parquet import parquet
from inkling.data.sources.tars import shards
from inkling.errors import UserError

# Files by which a layout is recognised, and the function that reads it.
_LAYOUTS: tuple[tuple[tuple[str, ...], Callable[[Path, str, Options], Source]], ...] = (
    (("annotations/captions_*2017.json",), coco.find),
    (("list_attr_celeba.txt", "Anno/list_attr_celeba.txt"), celeba.find),
    (("*-idx3-ubyte*", "raw/*-idx3-ubyte*", "MNIST/raw/*-idx3-ubyte*"), mnist.find),
    (("data_batch_1*", "cifar-10-*"), cifar10.find),
    (("*.npy", "*.ndjson"), quickdraw.find),
)


def find(path: Path | None, split: str, options: Options) -> Source:
    """The images at a path: a known layout, Parquet files, tar shards or a folder of images.

    Raises:
        UserError: there is nothing at the path that can be read.
    """
    if path is None:
        raise UserError("own pictures need a folder: inkling train FOLDER, or data.path=FOLDER")
    if path.is_file():
        return _many([path], path)
    for patterns, read in _LAYOUTS:
        if any(next(path.glob(pattern), None) for pattern in patterns):
            return read(path, split, options)
    for ending in ("parquet", "tar", "tar.gz"):
        files = sorted(path.rglob(f"*.{ending}"))
        of_split = [file for file in files if split in file.name.lower()]
        if of_split or (files and split == "train"):
            return _many(of_split or files, path)
    part = split_folder(path, split)
    if part is None:
        raise UserError(f"{path} has no folder of {split} pictures")
    return pictures_in(part)


def _many(files: list[Path], path: Path) -> Source:
    """Files that hold many images each."""
    if files[0].suffix == ".parquet":
        return parquet(files)
    if files[0].name.endswith((".tar", ".tar.gz", ".tgz")):
        return shards(files)
    raise UserError(
        f"{path} is a single file that inkling cannot read; give a folder of pictures, a .parquet "
        "or a .tar"
    )


def find_on_hub(path: Path | None, split: str, options: Options) -> Source:
    """A data set of the Hugging Face hub by its id.

    Raises:
        UserError: it cannot be loaded, or has no images.
    """
    return hub(str(path or ""), split)


FOLDER = Dataset(
    title="a folder of your own pictures",
    find=find,
    licence="that of your pictures",
    citation="yours",
)
HUB = Dataset(
    title="a data set of the Hugging Face hub",
    find=find_on_hub,
    licence="see its page on the hub",
    citation="see its page on the hub",
)
