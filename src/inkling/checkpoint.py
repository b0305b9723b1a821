"""`model.safetensors`: weights, recipe, vocabulary and scores in one file that explains itself.

A path is all that sampling needs. Nothing in the file is executed when it is read.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inkling.assemble import TextDenoiser, assemble, text_encoder
from inkling.errors import UserError
from inkling.recipe import Recipe, from_json, to_json

FILE = "model.safetensors"
FORMAT = "inkling 1"


class Checkpoint(NamedTuple):
    """A trained model and what is known about it."""

    model: TextDenoiser
    recipe: Recipe
    facts: dict[str, Any]
    """channels, size [H, W], steps, seconds, classes, versions: whatever the trainer noted."""


def save(
    path: Path,
    model: TextDenoiser,
    average: dict[str, Tensor],
    recipe: Recipe,
    facts: dict[str, Any],
) -> Path:
    """Write `model.safetensors`, beside first and then renamed, and return its path.

    Args:
        path: the run folder.
        model: holds the raw weights.
        average: the averaged weights by the model's parameter names.
        recipe: as trained, with every measured value filled in.
        facts: JSON-able; needs `channels` and `size`.
    """
    tensors = {f"raw.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in average.items()}
    metadata = {
        "format": FORMAT,
        "recipe": to_json(recipe),
        "vocabulary": model.text.vocabulary(),
        "facts": json.dumps(facts),
    }
    path.mkdir(parents=True, exist_ok=True)
    final, beside = path / FILE, path / f".{FILE}.partial"
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, beside, metadata)
    os.replace(beside, final)
    return final


def locate(path: Path) -> Path:
    """The checkpoint file of a run folder, or the file itself.

    Raises:
        UserError: there is none.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"there is no checkpoint at {file}; name a run folder that `inkling train` has finished"
        )
    return file


def load(path: Path, weights: str = "ema", device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint back.

    Args:
        path: a run folder or the file in it.
        weights: "ema" for the averaged weights, "raw" for the last ones.
        device: where the model shall live.

    Raises:
        UserError: no file, a truncated or damaged one, or one that is not ours.
    """
    file = locate(path)
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise UserError(
                    f"{file} is a safetensors file but not an inkling checkpoint; "
                    "train one with `inkling train`"
                )
            names = set(stored.keys())
            recipe = from_json(metadata["recipe"])
            facts = json.loads(metadata["facts"])
            text = text_encoder(recipe, vocabulary=metadata["vocabulary"])
            model = assemble(recipe, text, facts["channels"])
            state = {
                name: stored.get_tensor(f"{weights}.{name}")
                if f"{weights}.{name}" in names
                else stored.get_tensor(f"raw.{name}")  # buffers are never averaged
                for name in model.state_dict()
            }
    except (SafetensorError, KeyError, struct.error, json.JSONDecodeError) as error:
        raise UserError(
            f"{file} is truncated, damaged or not an inkling checkpoint ({error}); "
            "copy or train it again"
        ) from None
    model.load_state_dict(state)
    return Checkpoint(model.to(device).eval(), recipe, facts)
