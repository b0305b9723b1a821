"""The IDX format of MNIST and similar sets: a header of big-endian sizes, then bytes."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from inkling.errors import UserError
from inkling.system.reading import require_regular

_UNSIGNED_BYTE = 0x08
_LARGEST = 1 << 31
"""Bytes at most that a gzipped file may unpack to; a small file may unpack to any size."""


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped or not.

    Raises:
        UserError: it is not an IDX file of bytes, or its size disagrees with its header.
    """
    raw = _unpacked(path)
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UNSIGNED_BYTE)) or not 1 <= raw[3] <= 4:
        raise UserError(f"{path} is not an IDX file of bytes; expected MNIST's original format")
    start = 4 + 4 * raw[3]
    shape = np.frombuffer(raw[4:start], ">u4") if len(raw) >= start else np.zeros(0, ">u4")
    expected = math.prod(map(int, shape))
    if len(shape) != raw[3] or len(raw) - start != expected:
        raise UserError(
            f"{path} holds {max(len(raw) - start, 0):,} bytes of data where its header says "
            f"{expected:,}; it is cut short or damaged, fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape([int(n) for n in shape])


def _unpacked(path: Path) -> bytes:
    with require_regular(path).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return file.read()
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                raw = unpacked.read(_LARGEST + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise UserError(f"{path} is cut short or damaged (gzip); fetch it again") from None
    if len(raw) > _LARGEST:
        raise UserError(f"{path} unpacks to more than {_LARGEST:,} bytes; unpack it with gunzip")
    return raw
