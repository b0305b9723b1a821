"""One safetensors file that explains itself: weights, recipe, vocabulary, facts, and in a run that
is still going on all that it needs to go on.

A path is all that sampling needs. Nothing in a file is executed when it is read, and a digest over
everything in it tells a damaged file from a sound one.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inkling.config.overrides import from_json, to_json
from inkling.config.recipe import Recipe
from inkling.errors import UserError
from inkling.models.build import TextDenoiser, assemble, text_encoder

FILE = "model.safetensors"
STATES = "checkpoints"
FORMAT = "inkling 2"


class Stored(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Tensor]
    """`raw.*` the last weights, `ema.*` their average, `optimiser.*` what optimisers remember."""
    recipe: Recipe
    vocabulary: str
    facts: dict[str, Any]
    """channels, size [H, W], steps, seconds, classes, versions: whatever the trainer noted."""
    progress: dict[str, Any]
    """Where training stands; empty in a finished model."""

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without it."""
        return {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{name}.")
        }


class Checkpoint(NamedTuple):
    """A trained model and what is known about it."""

    model: TextDenoiser
    recipe: Recipe
    facts: dict[str, Any]


def save(file: Path, stored: Stored) -> Path:
    """Write a file beside, flush it, read it back, and only then give it its name.

    Raises:
        UserError: it cannot be written whole; what stood under the name is as it was.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in stored.tensors.items()}
    metadata = {
        "format": FORMAT,
        "recipe": to_json(stored.recipe),
        "vocabulary": stored.vocabulary,
        "facts": json.dumps(stored.facts),
        "progress": json.dumps(stored.progress),
    }
    metadata["digest"] = digest(tensors, metadata)
    beside = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, metadata)
        _flush(beside)
        read(beside)
        os.replace(beside, file)
        _flush(file.parent)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {file} ({_why(error)}); what was saved before is as it was. Make room, "
            "or write elsewhere"
        ) from None
    return file


def read(file: Path) -> Stored:
    """Everything in a file, checked.

    Raises:
        UserError: no file, a truncated or damaged one, or one that is not ours.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            if metadata.get("format") != FORMAT:
                raise UserError(
                    f"{file} is a safetensors file but not an inkling checkpoint (format "
                    f"{metadata.get('format', 'none')!r}, this version reads {FORMAT!r}); train "
                    "one with `inkling train`"
                )
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if digest(tensors, metadata) != metadata["digest"]:
            raise ValueError("its digest does not fit its content")
        return Stored(
            tensors,
            from_json(metadata["recipe"]),
            metadata["vocabulary"],
            json.loads(metadata["facts"]),
            json.loads(metadata["progress"]),
        )
    except UserError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file} is truncated, damaged or not an inkling checkpoint ({_why(error)}); "
            "copy or train it again"
        ) from None


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


def states(run: Path) -> Iterator[Path]:
    """The training states in a run folder, the latest first."""
    yield from sorted((run / STATES).glob("step-*.safetensors"), reverse=True)


def locate(path: Path) -> Path:
    """The checkpoint file of a run folder, or the file itself.

    A run that is not finished has its latest training state.

    Raises:
        UserError: there is none.
    """
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        file = next(states(path), file)
    if not file.is_file():
        raise UserError(
            f"there is no checkpoint at {file}; name a run folder that `inkling train` has finished"
        )
    return file


def load(path: Path, weights: str = "ema", device: torch.device | str = "cpu") -> Checkpoint:
    """Read a model back.

    Args:
        path: a run folder or the file in it.
        weights: "ema" for the averaged weights, "raw" for the last ones.
        device: where the model shall live.

    Raises:
        UserError: no file, a truncated or damaged one, or one that is not ours.
    """
    file = locate(path)
    stored = read(file)
    text = text_encoder(stored.recipe, vocabulary=stored.vocabulary)
    model = assemble(stored.recipe, text, stored.facts["channels"])
    # Buffers are never averaged, so the averages do not have them.
    model.load_state_dict(stored.part("raw") | stored.part(weights))
    return Checkpoint(model.to(device).eval(), stored.recipe, stored.facts)


def _flush(path: Path) -> None:
    """Make sure that a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows keeps no handle on folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
