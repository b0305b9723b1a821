"""Data sets of the Hugging Face hub by id, through the `datasets` library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError


def hub(name: str, split: str) -> Source:
    """The images of a hub data set, its captions or its classes.

    Args:
        name: `owner/name`, `owner/name:configuration`, or a local folder that `datasets` can load.
        split: "train" or "test"; where there is no "test", "validation".

    Raises:
        UserError: `datasets` is missing, the set cannot be loaded, or it has no images.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"reading {name} from the hub takes the datasets library: pip install 'inkling[hub]'"
        ) from None
    repository, _, configuration = name.partition(":")
    try:
        loaded = datasets.load_dataset(repository, configuration or None, trust_remote_code=False)
        known = list(loaded)
        wanted = ("train",) if split == "train" else ("test", "validation", "valid")
        chosen = next((part for part in wanted if part in known), None)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot load {name!r} from the hub: {' '.join(str(error).split())[:200]}"
        ) from None
    if chosen is None:
        raise UserError(f"{name} has no {split} split; it has {', '.join(map(str, known))}")
    table = loaded[chosen]
    pictures = [key for key, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if not pictures:
        raise UserError(f"{name} has no column of pictures; it has {', '.join(table.features)}")
    caption = column(list(table.features), CAPTION_COLUMNS)
    labels = [key for key, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)]
    labels = [] if caption else labels
    kept = [pictures[0], *labels[:1], *([caption] if caption else [])]
    rows = table.select_columns(kept).cast_column(pictures[0], datasets.Image(decode=False))

    def items() -> Iterator[Item]:
        for row, cells in enumerate(rows):
            yield _item(row, cells, pictures[0], labels[0] if labels else "", caption)

    files = [Path(file["filename"]) for file in table.cache_files]
    classes = tuple(table.features[labels[0]].names) if labels else ()
    return Source(items, len(rows), files, stamp=f"{name}/{chosen}", classes=classes)


def _item(row: int, cells: dict[str, Any], image: str, label: str, caption: str | None) -> Item:
    picture = cells[image] or {}
    content = picture.get("bytes") or Path(picture.get("path") or "")
    captions = sentences(cells[caption]) if caption else ()
    index = cells[label] if label and cells[label] is not None else -1
    return Item(f"row {row}", content, captions, index)
