"""Files that are whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

from inkling.errors import UserError


def saved(write: Callable[[Path], object], path: Path) -> Path:
    """Let something write itself to a path, making the folder.

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
    """Write beside and rename, making the folder; what stood there stays until then.

    Raises:
        UserError: it cannot be written there.
    """
    beside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror}; make room, or write elsewhere"
        ) from None
    return path
