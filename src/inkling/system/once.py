"""Files and folders of a cache, each written once, by one of several processes.

A folder is written under a temporary name and renamed, so it is complete or absent. Locks are those
of the operating system: they end with their process, on whatever machine or container it runs.
"""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from inkling.errors import UserNote

_PATIENCE = 2.0
"""Seconds to wait in silence for another process that writes the same."""
Loaded = TypeVar("Loaded")


def written_once(
    folder: Path, what: str, load: Callable[[], Loaded | None], write: Callable[[Path], None]
) -> Loaded:
    """What a folder holds; written first if it is absent or damaged.

    Args:
        folder: where it belongs.
        what: what it holds, in the plural, for messages.
        load: reads the folder; None if it is absent or damaged.
        write: fills an empty folder, which then gets the name.

    Raises:
        OSError: it cannot be written.
    """
    found = load()
    if found is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder.parent)
    with locked(folder, f"another process makes the same {what} in {folder.parent}"):
        found = load()  # another process may have written it meanwhile
        if found is not None:
            return found
        if folder.exists():
            warnings.warn(f"the {what} in {folder} are damaged and are made again", UserNote, 3)
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            write(partial)
            shutil.rmtree(folder, ignore_errors=True)  # where it was damaged
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        found = load()
        assert found is not None, f"{folder} cannot be read back"
        return found


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file or folder, which is beside it.

    Args:
        path: what this process is about to write; its folder is there.
        busy: said once the wait for another process gets long.
    """
    lock = _lock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        warnings.warn(f"{busy}; waiting for it", UserNote, 4)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def _clear_leftovers(parent: Path) -> None:
    """Remove the temporary folders of killed processes: those whose lock nobody holds."""
    for leftover in parent.glob(".*.partial"):
        folder = parent / leftover.name.removeprefix(".").removesuffix(".partial")
        try:
            with _lock(folder).acquire(timeout=0):
                shutil.rmtree(leftover, ignore_errors=True)
        except (Timeout, OSError):  # it is being written, or another user's
            continue
