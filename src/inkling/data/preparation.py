"""Turns a source into `Pictures`: decoded in parallel, resized, cached, memory-mapped.

The name of the cache folder has a fingerprint of the files and settings. The folder is written
once, by one process (`system/once.py`); preparing again costs nothing.
"""

import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image

from inkling.data.decode import Look, decode, look, reason
from inkling.data.parallel import Workers, in_parallel, workers
from inkling.data.pictures import Dataset, Pictures, fingerprint_of
from inkling.data.settings import Options
from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.system.cache import cache_folder
from inkling.system.once import written_once
from inkling.system.progress import bar

_FORMAT = "5"
"""Cache version: increase it when the same files and settings give other bytes or captions."""
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
"""The options on which prepared images depend."""
_NATIVE, _LARGEST, _SMALLEST = 64, 64, 8
"""Without a size in the settings, images of one size up to 64 keep it; others become 8 to 64."""
_LISTED = 20
"""Unreadable files that are listed by name."""


class Metadata(msgspec.Struct, frozen=True):
    """Everything in the cache but the pixels."""

    shape: tuple[int, int, int, int]
    group: list[int]
    labels: list[int]
    groups: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    held_out: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]
    problems: tuple[str, ...]
    fingerprint: str


class ImageFormat(NamedTuple):
    """Size and channels of the prepared images."""

    size: tuple[int, int]
    """(H, W)."""
    channels: int


def prepare_pictures(name: str, dataset: Dataset, source: Source, options: Options) -> Pictures:
    """The images of a source, memory-mapped from the cache; decoded first if they are not there.

    Raises:
        UserError: there are no images, too many are unreadable, or the disk is full.
    """
    options = _resolved(options, dataset)
    source = replace(source, items=_reading(source.items))
    folder = cache_folder() / "prepared" / f"{name}-{fingerprint(source, options)}"
    try:
        found = written_once(
            folder,
            "prepared pictures",
            load=lambda: _load(folder),
            write=lambda empty: _write(empty, source, options),
        )
    except OSError as error:
        raise UserError(
            f"cannot write the prepared pictures to {folder.parent} ({error.strerror or error}); "
            "make room there, or set INKLING_CACHE to another folder"
        ) from None
    return replace(found, mirror=dataset.mirror)


def _reading(items: Callable[[], Iterator[Item]]) -> Callable[[], Iterator[Item]]:
    """The items; an `OSError` while they are read is one of the source, not of the cache."""

    def read() -> Iterator[Item]:
        try:
            yield from items()
        except OSError as error:
            raise UserError(
                f"cannot read {error.filename or 'the data'} ({error.strerror or error}); mend, "
                "replace or remove it"
            ) from None

    return read


def fingerprint(source: Source, options: Options) -> str:
    """A digest of the files (path, size and time of each) and of the settings that matter."""
    digest = hashlib.sha256(_FORMAT.encode())
    values = [getattr(options, name) for name in _PREPARED]
    digest.update(repr((values, source.stamp, source.classes, source.groups)).encode())
    for file in source.files:
        try:
            stat = file.stat()
            state = f"{stat.st_size}|{stat.st_mtime_ns}"
        except OSError as error:  # reported when it is read
            state = f"{error.strerror}"
        digest.update(os.fsencode(f"{os.path.abspath(file)}|{state}\n"))
    return digest.hexdigest()[:20]


def _resolved(options: Options, dataset: Dataset) -> Options:
    """The options with the data set's own values where none were given."""
    return msgspec.structs.replace(
        options,
        size=options.size or dataset.size,
        channels=options.channels or dataset.channels,
        background=dataset.background if options.background is None else options.background,
    )


def _load(folder: Path) -> Pictures | None:
    """The prepared pictures in a folder; None if there are none, or if they are damaged.

    Raises:
        UserError: they may not be read.
    """
    if not folder.is_dir():
        return None
    try:
        known = msgspec.json.decode((folder / "about.json").read_bytes(), type=Metadata)
        size, expected = (folder / "images.u8").stat().st_size, math.prod(known.shape)
        return _pictures(folder, known) if size == expected > 0 and _is_sound(known) else None
    except PermissionError as error:
        raise UserError(
            f"cannot read the prepared pictures in {folder} ({error.strerror}); ask their owner "
            "for permission, or set INKLING_CACHE to another folder"
        ) from None
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def _is_sound(known: Metadata) -> bool:
    """Whether every image has captions and a class, or none, that there are."""
    return (
        len(known.group) == len(known.labels) == known.shape[0]
        and min(known.shape) > 0
        and all(known.groups)
        and min(known.group) >= 0
        and max(known.group) < len(known.groups)
        and min(known.labels) >= -1
        and max(known.labels) < len(known.classes)
    )


def _pictures(folder: Path, known: Metadata) -> Pictures:
    # Copy-on-write: torch expects writable memory, and the file must not change.
    pixels = np.memmap(folder / "images.u8", np.uint8, "c", shape=known.shape)
    return Pictures(
        images=torch.from_numpy(pixels),
        group=torch.tensor(known.group, dtype=torch.int64),
        groups=known.groups,
        labels=torch.tensor(known.labels, dtype=torch.int64),
        classes=known.classes,
        held_out=known.held_out,
        sizes=known.sizes,
        problems=known.problems,
        fingerprint=known.fingerprint,
    )


def _write(folder: Path, source: Source, options: Options) -> None:
    """Decode all images of a source into an empty folder."""
    with (
        warnings.catch_warnings(),
        workers(source) as pool,
        (folder / "images.u8").open("wb") as pixel_file,
    ):
        # Pillow only warns of a decompression bomb; here it is an error.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        known = _decode_all(pool, source, options, pixel_file.write)
        pixel_file.flush()
        os.fsync(pixel_file.fileno())
    known = msgspec.structs.replace(known, fingerprint=fingerprint_of(_pictures(folder, known)))
    with (folder / "about.json").open("wb") as file:
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())


def _decode_all(
    pool: Workers | None, source: Source, options: Options, write: Callable[[bytes], Any]
) -> Metadata:
    """Write the pixels of all images in order; returns everything else about them."""
    size, channels = _format(pool, source, options)
    fixed = source.groups if options.captions else ()
    groups = list(fixed)  # a class's captions are at its index, even if two have the same
    index: dict[tuple[str, ...], int] = {}
    group: list[int] = []
    labels: list[int] = []
    sizes: Counter[str] = Counter()
    unreadable: list[str] = []
    without_caption = 0

    def attempt(item: Item) -> tuple[bytes, tuple[int, int]] | str:
        try:
            pixels, original = decode(
                item.content, size, options.resize, channels, options.background or 0
            )
        except Exception as error:  # a decoder may raise anything on invalid bytes
            return reason(error)
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
            without_caption += options.captions and not captions
            row = item.label if known else index.setdefault(captions or ("",), len(groups))
            if row == len(groups):
                groups.append(captions or ("",))
            group.append(row)
            labels.append(item.label if known else -1)
    _check_readable(unreadable, len(group), options.unreadable)
    any_caption = any(sentence for sentences in groups for sentence in sentences)
    problems = [*source.problems, *unreadable[:_LISTED]]
    if len(unreadable) > _LISTED:
        problems.append(f"and {len(unreadable) - _LISTED} more pictures cannot be read")
    if without_caption and any_caption:
        problems.append(f"{without_caption:,} of {len(group):,} pictures have no caption")
    return Metadata(
        shape=(len(group), channels, *size),
        group=group,
        labels=labels,
        groups=tuple(groups),
        classes=source.classes if options.captions else (),
        held_out=source.held_out if options.captions else (),
        sizes=dict(sizes),
        problems=tuple(problems),
        fingerprint="",  # once the pixels are on the disk
    )


def _check_readable(unreadable: list[str], read: int, allowed: float) -> None:
    total = read + len(unreadable)
    if total == 0:
        raise UserError("the data hold no pictures, so there is nothing to train on")
    if read == 0 or len(unreadable) > allowed * total:
        raise UserError(
            f"{len(unreadable):,} of {total:,} pictures cannot be read, the first is "
            f"{unreadable[0]}; fix or remove them, or allow more than {allowed:.0%} with "
            "--set data.unreadable=0.2"
        )


def _format(pool: Workers | None, source: Source, options: Options) -> ImageFormat:
    """The format in the options; what is null is chosen from the headers of all images."""
    if options.size and options.channels:
        return ImageFormat((options.size, options.size), options.channels)

    def attempt(item: Item) -> Look | None:
        try:
            return look(item.content)
        except Exception:  # reported when it is decoded
            return None

    with bar("reading picture headers", source.count) as advance:
        headers = []
        for _, header in in_parallel(pool, attempt, _chosen(source, options)):
            advance(1)
            headers += [header] if header else []
    if not headers:
        return ImageFormat((_LARGEST, _LARGEST), 3)
    channels = options.channels or (1 if all(header.grey for header in headers) else 3)
    if options.size:
        return ImageFormat((options.size, options.size), channels)
    if len({header.size for header in headers}) == 1 and max(headers[0].size) <= _NATIVE:
        width, height = headers[0].size
        return ImageFormat((height, width), channels)
    median = int(np.median([min(header.size) for header in headers]))
    side = max(min(median // 4 * 4, _LARGEST), _SMALLEST)
    return ImageFormat((side, side), channels)


def _chosen(source: Source, options: Options) -> Iterator[Item]:
    """The items within `options.limit`, which counts for each class."""
    taken: Counter[int] = Counter()
    for item in source.items():
        if options.limit is None or taken[item.label] < options.limit:
            taken[item.label] += 1
            yield item
        elif not source.classes:
            return
