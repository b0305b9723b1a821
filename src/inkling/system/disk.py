"""Files: folders are made, errors become `UserError`, writes can be atomic, reads never hang."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from inkling.errors import UserError


def require_regular(path: Path) -> Path:
    """The path, if it is a regular file: a FIFO or a device would block, perhaps for ever.

    Raises:
        OSError: there is nothing, or something that is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def honour_umask(path: Path) -> Path:
    """Give a file or folder the permissions that the process's umask grants to a new one.

    For what libraries write as readable by its owner only: temporary files, safetensors.
    """
    umask = os.umask(0o077)  # it can be read only by setting it, for a moment to the strictest
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    return path


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
