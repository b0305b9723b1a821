"""WebDataset shards: tar files in which consecutive files of one name form a sample.

Read as a stream, member by member: a shard is never unpacked to disk nor held in memory, so a set
may be larger than both.
"""

import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from inkling.data.source import Item, Source
from inkling.data.sources.folders import endings
from inkling.data.sources.labels import distinct, label_text, lines, printable, unknown_class
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError, one_line

_TEXTS = ("txt", "text", "caption")
_LOOKED_AT = 32
"""Samples that decide whether shards have classes."""


def shards(paths: Sequence[Path], training: Sequence[Path] = ()) -> Source:
    """The images of tar shards in order, with captions from `.txt` or `.json` members, or classes
    from `.cls` members.

    Args:
        paths: the shards.
        training: the shards of the training split, whose classes count; empty: these.

    Raises:
        UserError: a shard is damaged, or the path of a member leads out of the archive.
    """
    trained = training or paths
    first = list(islice(_all_samples(trained), _LOOKED_AT))
    classes: tuple[str, ...] = ()
    if any(label for _, label in first) and not any(item.captions for item, _ in first):
        classes = distinct(label for _, label in _all_samples(trained))
    number = {name: row for row, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for item, label in _all_samples(paths):
            if classes and label and label not in number:
                raise unknown_class(item.name, label, classes)
            yield item._replace(label=number.get(label, -1))

    return Source(items, None, tuple(paths), classes=classes)


def count_pictures(path: Path, most: int) -> int:
    """How many pictures a tar file holds, counted up to `most`; 0 if it is damaged."""
    count = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                count += member.isfile() and PurePosixPath(member.name).suffix.lower() in endings()
                if count >= most:
                    break
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError):
        return 0
    return count


def _all_samples(paths: Sequence[Path]) -> Iterator[tuple[Item, str]]:
    """Each image with its label; empty: none."""
    for path in paths:
        try:
            yield from _samples(path)
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise UserError(
                f"{printable(path)} is no sound tar file ({one_line(error)}); fetch it again"
            ) from None


def _samples(path: Path) -> Iterator[tuple[Item, str]]:
    key, parts = "", dict[str, bytes]()
    for name, content in _members(path):
        member = PurePosixPath(name)
        stem, _, ending = member.name.partition(".")
        sample = str(member.parent / stem)
        if sample != key and parts:
            yield from _item(printable(f"{path.name}:{key}"), parts)
            parts = {}
        key = sample
        parts[ending.lower()] = content
    if parts:
        yield from _item(printable(f"{path.name}:{key}"), parts)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            inner = PurePosixPath(member.name)
            if inner.is_absolute() or ".." in inner.parts:
                raise UserError(
                    f"{printable(path)} holds a member named {member.name!r}, which leads out of "
                    "the archive; no valid shard has one, so the whole shard is refused"
                )
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and not inner.name.startswith("."):
                yield member.name, content.read()


def _item(name: str, parts: dict[str, bytes]) -> Iterator[tuple[Item, str]]:
    pictures = [ending for ending in parts if f".{ending.split('.')[-1]}" in endings()]
    if not pictures:
        return
    captions: tuple[str, ...] = ()
    for ending in _TEXTS:
        said = lines(parts.get(ending, b"").decode("utf-8-sig", "replace"))
        captions += tuple(line.strip() for line in said if line.strip())
    if not captions and "json" in parts:
        try:
            notes = json.loads(parts["json"])
            known = column(list(notes), CAPTION_COLUMNS)
            captions = sentences(notes[known]) if known else ()
        except (ValueError, TypeError, AttributeError):
            captions = ()
    label = "" if captions else label_text(parts.get("cls", b""))
    yield Item(name, parts[pictures[0]], captions), label
