"""One safetensors file that explains itself: weights, recipe, vocabulary, card, and in a run that
is still going on all that it needs to go on.

A path is all that sampling needs. Nothing in a file is executed when it is read, and a digest over
everything in it tells a damaged file from an intact one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inkling.config.overrides import from_json, to_json
from inkling.config.recipe import RunRecipe
from inkling.errors import UserError, nearest
from inkling.models.card import Card
from inkling.system.disk import saved

FILE = "model.safetensors"
CHECKPOINTS = "checkpoints"
FORMAT = "inkling 4"
_OLD = ("inkling 1", "inkling 2", "inkling 3")


class Checkpoint(NamedTuple):
    """Everything in a file."""

    tensors: dict[str, Tensor]
    """`raw.*` the last weights, `ema.*` their average, `optimiser.*` the optimisers' states."""
    recipe: RunRecipe
    vocabulary: str
    card: Card
    progress: dict[str, Any]
    """Counters of training; empty in a finished model."""

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without it."""
        return {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{name}.")
        }


def save(file: Path, contents: Checkpoint) -> Path:
    """Write a temporary file, read it back, flush it, and only then rename it.

    Raises:
        UserError: it cannot be written whole; what stood under the name is as it was.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in contents.tensors.items()}
    metadata = {
        "format": FORMAT,
        "recipe": to_json(contents.recipe),
        "vocabulary": contents.vocabulary,
        "card": msgspec.json.encode(contents.card).decode(),
        "progress": json.dumps(contents.progress),
    }
    metadata["digest"] = digest(tensors, metadata)

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(_why(error)) from None
        read(temporary)

    return saved(write, file)


def read(file: Path) -> Checkpoint:
    """Everything in a file, checked.

    Raises:
        UserError: no file, a truncated or damaged one, or one that is not ours.
    """
    with _opened(file) as (opened, metadata):
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if digest(tensors, metadata) != metadata["digest"]:
            raise ValueError("its digest does not fit its content")
        return Checkpoint(
            tensors,
            from_json(metadata["recipe"]),
            metadata["vocabulary"],
            msgspec.json.decode(metadata["card"], type=Card),
            json.loads(metadata["progress"]),
        )


def read_recipe(file: Path) -> RunRecipe:
    """The settings in a file, without reading its weights; errors as in `read`."""
    with _opened(file) as (_, metadata):
        return from_json(metadata["recipe"])


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A file and its metadata; what is wrong with either, in the block too, is one sentence."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            _check_format(file, metadata)
            yield opened, metadata
    except UserError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file} is truncated, damaged or not an inkling checkpoint ({_why(error)}); "
            "copy or train it again"
        ) from None


def _check_format(file: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") in _OLD:
        raise UserError(
            f"{file} was written by an earlier version of inkling (format "
            f"{metadata['format']!r}, this version reads {FORMAT!r}) and cannot be "
            "converted; train it again with the settings in its recipe.json, or install "
            "the version that wrote it"
        )
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{file} is a safetensors file but not an inkling checkpoint (format "
            f"{metadata.get('format', 'none')!r}, this version reads {FORMAT!r}); train "
            "one with `inkling train`"
        )


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of everything but the digest itself."""
    sha = hashlib.sha256()
    for key in sorted(metadata.keys() - {"digest"}):
        sha.update(f"{key}={metadata[key]}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def checkpoints(run: Path) -> Iterator[Path]:
    """The training checkpoints in a run folder, the latest first."""
    yield from sorted((run / CHECKPOINTS).glob("step-*.safetensors"), reverse=True)


def locate(path: Path) -> Path:
    """The checkpoint file of a run folder, or the file itself.

    A run that is not finished has its latest training checkpoint.

    Raises:
        UserError: there is none.
    """
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        file = next(checkpoints(path), file)
    if not file.is_file():
        beside = [*path.parent.glob("*/" + FILE), *path.glob("*/" + FILE)]
        close = nearest(str(path), [str(each.parent) for each in beside])
        hint = f"did you mean {close}? " if close else ""
        raise UserError(
            f"there is no checkpoint at {file}; {hint}name a run folder that `inkling train` has "
            "finished"
        )
    return file


def finished(run: Path) -> Path:
    """The checkpoint of a finished run.

    Raises:
        UserError: there is none, or the run is not finished.
    """
    file = locate(run)
    if file.parent.name == CHECKPOINTS:
        out, name = file.parent.parent, read_recipe(file).name
        raise UserError(
            f"{out} is not finished, and its weights still change; finish it first "
            f" (inkling train {name} --out {out} --resume)"
        )
    return file


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
