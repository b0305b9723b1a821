"""Encoded captions on disk: each distinct caption of an encoder is read once, ever.

One SQLite file for each encoder: safe against kills and against several processes at once.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.system.cache import cache_folder

_MANY = 500
"""Keys asked for at once."""


_DELETE = "if it is damaged, delete that file, and they are read again"


def _key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()


class Store:
    """Captions of one encoder: for each its vector and its tokens, stacked [1 + L, D] float16."""

    def __init__(self, fingerprint: str):
        self.path = cache_folder() / "text" / f"{fingerprint}.sqlite"

    @contextmanager
    def _opened(self, doing: str, mend: str) -> Iterator[sqlite3.Connection]:
        """The file, open; what goes wrong in there is one sentence."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                connection.execute(
                    "create table if not exists captions "
                    "(key text primary key, width int, data blob)"
                )
                yield connection
        except (OSError, sqlite3.Error, TypeError, ValueError) as error:
            raise UserError(
                f"cannot {doing} encoded captions in {self.path} ({error}); {mend}"
            ) from None

    def missing(self, captions: Sequence[str]) -> list[str]:
        """The captions that are not there.

        Raises:
            UserError: the file is damaged.
        """
        if not self.path.is_file():
            return list(captions)
        by_key = {_key(caption): caption for caption in captions}
        keys = list(by_key)
        with self._opened("read", _DELETE) as connection:
            for first in range(0, len(keys), _MANY):
                part = keys[first : first + _MANY]
                marks = ",".join("?" * len(part))
                asked = f"select key from captions where key in ({marks})"
                for (key,) in connection.execute(asked, part):
                    del by_key[key]
        return list(by_key.values())

    def add(self, read: Iterable[tuple[str, Tensor]]) -> None:
        """Take in captions with what was read of each, [1 + L, D].

        Raises:
            UserError: there is no room, or the folder cannot be written.
        """
        mend = "make room there, or set INKLING_CACHE to another folder"
        with self._opened("keep", mend) as connection:
            for number, (caption, found) in enumerate(read, start=1):
                data = found.to(torch.float16).contiguous().numpy().tobytes()
                row = (_key(caption), found.shape[1], data)
                connection.execute("insert or ignore into captions values (?, ?, ?)", row)
                if number % _MANY == 0:
                    connection.commit()
            connection.commit()

    def get(self, captions: Sequence[str]) -> list[Tensor]:
        """What was read of each caption, [1 + L, D] float16, in their order.

        Raises:
            UserError: the file is damaged.
        """
        asked = "select width, data from captions where key = ?"
        with self._opened("read", _DELETE) as connection:
            rows = [connection.execute(asked, (_key(each),)).fetchone() for each in captions]
            return [
                torch.from_numpy(np.frombuffer(data, np.float16).reshape(-1, width).copy())
                for width, data in rows
            ]
