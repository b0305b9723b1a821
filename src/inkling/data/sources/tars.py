"""WebDataset shards: tar files in which consecutive files of one name form a sample.

Read as a stream, member by member: a shard is never unpacked to disk nor held in memory, so a set
may be larger than both.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from inkling.data.source import Item, Source
from inkling.data.sources.archives import LARGEST_PICTURE, LARGEST_TEXT, members
from inkling.data.sources.folders import endings
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError

_TEXTS = ("txt", "text", "caption")
_NOTES = frozenset({*_TEXTS, "json", "cls"})


def shards(paths: Sequence[Path]) -> Source:
    """The images of tar shards in order, with captions from `.txt` or `.json` members, or classes
    from `.cls` members.

    Raises:
        UserError: a shard is damaged, or the path of a member leads out of the archive.
    """

    problems: list[str] = []

    def items() -> Iterator[Item]:
        problems.clear()
        for path in paths:
            try:
                yield from _samples(path, problems)
            except tarfile.TarError as error:
                raise UserError(f"{path} is no sound tar file ({error}); fetch it again") from None

    first = next(items(), None)
    if first is None or first.label < 0:
        return Source(items, None, tuple(paths), problems=problems)
    most = max(item.label for item in items())
    classes = tuple(map(str, range(most + 1)))
    return Source(items, None, tuple(paths), classes=classes, problems=problems)


def _samples(path: Path, problems: list[str]) -> Iterator[Item]:
    key, parts = "", dict[str, bytes]()
    for member, content in members(path, _largest, problems):
        stem, _, ending = member.name.partition(".")
        sample = str(member.parent / stem)
        if sample != key and parts:
            yield from _item(f"{path.name}:{key}", parts)
            parts = {}
        key, ending = sample, ending.lower()
        if ending in _NOTES or all(each in _NOTES for each in parts):  # one picture is enough
            parts[ending] = content
    if parts:
        yield from _item(f"{path.name}:{key}", parts)


def _largest(name: PurePosixPath) -> int:
    """Bytes that are read of a member of this name at most; 0: none."""
    ending = name.name.lower().rpartition(".")[2]
    if name.name.startswith(".") or "." not in name.name:
        return 0
    if name.name.partition(".")[2].lower() in _NOTES:
        return LARGEST_TEXT
    return LARGEST_PICTURE if f".{ending}" in endings() else 0


def _item(name: str, parts: dict[str, bytes]) -> Iterator[Item]:
    pictures = [ending for ending in parts if ending not in _NOTES]
    if not pictures:
        return
    captions: tuple[str, ...] = ()
    for ending in _TEXTS:
        lines = parts.get(ending, b"").decode("utf-8-sig", "replace").splitlines()
        captions += tuple(line.strip() for line in lines if line.strip())
    if not captions and "json" in parts:
        try:
            notes = json.loads(parts["json"])
            known = column(list(notes), CAPTION_COLUMNS)
            captions = sentences(notes[known]) if known else ()
        except (ValueError, TypeError, AttributeError, RecursionError):
            captions = ()
    number = b"" if captions else parts.get("cls", b"").strip()
    yield Item(name, parts[pictures[0]], captions, int(number) if number.isdigit() else -1)
