"""Parquet files in the hub's layout: columns of encoded images and of labels or captions."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.data.sources.archives import LARGEST_PICTURE
from inkling.data.sources.labels import (
    distinct,
    label_text,
    printable,
    storable,
    unknown_class,
)
from inkling.errors import UserError, one_line
from inkling.extras import how_to_install
from inkling.system.reading import require_regular

IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png", "webp")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "category")
CAPTION_COLUMNS = ("caption", "captions", "text", "texts", "sentences", "prompt", "description")
_ROWS = 256
_RATIO = 16
"""How many times smaller images and captions are compressed at most, in large groups of rows."""


def column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted columns that exists, ignoring case."""
    known = {name.lower(): name for name in names}
    return next((known[name] for name in wanted if name in known), None)


def sentences(value: Any) -> tuple[str, ...]:
    """The captions in a cell: one, several or none."""
    several = value if isinstance(value, list | tuple) else [value]
    texts = (storable(text).strip() for text in several if isinstance(text, str))
    return tuple(text for text in texts if text)


def parquet(
    paths: Sequence[Path], training: Sequence[Path] = (), classes: Sequence[str] = ()
) -> Source:
    """The images of Parquet files, read in batches of rows.

    Args:
        paths: the files.
        training: the files of the training split, whose classes count; empty: these.
        classes: the classes in the order of their numbers; empty: those that the files name.

    Raises:
        UserError: pyarrow is missing, or the files are damaged or hold no images.
    """
    names, count = [], 0
    for path in reversed(paths):
        with _opened(path) as file:
            names, count = file.schema_arrow.names, count + file.metadata.num_rows
    image = column(names, IMAGE_COLUMNS)
    if image is None:
        raise UserError(
            f"{printable(paths[0])} has columns {', '.join(names)}; the pictures should be in one "
            f"named {' or '.join(IMAGE_COLUMNS[:2])}"
        )
    caption = column(names, CAPTION_COLUMNS)
    label = None if caption else column(names, LABEL_COLUMNS)
    first = (training or paths)[0]
    own = tuple(classes) or _class_names(paths[0], label) or _class_names(first, label)
    known = tuple(classes) or (_classes(training or paths, label) if label else ())
    known = tuple(dict.fromkeys(known))
    number = {name: row for row, name in enumerate(known)}

    def index(value: Any, where: str) -> int:
        """The label of a cell; a number counts in the classes of its own file."""
        if own and isinstance(value, int):
            if own == known or not 0 <= value < len(own):
                return value if 0 <= value < len(own) else -1
            value = own[value]
        text = _label(value, where)
        if text and known and text not in number:
            raise unknown_class(where, text, known)
        return number.get(text, -1)

    def items() -> Iterator[Item]:
        wanted = [name for name in (image, label, caption) if name]
        for path in paths:
            for row, cells in enumerate(_rows(path, wanted)):
                picture = cells.get(image)
                content = picture.get("bytes") if isinstance(picture, dict) else picture
                where = f"{printable(path.name)} row {row}"
                captions = sentences(cells.get(caption)) if caption else ()
                found = index(cells.get(label), where) if label else -1
                yield Item(where, content if isinstance(content, bytes) else b"", captions, found)

    several = [name for name, n in Counter(own).items() if n > 1]
    problems = [
        f"{own.count(name)} labels are named {name!r} and are one class" for name in several
    ]
    return Source(items, count, tuple(paths), classes=known, problems=problems)


def count_pictures(path: Path) -> int:
    """How many rows a file with a column of images has; 0 without one, or if it is damaged."""
    try:
        with _opened(path) as file:
            has_images = column(file.schema_arrow.names, IMAGE_COLUMNS)
            return file.metadata.num_rows if has_images else 0
    except UserError:
        return 0


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`; opened here, because pyarrow takes some paths for URLs.

    Raises:
        UserError: pyarrow is missing, or the file is damaged.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(
            f"{printable(path)} is Parquet, and reading it takes pyarrow: "
            f"{how_to_install('parquet')}"
        ) from None
    try:
        with require_regular(path).open("rb") as file:
            yield pq.ParquetFile(file)
    except (arrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise UserError(
            f"{printable(path)} is not sound Parquet ({one_line(error)}); fetch it again"
        ) from None


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The cells of each row by column."""
    with _opened(path) as file:
        _check_size(path, file.metadata, columns)
        for batch in file.iter_batches(_ROWS, columns=columns):
            yield from batch.to_pylist()


def _check_size(path: Path, about: Any, columns: Sequence[str]) -> None:
    """Refuse cells that unpack to far more than any picture has.

    Raises:
        UserError: a group of rows is too large.
    """
    for number in range(about.num_row_groups):
        rows = about.row_group(number)
        for part in map(rows.column, range(rows.num_columns)):
            size, packed = part.total_uncompressed_size, part.total_compressed_size
            if part.path_in_schema.split(".")[0] not in columns or size <= LARGEST_PICTURE:
                continue
            if size > LARGEST_PICTURE * rows.num_rows or size > _RATIO * packed:
                raise UserError(
                    f"{printable(path)} has {rows.num_rows:,} rows that unpack from {packed:,} to "
                    f"{size:,} bytes; no pictures do, so it is not read: write it again with one "
                    "picture a row"
                )


def _class_names(path: Path, label: str | None) -> tuple[str, ...]:
    """The class names that the hub's `datasets` library wrote into the file, if any."""
    with _opened(path) as file:
        notes = file.schema_arrow.metadata
    try:
        described = json.loads(notes[b"huggingface"])["info"]["features"][label]
        return tuple(storable(str(name)) or str(row) for row, name in enumerate(described["names"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _classes(paths: Sequence[Path], label: str) -> tuple[str, ...]:
    """The classes that files name, or else the distinct values of their label column.

    Raises:
        UserError: a value names no class.
    """
    if named := _class_names(paths[0], label):
        return named
    found: set[str] = set()
    for path in paths:
        found.update(_label(cells.get(label), path.name) for cells in _rows(path, [label]))
    return distinct(found)


def _label(value: Any, where: str) -> str:
    """A cell as a label, see `label_text`.

    Raises:
        UserError: it is a list or another value that names no class.
    """
    try:
        return label_text(value)
    except TypeError as error:
        raise UserError(
            f"{where} has a label that names no class: {error}; put captions in a column named "
            f"{CAPTION_COLUMNS[0]!r}, or drop the column"
        ) from None
