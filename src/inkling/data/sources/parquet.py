"""Parquet files in the hub's layout: columns of encoded images and of labels or captions."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.system.reading import require_regular

IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png", "webp")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "category")
CAPTION_COLUMNS = ("caption", "captions", "text", "texts", "sentences", "prompt", "description")
_ROWS = 256


def column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted columns that exists, ignoring case."""
    known = {name.lower(): name for name in names}
    return next((known[name] for name in wanted if name in known), None)


def sentences(value: Any) -> tuple[str, ...]:
    """The captions in a cell: one, several or none."""
    several = value if isinstance(value, list | tuple) else [value]
    return tuple(text.strip() for text in several if isinstance(text, str) and text.strip())


def parquet(paths: Sequence[Path]) -> Source:
    """The images of Parquet files, read in batches of rows.

    Raises:
        UserError: pyarrow is missing, or the files are damaged or hold no images.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(
            f"{paths[0]} is Parquet, and reading it takes pyarrow: pip install 'inkling[parquet]'"
        ) from None
    damaged = (arrow.ArrowException, OSError, ValueError, OverflowError)
    path = paths[0]
    try:
        count = 0
        for path in reversed(paths):  # columns and notes are those of the first
            opened = pq.ParquetFile(require_regular(path))
            names = opened.schema_arrow.names
            notes = opened.schema_arrow.metadata or {}
            count += opened.metadata.num_rows
    except damaged as error:
        raise _unsound(path, error) from None
    image = column(names, IMAGE_COLUMNS)
    if image is None:
        raise UserError(
            f"{paths[0]} has columns {', '.join(names)}; the pictures should be in one named "
            f"{' or '.join(IMAGE_COLUMNS[:2])}"
        )
    caption = column(names, CAPTION_COLUMNS)
    label = None if caption else column(names, LABEL_COLUMNS)
    classes = _class_names(notes, label)
    if label and not classes:
        try:
            classes = _found_classes(paths, label)
        except damaged as error:
            raise _unsound(paths[0], error) from None
    number = {name: row for row, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        wanted = [name for name in (image, label, caption) if name]
        for path in paths:
            try:
                yield from _rows(path, wanted)
            except damaged as error:
                raise _unsound(path, error) from None

    def _rows(path: Path, wanted: list[str]) -> Iterator[Item]:
        row = 0
        for batch in pq.ParquetFile(path).iter_batches(_ROWS, columns=wanted):
            for cells in batch.to_pylist():
                picture = cells.get(image)
                content = picture.get("bytes") if isinstance(picture, dict) else picture
                value = cells.get(label) if label else None
                index = value if isinstance(value, int) else number.get(str(value), -1)
                captions = sentences(cells.get(caption)) if caption else ()
                yield Item(f"{path.name} row {row}", content or b"", captions, index)
                row += 1

    return Source(items, count, tuple(paths), classes=classes)


def _unsound(path: Path, error: Exception) -> UserError:
    said = " ".join(str(error).split())[:200]
    return UserError(f"{path} is not sound Parquet ({said}); fetch it again")


def _class_names(notes: dict[bytes, bytes], label: str | None) -> tuple[str, ...]:
    """The class names that the hub's `datasets` library wrote into the file, if any."""
    try:
        described = json.loads(notes[b"huggingface"])["info"]["features"][label]
        return tuple(map(str, described["names"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _found_classes(paths: Sequence[Path], label: str) -> tuple[str, ...]:
    """Class names from the values of the label column; integers are class indices."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    values: set[Any] = set()
    for path in paths:
        values |= set(pc.unique(pq.read_table(path, columns=[label])[label]).to_pylist())
    values.discard(None)
    if all(isinstance(value, int) for value in values):
        return tuple(map(str, range(max(values, default=-1) + 1)))
    return tuple(sorted(map(str, values)))
