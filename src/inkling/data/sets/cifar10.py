"""CIFAR-10: 50,000 + 10,000 photographs in ten classes, colour, 32x32."""

from dataclasses import replace
from pathlib import Path

from inkling.data.captions import class_groups
from inkling.data.fetch import fetch
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Source, of_arrays
from inkling.data.sources.cifar import read_cifar
from inkling.data.sources.parquet import parquet
from inkling.data.sources.splits import split_files
from inkling.errors import UserError
from inkling.system.cache import cache_folder

_ARCHIVE = "cifar-10-python.tar.gz"
_URL = f"https://www.cs.toronto.edu/~kriz/{_ARCHIVE}"
_MD5 = "c58f30108f718f92721af3b95e74349a"
FORMS = (
    "cifar-10-batches-py",
    "cifar-10-batches-bin",
    _ARCHIVE,
    "cifar-10-binary.tar.gz",
)
"""Names under which it is published."""
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def _archive(folder: Path) -> Path | None:
    """An archive of CIFAR-10 in a folder, or the folder itself if it is an unpacked archive."""
    candidates = (folder / form for form in FORMS)
    unpacked = any((folder / name).is_file() for name in ("data_batch_1", "data_batch_1.bin"))
    return folder if unpacked else next((path for path in candidates if path.exists()), None)


def find(folder: Path | None, split: str, options: Options) -> Source:
    """CIFAR-10 from an archive, a folder of Parquet, or the publisher.

    Raises:
        UserError: the folder holds none of these, or nothing could be downloaded.
    """
    if folder is None:
        instead = "or name its folder with --data"
        cached = cache_folder() / "cifar10" / _ARCHIVE
        archive: Path | None = fetch(_URL, cached, md5=_MD5, instead=instead)
    else:
        archive = _archive(folder)
        tables = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.parquet"))
        train, test, _ = split_files(tables)
        if archive is None and (used := train if split == "train" else test):
            source = parquet([folder / name for name in used], classes=CLASSES)
            return replace(source, **class_groups(CLASSES))
    if archive is None:
        raise UserError(
            f"{folder} holds no CIFAR-10; put {_ARCHIVE}, cifar-10-binary.tar.gz or "
            f"{split}.parquet there"
        )
    files = sorted(archive.iterdir()) if archive.is_dir() else [archive]
    return of_arrays(
        lambda: read_cifar(archive, split),
        files,
        stamp=split,
        classes=CLASSES,
        **class_groups(CLASSES),
    )


CIFAR10 = Dataset(
    title="CIFAR-10, 60,000 photographs in ten classes, colour, 32x32",
    find=find,
    licence="none stated by its publisher; for research",
    citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    size=32,
    channels=3,
    mirror=True,
)
