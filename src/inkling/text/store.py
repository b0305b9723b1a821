"""Encodings on disk: each distinct caption, and each picture, is encoded only once.

One SQLite file for each encoder: safe against kills and against several processes at once. If it is
damaged, it is deleted and written again.
"""

import hashlib
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import torch
from torch import Tensor

from inkling.errors import UserError, UserNote
from inkling.system.cache import cache_folder
from inkling.system.once import locked

_BATCH = 500
"""Keys in one query, and rows between two commits."""
_DELETE = "if it is damaged, delete that file, and they are encoded again"


def _key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is damaged, rather than locked or out of reach."""
    name: str = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


class Store:
    """Encodings of one encoder by caption, or by the name of a picture: pooled vector and tokens,
    stacked [1 + L, D] float16.
    """

    def __init__(self, fingerprint: str):
        self.path = cache_folder() / "text" / f"{fingerprint}.sqlite"

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=60)) as connection:
            connection.execute(
                "create table if not exists captions (key text primary key, width int, data blob)"
            )
            yield connection

    @contextmanager
    def _errors(self, doing: str, fix: str) -> Iterator[None]:
        """Errors in the block become a `UserError`."""
        try:
            yield
        except (OSError, sqlite3.Error, TypeError, ValueError) as error:
            raise UserError(f"cannot {doing} encodings in {self.path} ({error}); {fix}") from None

    def missing(self, captions: Sequence[str]) -> list[str]:
        """The captions that are not in the file, or damaged there: all, if the file is damaged.

        Raises:
            UserError: the file cannot be read.
        """
        with self._errors("read", _DELETE):
            try:
                return self._not_stored(captions)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
            with locked(self.path, f"another process deletes {self.path}, which is damaged"):
                try:  # another process may have been faster
                    return self._not_stored(captions)
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                self.path.unlink()
        warnings.warn(
            f"the encodings in {self.path} were damaged; they are encoded again",
            UserNote,
            stacklevel=3,
        )
        return list(captions)

    def _not_stored(self, captions: Sequence[str]) -> list[str]:
        if not self.path.is_file():
            return list(captions)
        by_key = {_key(caption): caption for caption in captions}
        keys = list(by_key)
        with self._opened() as connection:
            for first in range(0, len(keys), _BATCH):
                part = keys[first : first + _BATCH]
                marks = ",".join("?" * len(part))
                query = (
                    f"select key from captions where key in ({marks}) and width > 0 "
                    "and length(data) > 0 and length(data) % (2 * width) = 0"
                )
                for (key,) in connection.execute(query, part):
                    del by_key[key]
        return list(by_key.values())

    def add(self, encoded: Iterable[tuple[str, Tensor]]) -> None:
        """Store captions with their encodings, [1 + L, D] each.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        fix = "make room there, or set INKLING_CACHE to another folder"
        with self._errors("write", fix), self._opened() as connection:
            for number, (caption, tensor) in enumerate(encoded, start=1):
                data = tensor.to(torch.float16).contiguous().numpy().tobytes()
                row = (_key(caption), tensor.shape[1], data)
                connection.execute("insert or replace into captions values (?, ?, ?)", row)
                if number % _BATCH == 0:
                    connection.commit()
            connection.commit()

    def get(self, captions: Sequence[str]) -> list[Tensor]:
        """The encoding of each caption, [1 + L, D] float16, in the order of the captions.

        Raises:
            UserError: the file is damaged.
        """
        query = "select width, data from captions where key = ?"
        with self._errors("read", _DELETE), self._opened() as connection:
            rows = [connection.execute(query, (_key(each),)).fetchone() for each in captions]
            return [
                torch.from_numpy(np.frombuffer(data, np.float16).reshape(-1, width).copy())
                for width, data in rows
            ]
