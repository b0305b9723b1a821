"""Parquet files in the hub's layout: columns of encoded images and of labels or captions."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.errors import UserError

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
    try:
        files = [pq.ParquetFile(path) for path in paths]
        names = files[0].schema_arrow.names
        notes = files[0].schema_arrow.metadata or {}
        count = sum(file.metadata.num_rows for file in files)
    except (arrow.ArrowException, OSError) as error:
        raise UserError(f"{paths[0]} is not sound Parquet ({error}); fetch it again") from None
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
        classes = _found_classes(paths, label)
    number = {name: row for row, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for path in paths:
            row = 0
            wanted = [name for name in (image, label, caption) if name]
            for batch in pq.ParquetFile(path).iter_batches(_ROWS, columns=wanted):
                for cells in batch.to_pylist():
                    picture = cells[image]
                    content = picture["bytes"] if isinstance(picture, dict) else picture
                    value = cells[label] if label else None
                    index = value if isinstance(value, int) else number.get(str(value), -1)
                    captions = sentences(cells[caption]) if caption else ()
                    yield Item(f"{path.name} row {row}", content or b"", captions, index)
                    row += 1

    return Source(items, count, tuple(paths), classes=classes)


def _class_names(notes: dict[bytes, bytes], label: str | None) -> tuple[str, ...]:
    """The class names that the hub's `datasets` library wrote into the file, if any."""
    try:
        described = json.loads(notes[b"huggingface"])["info"]["features"][label]
        return tuple(described["names"])
    except (KeyError, TypeError, ValueError):
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
