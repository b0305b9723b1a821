"""Writing files: folders are made, errors become `UserError`, and writes can be atomic."""

import os
from collections.abc import Callable
from pathlib import Path

from inkling.errors import UserError


def saved(write: Callable[[Path], object], path: Path) -> Path:
    """Make the folder of a path, then call `write(path)`; returns the path.

    Raises:
        UserError: it cannot be written there, or not in that format.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {error}") from None
    return path


def write_whole(path: Path, data: bytes) -> Path:
    """Write atomically: to a temporary file in the same folder, which is then renamed.

    Makes the folder. An existing file is kept until the new one is complete.

    Raises:
        UserError: it cannot be written there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror}; make room, or write elsewhere"
        ) from None
    return path
