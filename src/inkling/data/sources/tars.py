"""WebDataset shards: tar files in which consecutive files of one name form a sample.

Read as a stream, member by member: a shard is never unpacked to disk nor held in memory, so a set
may be larger than both.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from inkling.data.source import Item, Source
from inkling.data.sources.folders import endings
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError

_TEXTS = ("txt", "text", "caption")


def shards(paths: Sequence[Path]) -> Source:
    """The images of tar shards in order, with captions from `.txt` or `.json` members, or classes
    from `.cls` members.

    Raises:
        UserError: a shard is damaged, or the path of a member leads out of the archive.
    """

    def items() -> Iterator[Item]:
        for path in paths:
            try:
                yield from _samples(path)
            except (tarfile.TarError, EOFError, OSError) as error:
                raise UserError(f"{path} is no sound tar file ({error}); fetch it again") from None

    first = next(items(), None)
    if first is None or first.label < 0:
        return Source(items, None, tuple(paths))
    most = max(item.label for item in items())
    return Source(items, None, tuple(paths), classes=tuple(map(str, range(most + 1))))


def _samples(path: Path) -> Iterator[Item]:
    key, parts = "", dict[str, bytes]()
    for name, content in _members(path):
        member = PurePosixPath(name)
        stem, _, ending = member.name.partition(".")
        sample = str(member.parent / stem)
        if sample != key and parts:
            yield from _item(f"{path.name}:{key}", parts)
            parts = {}
        key = sample
        parts[ending.lower()] = content
    if parts:
        yield from _item(f"{path.name}:{key}", parts)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            inner = PurePosixPath(member.name)
            if inner.is_absolute() or ".." in inner.parts:
                raise UserError(
                    f"{path} holds a member named {member.name!r}, which leads out of the archive; "
                    "no valid shard has one, so the whole shard is refused"
                )
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and not inner.name.startswith("."):
                yield member.name, content.read()


def _item(name: str, parts: dict[str, bytes]) -> Iterator[Item]:
    pictures = [ending for ending in parts if f".{ending.split('.')[-1]}" in endings()]
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
        except (ValueError, TypeError, AttributeError):
            captions = ()
    number = b"" if captions else parts.get("cls", b"").strip()
    yield Item(name, parts[pictures[0]], captions, int(number) if number.isdigit() else -1)
