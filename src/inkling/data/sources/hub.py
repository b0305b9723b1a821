"""Data sets of the Hugging Face hub by id, through the `datasets` library."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from inkling.data.source import Item, Source
from inkling.data.sources.labels import unknown_class
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError, one_line
from inkling.extras import how_to_install


def hub(name: str, split: str) -> Source:
    """The images of a hub data set, its captions or its classes.

    Args:
        name: `owner/name`, `owner/name:configuration`, or a local folder that `datasets` can load.
        split: "train" or "test"; where there is no "test", "validation".

    Raises:
        UserError: `datasets` is missing, the set cannot be loaded, or it has no images.
    """
    repository, _, configuration = name.partition(":")
    if not repository.strip():
        raise UserError("a data set of the hub needs its id, such as hub:ylecun/mnist")
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"reading {name} from the hub takes the datasets library: {how_to_install('hub')}"
        ) from None
    try:
        loaded = datasets.load_dataset(repository, configuration or None, trust_remote_code=False)
        known = list(loaded)
        wanted = ("train",) if split == "train" else ("test", "validation", "valid")
        chosen = next((part for part in wanted if part in known), None)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot load {name!r} from the hub: {one_line(error)[:200]}") from None
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
            item = _item(row, cells, pictures[0], labels[0] if labels else "", caption)
            yield item if own == classes else item._replace(label=_moved(item, own, classes))

    files = [Path(file["filename"]) for file in table.cache_files]
    own = _class_names(table, labels)
    trained = _class_names(loaded["train"] if "train" in known else table, labels)
    classes = tuple(dict.fromkeys(trained))  # several of one name are one class
    return Source(items, len(rows), files, stamp=f"{name}/{chosen}", classes=classes)


def _class_names(table: Any, labels: list[str]) -> tuple[str, ...]:
    """The classes of the first of these columns."""
    feature = table.features.get(labels[0]) if labels else None
    names = getattr(feature, "names", ())
    return tuple(str(name) or str(row) for row, name in enumerate(names))


def _moved(item: Item, own: Sequence[str], classes: Sequence[str]) -> int:
    """The label of an image in the classes of the training split."""
    if not classes or not 0 <= item.label < len(own):
        return -1
    name = own[item.label]
    if name not in classes:
        raise unknown_class(item.name, name, classes)
    return classes.index(name)


def _item(row: int, cells: dict[str, Any], image: str, label: str, caption: str | None) -> Item:
    picture = cells[image] or {}
    content = picture.get("bytes") or Path(picture.get("path") or "")
    captions = sentences(cells[caption]) if caption else ()
    index = cells[label] if label and cells[label] is not None else -1
    return Item(f"row {row}", content, captions, index)
