"""`metadata.jsonl` and `metadata.csv` beside images, as in the hub's imagefolder convention."""

import codecs
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from inkling.data.sources.labels import label_text, lines, printable
from inkling.data.sources.parquet import CAPTION_COLUMNS, LABEL_COLUMNS, column, sentences
from inkling.errors import UserError
from inkling.system.reading import require_regular

FILES = frozenset({"metadata.jsonl", "metadata.csv"})
_NAME = "file_name"
_SHOWN = 200
"""Characters of a header that a message shows."""
_CELL = 1 << 24
"""Characters that a cell of a CSV file may have."""


class Note(NamedTuple):
    """What metadata say of one image."""

    name: str
    """Its path below the folder that is read."""
    captions: tuple[str, ...]
    label: str
    """Its class; empty: none is named."""


class Notes(NamedTuple):
    """All metadata files of a folder."""

    by_name: dict[str, Note]
    """By path below the folder, in the order of the files; several rows of an image are joined."""
    captioned: bool
    """Whether there is a column of captions."""
    problems: list[str]

    @property
    def useful(self) -> bool:
        """Whether any row has a caption or a label."""
        return self.captioned or any(note.label for note in self.by_name.values())


def read_text(path: Path, problems: list[str]) -> str:
    """The text of a file: UTF-16 with a byte-order mark, UTF-8 with or without, else Latin-1 and
    a problem.

    Raises:
        UserError: it cannot be read.
    """
    try:
        raw = require_regular(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {printable(path)}: {error.strerror}") from None
    try:
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        problems.append(f"{printable(path.name)} is not UTF-8 and was read as Latin-1")
        return raw.decode("latin-1")


def read_metadata(root: Path, names: list[str]) -> Notes:
    """The rows of metadata files; names of images are relative to the folder of their file.

    Args:
        root: the folder that is read.
        names: the metadata files, as paths below it.

    Raises:
        UserError: a file cannot be read, names no image, or names one outside the folder.
    """
    found = Notes({}, False, [])
    for name in names:
        rows = _json_rows if name.lower().endswith(".jsonl") else _csv_rows
        names_any = False
        try:
            for number, row in rows(root / name, found.problems):
                if _enter(root, name, number, row, found):
                    names_any = True
                    captioned = column(list(row), CAPTION_COLUMNS) is not None
                    found = found._replace(captioned=found.captioned or captioned)
        except csv.Error as error:
            raise UserError(f"{printable(root / name)} is no sound CSV file: {error}") from None
        if not names_any:
            raise UserError(
                f"{printable(root / name)} names no picture; give it one in file_name on each "
                'line, such as {"file_name": "1.png", "text": "a cat"} in metadata.jsonl, or '
                "remove it"
            )
    return found


def _json_rows(path: Path, problems: list[str]) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line; None for what is no JSON."""
    for number, line in enumerate(lines(read_text(path, problems)), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _csv_rows(path: Path, problems: list[str]) -> Iterator[tuple[int, Any]]:
    """(line number, cells by column) of each row.

    Raises:
        UserError: there is no column of file names, or a row has more cells than the header.
    """
    before = csv.field_size_limit(_CELL)
    try:
        rows = csv.DictReader(io.StringIO(read_text(path, problems), newline=""), strict=True)
        header = rows.fieldnames or ()
        if header and _NAME not in header:
            raise UserError(
                f"{printable(path)} has no column {_NAME}; it has "
                f"{printable(', '.join(header))[:_SHOWN]} (separate columns by commas, save it as "
                "UTF-8)"
            )
        for row in rows:
            if any(cell.strip() for cell in row.pop(None, ())):
                raise UserError(
                    f"{printable(path)} line {rows.line_num} has more cells than the header's "
                    f'{len(header)}; put a caption with a comma in quotes: "a cat, asleep"'
                )
            yield rows.line_num, row
    finally:
        csv.field_size_limit(before)


def _enter(root: Path, file: str, number: int, row: Any, found: Notes) -> bool:
    """Add a row; whether it names an image."""
    where = f"{printable(os.path.basename(file))} line {number}"
    name = row.get(_NAME) if isinstance(row, dict) else None
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        found.problems.append(f"{where} names no picture and was left out")
        return False
    inside = os.path.normpath(os.path.join(os.path.dirname(file), name))
    if os.path.isabs(name) or inside.split(os.sep)[0] == os.pardir:
        # Names are compared as they are written: a link inside the folder may point anywhere.
        raise UserError(
            f"{printable(root / file)} line {number} names {name!r}, which lies outside "
            f"{printable(root)}; such a file is never read"
        )
    caption, label = column(list(row), CAPTION_COLUMNS), column(list(row), LABEL_COLUMNS)
    try:
        named = label_text(row[label]) if label else ""
    except TypeError as error:
        found.problems.append(f"{where} has a label that names no class and was left out: {error}")
        named = ""
    said = sentences(row[caption]) if caption else ()
    before = found.by_name.get(inside, Note(inside, (), ""))
    joined = tuple(dict.fromkeys((*before.captions, *said)))
    found.by_name[inside] = Note(inside, joined, before.label or named)
    return True
