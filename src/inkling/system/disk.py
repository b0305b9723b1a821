"""Writing files: folders are made, every file appears complete or not at all, and errors become
`UserError`.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inkling.errors import UserError

TEMPORARY = f".inkling-{os.getpid()}-"
"""How the names of temporary files and folders begin; eight random characters follow."""
_PATTERN = re.compile(r"\.inkling-\d+-\w{8}\.partial(\.\w+)?")
_STALE = 3600.0
"""Seconds without a change after which nobody writes a temporary file any more."""


def temporary_beside(path: Path) -> Path:
    """A name that no other writer takes, in the same folder and with the same suffix."""
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}.partial{path.suffix}")


def saved(write: Callable[[Path], object], path: Path) -> Path:
    """Make the folder of a path, let `write` fill a temporary file beside it, and rename that.

    The temporary file has the same suffix, and what stood under the name stays until the new file
    is complete. Its permissions follow the umask. Returns the path.

    Raises:
        UserError: it cannot be written there, or not in that format; what stood there is as it was.
    """
    target = Path(os.path.realpath(path))  # a link goes on pointing to the file
    temporary = temporary_beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        write(temporary)
        if temporary.stat().st_mode != mode:  # some libraries write for the owner alone
            temporary.chmod(mode)
        _flush(temporary)
        os.replace(temporary, target)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        fix = "; make room, or write elsewhere" if isinstance(error, OSError) else ""
        raise UserError(
            f"cannot write {path} ({_reason(error)}); what was there is as it was{fix}"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # the file is there; some file systems cannot flush folders
        _flush(target.parent)
    return path


def write_whole(path: Path, data: bytes) -> Path:
    """Write these bytes as `saved` does; returns the path.

    Raises:
        UserError: it cannot be written there; what stood there is as it was.
    """
    return saved(lambda temporary: temporary.write_bytes(data), path)


@contextmanager
def free_file(path: Path) -> Iterator[Path]:
    """Make `path`, or the same with the first free number behind its name, as an empty file.

    Processes that ask at the same moment get different files. Where an error ends the block, the
    file is removed again.

    Raises:
        UserError: it cannot be made.
    """
    number, file = 2, path
    while True:
        try:
            file.touch(exist_ok=False)
            break
        except FileExistsError:
            number, file = number + 1, path.with_stem(f"{path.stem}-{number}")
        except OSError as error:
            raise UserError(f"cannot write {file} ({_reason(error)}); write elsewhere") from None
    try:
        yield file
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Refuse a path that no file can be written to, before the work for it begins.

    Raises:
        UserError: the folder cannot be made or written, the name is too long or a folder's.
    """
    if reason := obstacle(path):
        raise UserError(f"cannot write {path} ({reason}); write elsewhere")


def obstacle(path: Path) -> str:
    """Why no file can be written to a path; empty if one can. Leaves neither file nor folder."""
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            return "it is a folder"
        folder = target.parent
        while not folder.exists():
            folder = folder.parent
        for part in target.relative_to(folder).parts:
            with suppress(FileNotFoundError):
                os.lstat(folder / part)  # a name that is too long shows
        probe = temporary_beside(folder / target.name)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        return _reason(error)
    return ""


def file_name(text: str, most: int = 40) -> str:
    """A prompt as a part of a file's name: its letters and digits, and - for all else."""
    return "".join(c if c.isalnum() else "-" for c in text)[:most] or "no-prompt"


def clear_leftovers(folder: Path) -> None:
    """Remove temporary files in a folder, not below it, whose writers were killed.

    They are known by their age: process numbers mean nothing to another container or machine.
    """
    for left in folder.glob(".inkling-*.partial*"):
        with suppress(OSError):  # another process may remove it too
            if _PATTERN.fullmatch(left.name) and time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def _flush(path: Path) -> None:
    """Make sure that a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
