"""CIFAR-10's archives: the Python and the binary version, packed or unpacked.

The Python version is pickled. It is read by an unpickler that admits arrays and containers only,
so that a malicious file cannot run code.
"""

import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inkling.errors import UserError, one_line

_SHAPE = (-1, 3, 32, 32)
_PARTS = {
    "train": [f"data_batch_{number}" for number in range(1, 6)],
    "test": ["test_batch"],
}
_ERRORS = (tarfile.TarError, EOFError, OSError, pickle.UnpicklingError, ValueError, KeyError)


def _latin(text: str, coding: str) -> bytes:
    """`_codecs.encode`, which pickled bytes call in protocol 2; refuses codecs but latin1."""
    if coding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {coding!r}")
    return text.encode(coding)


class _Unpickler(pickle.Unpickler):
    """Admits NumPy arrays, numbers, strings and containers."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            # `_reconstruct`, taken from an array rather than imported by name.
            return np.zeros(0, np.uint8).__reduce__()[0]
        admitted = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
        if (module, name) in admitted:
            return admitted[module, name]
        if (module, name) == ("_codecs", "encode"):
            return _latin
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture needs")


def unpickle(raw: bytes) -> Any:
    """The arrays and containers in a pickle; no code in it is run.

    Raises:
        pickle.UnpicklingError: it refers to anything else, or is damaged.
    """
    return _Unpickler(io.BytesIO(raw), encoding="bytes").load()


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of everything in a folder or an archive; nothing is written to disk."""
    if path.is_dir():
        yield from ((file.name, file.read_bytes()) for file in sorted(path.iterdir()))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield Path(member.name).name, content.read()


def read_cifar(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 32, 32, 3] uint8, labels [N]) of an unpacked folder or a `.tar.gz`.

    Raises:
        UserError: it is incomplete or damaged, or a pickle refers to more than arrays.
    """
    images, labels, missing = [], [], set(_PARTS[split])
    name = path.name
    try:
        for name, raw in _members(path):
            stem = name.removesuffix(".bin")
            if stem not in missing:
                continue
            missing.discard(stem)
            if name.endswith(".bin"):
                rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
                labels.append(rows[:, 0].astype(np.int64))
                images.append(rows[:, 1:].reshape(_SHAPE))
            else:
                batch = unpickle(raw)
                labels.append(np.array(batch[b"labels"], np.int64))
                images.append(np.asarray(batch[b"data"], np.uint8).reshape(_SHAPE))
    except _ERRORS as error:
        raise UserError(
            f"{path} is not a sound CIFAR-10 archive: {name}: {one_line(error)}; fetch it again"
        ) from None
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; fetch CIFAR-10 again")
    pixels = np.concatenate(images).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), np.concatenate(labels)
