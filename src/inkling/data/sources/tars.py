"""WebDataset shards: tar files in which consecutive files of one name form a sample.

Read as a stream, member by member: a shard is never unpacked to disk nor held in memory, so a set
may be larger than both.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from inkling.data.source import Item, Source
from inkling.data.sources.archives import LARGEST_PICTURE, LARGEST_TEXT, members
from inkling.data.sources.folders import endings
from inkling.data.sources.labels import distinct, label_text, lines, printable, unknown_class
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError, one_line

_TEXTS = ("txt", "text", "caption")
_NOTES = frozenset({*_TEXTS, "json", "cls"})
_LISTED = 5
"""Keys of several pictures that are named."""
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
    problems: list[str] = []
    trained = training or paths
    first = list(islice(_all_samples(trained, problems), _LOOKED_AT))
    classes: tuple[str, ...] = ()
    if any(label for _, label in first) and not any(item.captions for item, _ in first):
        classes = distinct(label for _, label in _all_samples(trained, problems))
    number = {name: row for row, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for item, label in _all_samples(paths, problems):
            if classes and label and label not in number:
                raise unknown_class(item.name, label, classes)
            yield item._replace(label=number.get(label, -1))

    return Source(items, None, tuple(paths), classes=classes, problems=problems)


def count_pictures(path: Path, most: int) -> int:
    """How many pictures a tar file holds, counted up to `most`; 0 if it is damaged."""
    try:
        return sum(1 for _ in islice(_samples(path, []), most))
    except (tarfile.TarError, UserError):
        return 0


def _all_samples(paths: Sequence[Path], problems: list[str]) -> Iterator[tuple[Item, str]]:
    """Each image with its label; empty: none."""
    problems.clear()
    for path in paths:
        try:
            yield from _samples(path, problems)
        except tarfile.TarError as error:
            raise UserError(
                f"{printable(path)} is no sound tar file ({one_line(error)}); fetch it again"
            ) from None


def _samples(path: Path, problems: list[str]) -> Iterator[tuple[Item, str]]:
    key, parts, lost = "", dict[str, bytes](), list[str]()
    for member, content in members(path, _largest, problems):
        stem, _, ending = member.name.partition(".")
        sample = str(member.parent / stem)
        if sample != key and parts:
            yield from _item(printable(f"{path.name}:{key}"), parts)
            parts = {}
        key, ending = sample, ending.lower()
        if ending in _NOTES or all(each in _NOTES for each in parts):  # one picture is enough
            parts[ending] = content
        else:
            lost.append(key)
    if parts:
        yield from _item(printable(f"{path.name}:{key}"), parts)
    for key, count in list(Counter(lost).items())[:_LISTED]:
        problems.append(
            f"{path.name}: {count:,} more pictures share the key {printable(key)} and were left "
            "out; names end at their first dot"
        )
    if len(set(lost)) > _LISTED:
        problems.append(f"{path.name}: {len(lost):,} pictures in all share the key of another")


def _largest(name: PurePosixPath) -> int:
    """Bytes that are read of a member of this name at most; 0: none."""
    ending = name.name.lower().rpartition(".")[2]
    if name.name.startswith(".") or "." not in name.name:
        return 0
    if name.name.partition(".")[2].lower() in _NOTES:
        return LARGEST_TEXT
    return LARGEST_PICTURE if f".{ending}" in endings() else 0


def _item(name: str, parts: dict[str, bytes]) -> Iterator[tuple[Item, str]]:
    pictures = [ending for ending in parts if ending not in _NOTES]
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
        except (ValueError, TypeError, AttributeError, RecursionError):
            captions = ()
    label = "" if captions else label_text(parts.get("cls", b""))
    yield Item(name, parts[pictures[0]], captions), label
