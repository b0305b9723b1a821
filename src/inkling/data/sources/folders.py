"""Folders of images: by class, with caption files, with `metadata.jsonl`, or images alone."""

import json
import os
from collections.abc import Container, Iterator
from pathlib import Path

from PIL import Image

from inkling.data.decode import FORMATS
from inkling.data.source import Item, Source
from inkling.data.sources.parquet import CAPTION_COLUMNS, column, sentences
from inkling.errors import UserError
from inkling.system.reading import require_regular

_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "validation", "valid", "val", "eval"),
}


def endings() -> frozenset[str]:
    """The file name extensions of images that are read."""
    known = Image.registered_extensions().items()
    return frozenset(ending for ending, name in known if name in FORMATS)


def files_with(folder: Path, known: Container[str]) -> list[Path]:
    """Every file below a folder with one of these extensions, sorted, without hidden ones."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if os.path.splitext(name)[1].lower() in known and not name.startswith("."):
                found.append(os.path.join(root, name))
    return [Path(path) for path in sorted(found)]


def picture_files(folder: Path) -> list[Path]:
    """Every image file below a folder."""
    return files_with(folder, endings())


def read_text(path: Path, problems: list[str]) -> str:
    """The text of a file: UTF-8 with or without a byte-order mark, else Latin-1 and a problem."""
    raw = require_regular(path).read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.append(f"{path.name} is not UTF-8 and was read as Latin-1")
        return raw.decode("latin-1")


def split_folder(folder: Path, split: str) -> Path | None:
    """The subfolder of a split, or the folder itself if it is not divided into splits.

    None: there is no such split.
    """
    subfolders = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    for name in _SPLITS[split]:
        if name in subfolders:
            return subfolders[name]
    has_splits = any(name in subfolders for name in _SPLITS["train"])
    return None if has_splits or split == "test" else folder


def pictures_in(folder: Path) -> Source:
    """A folder of images in one of four layouts.

    `metadata.jsonl` with `file_name` and a caption column (the hub's imagefolder convention); or
    `.txt` files beside the images, one caption a line; or a folder for each class; or images alone.

    Raises:
        UserError: there is no image in it, or its metadata cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    files = picture_files(folder)
    notes = sorted(folder.rglob("metadata.jsonl"))
    if not files:
        raise UserError(f"{folder} holds no pictures in a format that Pillow reads")
    if notes:
        return _with_metadata(folder, notes, files)
    texts = {str(text)[: -len(".txt")]: text for text in files_with(folder, {".txt"})}
    if any(os.path.splitext(file)[0] in texts for file in files):
        return _with_texts(folder, files, texts)
    inside = [str(file)[len(str(folder)) + 1 :] for file in files]
    first = [name.split(os.sep)[0] if os.sep in name else "" for name in inside]
    names = sorted(set(first))
    label = {name: row for row, name in enumerate(names)}
    classed = "" not in label and len(names) > 1

    def items() -> Iterator[Item]:
        for file, name, class_folder in zip(files, inside, first, strict=True):
            yield Item(name, file, (), label[class_folder] if classed else -1)

    classes = tuple(name.replace("_", " ") for name in names) if classed else ()
    return Source(items, len(files), files, classes=classes)


def _with_texts(folder: Path, files: list[Path], texts: dict[str, Path]) -> Source:
    """Images with caption files beside them; `texts` by path without extension."""
    problems: list[str] = []

    def items() -> Iterator[Item]:
        problems.clear()
        for file in files:
            text = texts.get(os.path.splitext(file)[0])
            lines = read_text(text, problems).splitlines() if text else []
            captions = tuple(line.strip() for line in lines if line.strip())
            yield Item(file.relative_to(folder).as_posix(), file, captions)

    return Source(items, len(files), [*files, *texts.values()], problems=problems)


def _with_metadata(folder: Path, notes: list[Path], files: list[Path]) -> Source:
    problems: list[str] = []
    rows: list[tuple[str, Path, tuple[str, ...]]] = []
    for note in notes:
        for number, line in enumerate(read_text(note, problems).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                file = note.parent / row["file_name"]
                inside = file.resolve().is_relative_to(folder.resolve())
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                problems.append(f"{note.name} line {number} names no picture and was left out")
                continue
            if not inside:
                raise UserError(
                    f"{note} line {number} names {row['file_name']!r}, which lies outside "
                    f"{folder}; such a file is never read"
                )
            name = column(list(row), CAPTION_COLUMNS)
            rows.append((row["file_name"], file, sentences(row[name]) if name else ()))
    listed = {file.resolve() for _, file, _ in rows}
    unlisted = sum(file.resolve() not in listed for file in files)
    if unlisted:
        problems.append(f"{unlisted:,} pictures are not in metadata.jsonl and were left out")

    def items() -> Iterator[Item]:
        yield from (Item(name, file, captions) for name, file, captions in rows)

    return Source(items, len(rows), [*files, *notes], problems=problems)
