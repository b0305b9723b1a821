"""The interface of every source of images: a stream of undecoded images with captions or labels.

A *source* reads a file format; a *data set* names a source and its captions. `prepare` turns a
source into `Pictures`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inkling.errors import UserError, unknown_name

Content = Path | bytes | np.ndarray | Callable[[], np.ndarray]
"""An image: a path, encoded bytes, uint8 pixels [H, W] or [H, W, C], or a function for them."""


class Item(NamedTuple):
    """One image of a source."""

    name: str
    """The name of the image in error messages."""
    content: Content
    captions: tuple[str, ...] = ()
    """Its captions, if every image has its own."""
    label: int = -1
    """Class index, -1 without classes."""


@dataclass(frozen=True)
class Source:
    """Images in some files, with their captions or classes."""

    items: Callable[[], Iterator[Item]]
    """All items in a fixed order, from the start at every call."""
    count: int | None
    """Number of items; None if it is not known before the end of the stream."""
    files: Sequence[Path]
    """The files that are read; their names, sizes and times enter the cache's fingerprint."""
    stamp: str = ""
    """Whatever else the items depend on: a grammar, a split, a choice of columns."""
    classes: tuple[str, ...] = ()
    """The caption that names each class, in label order."""
    groups: tuple[tuple[str, ...], ...] = ()
    """The captions of each class; empty: each item has its own captions, or there are none."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """For each class, captions that training never sees."""
    problems: list[str] = field(default_factory=list)
    """Messages about data that could not be read; complete once all items were read."""
    layout: str = ""
    """How the files were read and which were left aside, in words."""
    unread: tuple[str, ...] = ()
    """Messages about parts of a folder that could not be read, known before any item is."""


def of_arrays(
    load: Callable[[], tuple[np.ndarray, np.ndarray]], files: Sequence[Path], **fields: Any
) -> Source:
    """A source of images in arrays.

    Args:
        load: returns (uint8 images [N, H, W] or [N, H, W, C], labels [N]); called once, if needed.
        files: the files that `load` reads.
        fields: the other fields of `Source`.
    """

    load = cache(load)

    def items() -> Iterator[Item]:
        images, labels = load()
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            yield Item(f"picture {row}", image, (), label)

    return Source(items, None, files, **fields)


def only(source: Source, classes: Sequence[str]) -> Source:
    """Only the images of these classes, with labels in this order.

    Raises:
        UserError: no such class.
    """
    classes = tuple(dict.fromkeys(classes))
    for name in classes:
        if name not in source.classes:
            raise UserError(unknown_name(name, source.classes or ("(none)",), "class"))
    # Several classes may have one name: all of them are meant.
    number = {
        old: classes.index(name) for old, name in enumerate(source.classes) if name in classes
    }
    first = [source.classes.index(name) for name in classes]

    def items() -> Iterator[Item]:
        for item in source.items():
            if item.label in number:
                yield item._replace(label=number[item.label])

    def of(rows: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(rows[old] for old in first) if rows else ()

    return replace(
        source,
        items=items,
        count=None,
        classes=classes,
        groups=of(source.groups),
        held_out=of(source.held_out),
    )
