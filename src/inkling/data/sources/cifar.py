"""CIFAR-10's archives: the Python and the binary version, packed or unpacked.

The Python version is pickled. It is read by an unpickler that admits arrays and containers only,
so that a malicious file cannot run code.
"""

import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from pickletools import genops
from typing import Any

import numpy as np

from inkling.data.sources.archives import members
from inkling.errors import UserError, one_line
from inkling.system.reading import require_regular

_SHAPE = (-1, 3, 32, 32)
_PARTS = {
    "train": [f"data_batch_{number}" for number in range(1, 6)],
    "test": ["test_batch"],
}
_LARGEST = 1 << 26
"""Bytes of a batch at most, twice those of a real one."""
_CLASSES = 10


def _latin(text: str, coding: str) -> bytes:
    """`_codecs.encode`, which pickled bytes call in protocol 2; refuses codecs but latin1."""
    if coding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {coding!r}")
    return text.encode(coding)


def _empty_array(*_: Any) -> np.ndarray:
    """NumPy's `_reconstruct`: an array whose shape and content follow."""
    return np.zeros(0, np.uint8)


class _Unpickler(pickle.Unpickler):
    """Admits NumPy arrays, numbers, strings and containers."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return _empty_array
        if (module, name) == ("numpy", "ndarray"):
            return None  # the argument of `_reconstruct`; called, it would take any memory
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _latin
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture needs")


def unpickle(raw: bytes) -> Any:
    """The arrays and containers in a pickle; no code in it is run.

    Raises:
        pickle.UnpicklingError: it refers to anything else, or is damaged.
    """
    try:
        for operation, argument, _ in genops(raw):
            # The memo is an array: a large number alone would take gigabytes.
            if "PUT" in operation.name and int(argument or 0) > len(raw):
                raise pickle.UnpicklingError(f"it numbers an object {argument}")
        return _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # invalid bytes may raise anything
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from None


def _batches(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of the batches in a folder or an archive."""
    if not path.is_dir():

        def largest(name: PurePosixPath) -> int:
            return _LARGEST if name.name.removesuffix(".bin") in wanted else 0

        problems: list[str] = []
        yield from ((name.name, raw) for name, raw in members(path, largest, problems))
        if problems:
            raise ValueError(problems[0])
        return
    for file in sorted(path.iterdir()):
        if file.name.removesuffix(".bin") in wanted:
            if require_regular(file).stat().st_size > _LARGEST:
                raise ValueError(f"it has more than {_LARGEST:,} bytes")
            yield file.name, file.read_bytes()


def _arrays(name: str, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 3, 32, 32] uint8, labels [N]) of a batch, pickled or binary."""
    if name.endswith(".bin"):
        rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        pixels, labels = rows[:, 1:], rows[:, 0].astype(np.int64)
    else:
        batch = unpickle(raw)
        if not isinstance(batch, dict) or not {b"data", b"labels"} <= set(batch):
            raise ValueError("it holds no data and labels")
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        if pixels.dtype != np.uint8 or (labels.size and labels.dtype.kind not in "iu"):
            raise ValueError(f"it holds {pixels.dtype} data and {labels.dtype} labels")
    images = pixels.reshape(_SHAPE)
    if labels.shape != (len(images),) or not all(0 <= label < _CLASSES for label in labels):
        raise ValueError(f"its {len(images):,} pictures need as many labels from 0 to 9")
    return images, labels.astype(np.int64)


def read_cifar(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 32, 32, 3] uint8, labels [N]) of an unpacked folder or a `.tar.gz`.

    Raises:
        UserError: it is incomplete or damaged, or a pickle refers to more than arrays.
    """
    images, labels, missing = [], [], set(_PARTS[split])
    name = path.name
    try:
        for name, raw in _batches(path, frozenset(missing)):
            stem = name.removesuffix(".bin")
            if stem not in missing:
                continue
            missing.discard(stem)
            pixels, numbers = _arrays(name, raw)
            images.append(pixels)
            labels.append(numbers)
    except UserError:
        raise
    except (tarfile.TarError, pickle.UnpicklingError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a sound CIFAR-10 archive: {name}: {one_line(error)}; fetch it again"
        ) from None
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; fetch CIFAR-10 again")
    pixels = np.concatenate(images).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), np.concatenate(labels)
