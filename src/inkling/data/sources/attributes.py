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
    if partition:
        rows = [row for row in rows if partition.get(row[0]) in _PARTITION[split]]
    elif split != "train":
        rows = []

    def items() -> Iterator[Item]:
        for name, *values in rows:
            marked = frozenset(n for n, value in zip(names, values, strict=True) if value == "1")
            yield Item(name, pictures / name, sentences(marked))

    files = [pictures / row[0] for row in rows]
    return Source(items, len(rows), [table, *filter(Path.is_file, files)], stamp=split + stamp)


def _read_partition(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        pairs = [line.split() for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table of partitions ({error}); fetch it again") from None
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
