"""A source becomes `Pictures`: decoded in parallel, brought to one size, cached, memory-mapped.

The cache has a fingerprint of the files and settings in its name. It is written beside and
renamed, so that there is a whole one or none; preparing again costs nothing.
"""

import hashlib
import os
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from inkling.data.decode import Look, decode, look
from inkling.data.parallel import in_parallel, workers
from inkling.data.pictures import Dataset, Pictures
from inkling.data.settings import Options
from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.system.cache import cache_folder
from inkling.system.progress import bar

_FORMAT = "2"
"""Raised when the same files and settings would give other bytes or captions."""
_PREPARED = (
    "size",
    "resize",
    "channels",
    "background",
    "captions",
    "classes",
    "limit",
    "unreadable",
)
"""The options on which prepared pictures depend."""
_NATIVE, _CHOSEN, _LEAST = 64, 64, 8
"""Pictures up to 64 pixels that agree in size keep it; others become at most 64, at least 8."""
_NAMED = 20
"""Unreadable files that are listed by name."""


class About(msgspec.Struct, frozen=True):
    """What stands beside the pixels in the cache."""

    shape: tuple[int, int, int, int]
    group: list[int]
    labels: list[int]
    groups: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    held_out: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]
    problems: tuple[str, ...]


class Form(NamedTuple):
    """The one form to which pictures are brought."""

    size: tuple[int, int]
    """(H, W)."""
    channels: int


def prepare(name: str, dataset: Dataset, source: Source, options: Options) -> Pictures:
    """The pictures of a source in memory or memory-mapped, from the cache if they are there.

    Raises:
        UserError: nothing to read, too much that cannot be read, no room on the disk.
    """
    options = _resolved(options, dataset)
    folder = cache_folder() / "prepared" / f"{name}-{fingerprint(source, options)}"
    if not folder.is_dir():
        try:
            _build(folder, source, options)
        except OSError as error:
            raise UserError(
                f"cannot write the prepared pictures to {folder.parent} ({error.strerror}); make "
                "room there, or set INKLING_CACHE to another folder"
            ) from None
    return replace(_load(folder), mirror=dataset.mirror)


def fingerprint(source: Source, options: Options) -> str:
    """A name for what these files and settings give: path, size and time of each, all settings."""
    digest = hashlib.sha256(_FORMAT.encode())
    form = [getattr(options, name) for name in _PREPARED]
    digest.update(repr((form, source.stamp, source.classes, source.groups)).encode())
    for file in source.files:
        found = file.stat()
        digest.update(f"{os.path.abspath(file)}|{found.st_size}|{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:20]


def _resolved(options: Options, dataset: Dataset) -> Options:
    """The options with the data set's own values where none were given."""
    return msgspec.structs.replace(
        options,
        size=options.size or dataset.size,
        channels=options.channels or dataset.channels,
        background=dataset.background if options.background is None else options.background,
    )


def _load(folder: Path) -> Pictures:
    about = msgspec.json.decode((folder / "about.json").read_bytes(), type=About)
    # Copy-on-write: torch wants memory that could be written, the file stays as it is.
    pixels = np.memmap(folder / "images.u8", np.uint8, "c", shape=about.shape)
    return Pictures(
        images=torch.from_numpy(pixels),
        group=torch.tensor(about.group, dtype=torch.int64),
        groups=about.groups,
        labels=torch.tensor(about.labels, dtype=torch.int64),
        classes=about.classes,
        held_out=about.held_out,
        sizes=about.sizes,
        problems=about.problems,
    )


def _build(folder: Path, source: Source, options: Options) -> None:
    """Decode everything into a folder beside, then rename it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".partial-{os.getpid()}-", dir=folder.parent))
    try:
        with (
            warnings.catch_warnings(),
            workers(source) as pool,
            (beside / "images.u8").open("wb") as file,
        ):
            # Pillow warns of a decompression bomb and decodes it; we refuse it.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            about = _decode_all(pool, source, options, file.write)
            file.flush()
            os.fsync(file.fileno())
        with (beside / "about.json").open("wb") as notes:
            notes.write(msgspec.json.encode(about))
            notes.flush()
            os.fsync(notes.fileno())
        if not folder.is_dir():  # another process may have been faster
            os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _clear_leftovers(parent: Path) -> None:
    """Remove what a killed preparation left behind."""
    for left in parent.glob(".partial-*"):
        process = int(left.name.split("-")[1])
        if process != os.getpid() and not _alive(process):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # someone else's: it lives
        return True
    return True


def _decode_all(
    pool: ThreadPoolExecutor | None, source: Source, options: Options, write: Callable[[bytes], Any]
) -> About:
    """Write every picture's pixels in order; what else is known of them."""
    form = _form(pool, source, options)
    fixed = source.groups if options.captions else ()
    groups: dict[tuple[str, ...], int] = {said: place for place, said in enumerate(fixed)}
    group: list[int] = []
    labels: list[int] = []
    sizes: Counter[str] = Counter()
    unreadable: list[str] = []
    bare = 0

    def attempt(item: Item) -> tuple[bytes, tuple[int, int]] | str:
        try:
            pixels, original = decode(
                item.content, form.size, options.resize, form.channels, options.background or 0
            )
        except Exception as error:  # a decoder raises anything on bytes that are no picture
            return _why(error)
        return pixels.tobytes(), original

    with bar("preparing pictures", source.count) as advance:
        for item, decoded in in_parallel(pool, attempt, _chosen(source, options)):
            advance(1)
            if isinstance(decoded, str):
                unreadable.append(f"{item.name}: {decoded}")
                continue
            pixels, (width, height) = decoded
            write(pixels)
            sizes[f"{width}x{height}"] += 1
            captions = item.captions if options.captions else ("",)
            known = 0 <= item.label < len(fixed)
            if fixed:
                captions = fixed[item.label] if known else ()
            bare += options.captions and not captions
            group.append(groups.setdefault(captions or ("",), len(groups)))
            labels.append(item.label if known else -1)
    _check_readable(unreadable, len(group), options.unreadable)
    said = any(sentence for own in groups for sentence in own)
    problems = [*source.problems, *unreadable[:_NAMED]]
    if len(unreadable) > _NAMED:
        problems.append(f"and {len(unreadable) - _NAMED} more pictures cannot be read")
    if bare and said:
        problems.append(f"{bare:,} of {len(group):,} pictures have no caption")
    return About(
        shape=(len(group), form.channels, *form.size),
        group=group,
        labels=labels,
        groups=tuple(groups),
        classes=source.classes if options.captions else (),
        held_out=source.held_out if options.captions else (),
        sizes=dict(sizes),
        problems=tuple(problems),
    )


def _check_readable(unreadable: list[str], read: int, allowed: float) -> None:
    total = read + len(unreadable)
    if total == 0:
        raise UserError("there is no picture in what was named; nothing can be trained on it")
    if read == 0 or len(unreadable) > allowed * total:
        raise UserError(
            f"{len(unreadable):,} of {total:,} pictures cannot be read, the first is "
            f"{unreadable[0]}; mend or remove them, or allow more than {allowed:.0%} with "
            "--set data.unreadable=0.2"
        )


def _why(error: Exception) -> str:
    """One line about why a picture cannot be read."""
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "so many pixels that it may be a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in any format that Pillow knows"
    return " ".join(str(error).split()) or type(error).__name__


def _form(pool: ThreadPoolExecutor | None, source: Source, options: Options) -> Form:
    """The form asked for; what was left open is chosen from the headers of all pictures."""
    if options.size and options.channels:
        return Form((options.size, options.size), options.channels)

    def attempt(item: Item) -> Look | None:
        try:
            return look(item.content)
        except Exception:  # counted and named when it is decoded
            return None

    with bar("looking at pictures", source.count) as advance:
        looks = []
        for _, seen in in_parallel(pool, attempt, _chosen(source, options)):
            advance(1)
            looks += [seen] if seen else []
    if not looks:
        return Form((_CHOSEN, _CHOSEN), 3)
    channels = options.channels or (1 if all(seen.grey for seen in looks) else 3)
    if options.size:
        return Form((options.size, options.size), channels)
    if len({seen.size for seen in looks}) == 1 and max(looks[0].size) <= _NATIVE:
        width, height = looks[0].size
        return Form((height, width), channels)
    middle = int(np.median([min(seen.size) for seen in looks]))
    side = max(min(middle // 4 * 4, _CHOSEN), _LEAST)
    return Form((side, side), channels)


def _chosen(source: Source, options: Options) -> Iterator[Item]:
    """The items within the limit of their class."""
    taken: Counter[int] = Counter()
    for item in source.items():
        if options.limit is None or taken[item.label] < options.limit:
            taken[item.label] += 1
            yield item
        elif not source.classes:
            return
