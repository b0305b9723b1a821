"""One process at a time trains into a run folder.

RUN/.lock          held by the operating system, so that it ends with its process
RUN/.lock-holder   who holds it: host, process number, since when
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from inkling.errors import UserError
from inkling.system.disk import obstacle, write_whole
from inkling.system.distributed import is_main_process

_LOCK, _HOLDER = ".lock", ".lock-holder"


def check_folder(out: Path) -> None:
    """Refuse a run folder that cannot be made or written.

    Raises:
        UserError: with the reason.
    """
    if reason := obstacle(out / _LOCK):
        raise UserError(f"cannot make the run folder {out} ({reason}); choose another --out")


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a run folder; if nothing was written into it, what this made is removed again.

    The main process holds it for all others, and may hold it several times over.

    Raises:
        UserError: another process holds it, or it cannot be made.
    """
    if not is_main_process():
        yield
        return
    check_folder(out)
    before = _names(out) - {_HOLDER}
    made = not out.exists() or before == {_LOCK}  # `free_folder` leaves one with a lock
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock((out / _LOCK).absolute(), timeout=0, thread_local=False, is_singleton=True)
    nested = lock.is_locked
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{_holder(out)} is training in {out}; stop it or wait for its end, or choose another "
            "--out"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot lock {out / _LOCK}: {error.strerror}; choose another --out"
        ) from None
    try:
        if not nested:
            _note(out)
        yield
    finally:
        if not nested:
            (out / _HOLDER).unlink(missing_ok=True)
            if _names(out) == before | {_LOCK} and (made or _LOCK not in before):
                (out / _LOCK).unlink()
                if made:
                    out.rmdir()
        lock.release()


def free_folder(parent: Path, name: str) -> Path:
    """Make `parent/name`, or the same with the first free number behind it.

    Processes that ask at the same moment get different folders.

    Raises:
        UserError: it cannot be made.
    """
    check_folder(parent / name)
    parent.mkdir(parents=True, exist_ok=True)
    number, folder = 2, parent / name
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
            (folder / _LOCK).touch()  # marks it as made here
            return folder
        number, folder = number + 1, parent / f"{name}-{number}"


def _note(out: Path) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = {"host": platform.node(), "process": os.getpid(), "since": since}
    write_whole(out / _HOLDER, json.dumps(holder).encode())


def _holder(out: Path) -> str:
    """Who holds a run folder, in words."""
    try:
        found = json.loads((out / _HOLDER).read_text("utf-8"))
        return f"process {found['process']} on {found['host']} (since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it is writing this, or has just ended
        return "another process"


def _names(folder: Path) -> set[str]:
    """What is in a folder; nothing if there is none."""
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()
