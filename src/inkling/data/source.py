"""What every source of pictures gives: items that say what they show, not yet decoded.

A *source* reads a format and knows no data set; a *data set* names a source and its captions.
`prepare` turns either into `Pictures`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inkling.errors import UserError, nearest

Content = Path | bytes | np.ndarray | Callable[[], np.ndarray]
"""A picture: its file, the bytes of one, pixels [H, W] or [H, W, C] uint8, or what draws them."""


class Item(NamedTuple):
    """One picture of a source."""

    name: str
    """For people: in messages about pictures that cannot be read."""
    content: Content
    captions: tuple[str, ...] = ()
    """The sentences that describe it, if each picture has its own."""
    label: int = -1
    """Class index, -1 without classes."""


@dataclass(frozen=True)
class Source:
    """Pictures that were found, with what they show."""

    items: Callable[[], Iterator[Item]]
    """All items in a fixed order, from the start at every call."""
    count: int | None
    """How many there are; None if only the end of the stream tells."""
    files: Sequence[Path]
    """What was read: names, sizes and times of these are the fingerprint."""
    stamp: str = ""
    """What else the items depend on: a grammar, a split, a choice of columns."""
    classes: tuple[str, ...] = ()
    """The prompt that names each class, in label order."""
    groups: tuple[tuple[str, ...], ...] = ()
    """The sentences of each class; empty: each item brings its own captions, or there are none."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """Per class, phrasings that training never sees."""
    problems: list[str] = field(default_factory=list)
    """Sentences about what the source stumbled over; complete once the items were read."""


def of_arrays(
    load: Callable[[], tuple[np.ndarray, np.ndarray]], files: Sequence[Path], **fields: Any
) -> Source:
    """A source of pixels that lie in a few arrays.

    Args:
        load: gives (images [N, H, W] or [N, H, W, C] uint8, labels [N]); called once, when needed.
        files: where they come from.
        fields: the other fields of `Source`.
    """

    load = cache(load)

    def items() -> Iterator[Item]:
        images, labels = load()
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            yield Item(f"picture {row}", image, (), label)

    return Source(items, None, files, **fields)


def only(source: Source, classes: Sequence[str]) -> Source:
    """The pictures of these classes alone, numbered in the order asked for.

    Raises:
        UserError: no such class.
    """
    for name in classes:
        if name not in source.classes:
            raise UserError(nearest(name, source.classes or ("(none)",), "class"))
    number = {source.classes.index(name): row for row, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for item in source.items():
            if item.label in number:
                yield item._replace(label=number[item.label])

    def of(rows: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(rows[old] for old in number) if rows else ()

    return replace(
        source,
        items=items,
        count=None,
        classes=tuple(classes),
        groups=of(source.groups),
        held_out=of(source.held_out),
    )
