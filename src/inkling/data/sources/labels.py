"""Names of classes as one's own files give them, and text from them that every part can store.

A class is its name. Numbers of classes are local to a file or a split, so whoever reads a split
looks its names up in the classes of the training split.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from inkling.errors import UserError

_UNLABELLED = frozenset({"nan", "NaN", "None", "-1", "-1.0"})
"""What programs write into a column of text for no label."""
_LISTED = 12
"""Classes that are listed in a message."""


def lines(text: str) -> list[str]:
    """The lines of a text: split at line feeds only, not at U+2028 and its like."""
    return re.split(r"\r\n|\n|\r", text)


def printable(path: str | os.PathLike[str]) -> str:
    """A name of the file system as one line of text."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in _decoded(os.fspath(path))
    )


def _decoded(name: str) -> str:
    """A name of the file system; bytes that are not UTF-8 are read as Latin-1."""
    if storable(name) == name:
        return name
    try:
        return os.fsencode(name).decode("latin-1")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return storable(name)


def storable(text: str) -> str:
    """Text without lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def spoken(folder: str) -> str:
    """The class that a folder's name spells: `golden_retriever` is "golden retriever"."""
    name = unicodedata.normalize("NFC", _decoded(folder))
    return " ".join(name.replace("_", " ").split()) or name


def same_class(name: str) -> str:
    """What names of one class have in common: underscores, spaces and case do not count."""
    return spoken(name).casefold()


def label_text(value: Any) -> str:
    """A label as text, 1 and "1.0" as "1"; empty: no label.

    Raises:
        TypeError: it is a list or another value that names no class.
    """
    if value is None or (isinstance(value, int | float) and value < 0):
        return ""  # the hub's sign for "no label"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float):
        raise TypeError(f"a label is a number or a text, not {type(value).__name__}")
    text = storable(str(value).strip())
    if text in _UNLABELLED:
        return ""
    whole = re.fullmatch(r"([0-9]+)(\.0*)?", text)  # a column with gaps turns 1 into 1.0
    return (whole[1].lstrip("0") or "0") if whole else text


def distinct(labels: Iterable[str]) -> tuple[str, ...]:
    """The classes among labels: numbers in their order, then names in theirs."""
    return tuple(sorted(set(labels) - {""}, key=lambda label: (*_rank(label), label)))


def _rank(label: str) -> tuple[bool, int]:
    return (not _is_number(label), len(label) if _is_number(label) else 0)


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()


def unknown_class(where: object, name: str, classes: Sequence[str]) -> UserError:
    """The error for a class of another split that training does not have."""
    more = f" and {len(classes) - _LISTED} more" if len(classes) > _LISTED else ""
    return UserError(
        f"{where} has the class {name!r}, which the training pictures lack: they have "
        f"{', '.join(classes[:_LISTED])}{more}; add training pictures of it, or take it out"
    )
