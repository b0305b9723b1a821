"""What is known of a run before its first step: for checkpoints, progress lines and reports."""

import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from inkling.data import Pictures
from inkling.models.build import TextDenoiser
from inkling.system import device

WORDS_OF_PRECISION = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def facts_of(pictures: Pictures, model: TextDenoiser, accelerator: Accelerator) -> dict[str, Any]:
    """What is known of a run before its first step."""
    return {
        "channels": pictures.shape[0],
        "size": list(pictures.shape[1:]),
        "classes": list(pictures.classes),
        "pictures": len(pictures),
        "data": pictures.describe(),
        "problems": list(pictures.problems),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": device.describe(accelerator.device),
        "precision": WORDS_OF_PRECISION[accelerator.mixed_precision],
        "processes": accelerator.num_processes,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": command(),
    }


def command() -> str:
    """What was typed, as far as the interpreter knows."""
    file, *arguments = sys.argv
    place = Path(file)
    program = ["python", "-m", place.parent.name] if place.stem == "__main__" else [place.name]
    return shlex.join([*program, *arguments])
