"""CelebA's `list_attr_celeba.txt`: forty binary attributes for each image."""

from collections.abc import Callable, Iterator
from pathlib import Path

from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.system.reading import require_regular

_PARTITION = {"train": ("0",), "test": ("2",)}


def attributes(
    table: Path,
    pictures: Path,
    split: str,
    sentences: Callable[[frozenset[str]], tuple[str, ...]],
    stamp: str = "",
) -> Source:
    """The images of an attribute table.

    Args:
        table: `list_attr_celeba.txt`: a count, the names, then a row of 1 and -1 for each image.
        pictures: the folder of the images.
        split: by `list_eval_partition.txt` beside the table; without it everything is "train".
        sentences: returns the captions of an image with these attributes.
        stamp: version of the captions.

    Raises:
        UserError: the table is truncated, or is not an attribute table.
    """
    try:
        lines = require_regular(table).read_text("ascii").splitlines()
        count, names = int(lines[0]), lines[1].split()
        rows = [line.split() for line in lines[2 : 2 + count]]
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        raise UserError(
            f"{table} is no attribute table; the first line should be a count, the second names"
        ) from None
    damaged = next((row for row in rows if len(row) != 1 + len(names)), None)
    if len(rows) != count or damaged is not None:
        raise UserError(f"{table} is cut short: {len(rows):,} of {count:,} rows; fetch it again")
    for name, *_ in rows:
        if Path(name).name != name:
            raise UserError(f"{table} names the picture {name!r}, which is no file name")
    partition = _read_partition(table.with_name("list_eval_partition.txt"))
    rows = [row for row in rows if _is_in(split, row[0], partition)]

    def items() -> Iterator[Item]:
        for name, *values in rows:
            marked = frozenset(n for n, value in zip(names, values, strict=True) if value == "1")
            yield Item(name, pictures / name, sentences(marked))

    files = [pictures / row[0] for row in rows]
    return Source(items, len(rows), [table, *filter(Path.is_file, files)], stamp=split + stamp)


def unlabelled(pictures: Path, split: str, partition: Path) -> Source:
    """The images of a folder whose attributes are not there.

    Args:
        pictures: the folder of the images.
        split: by the partition; without it everything is "train".
        partition: `list_eval_partition.txt`.

    Raises:
        UserError: the folder cannot be read, or holds no images of the split.
    """
    known = _read_partition(partition)
    try:
        names = sorted(path.name for path in pictures.iterdir() if path.suffix in (".jpg", ".png"))
    except OSError as error:
        raise UserError(f"cannot read {pictures}: {error.strerror}") from None
    files = [pictures / name for name in names if _is_in(split, name, known)]
    if not files:
        raise UserError(f"{pictures} holds no .jpg or .png pictures of the split {split!r}")

    def items() -> Iterator[Item]:
        yield from (Item(file.name, file) for file in files)

    return Source(items, len(files), files, stamp=split)


def _is_in(split: str, name: str, partition: dict[str, str]) -> bool:
    """Whether an image belongs to a split; without a partition all are for training."""
    return partition.get(name) in _PARTITION[split] if partition else split == "train"


def _read_partition(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        pairs = [line.split() for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table of partitions ({error}); fetch it again") from None
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
