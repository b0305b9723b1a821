"""Which classes samples show, according to a CLIP or a judge: for CLIP-guided models."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.evaluate.judge import Judge
from inkling.sampling.clip_guidance import Guide


class Reader(NamedTuple):
    """A classifier of samples, and the names of its classes."""

    title: str
    names: tuple[str, ...]
    classify: Callable[[Tensor], Tensor]
    """uint8 [N, C, H, W] to indices of `names`, [N]."""


def reader_for(guide: Guide | None, prompts: Sequence[str], judge: Path | None) -> Reader | None:
    """The judge, or else the guiding CLIP itself; None without guidance.

    Raises:
        UserError: a judge was given without guidance, or there is no judge at its path.
    """
    if guide is None:
        if judge is not None:
            raise UserError("--judge classifies samples that a CLIP guides; name one with --clip")
        return None
    clip = guide.clip
    known = clip.known.classes
    if judge is None:
        names = known or tuple(dict.fromkeys(prompts))
        return Reader("the CLIP", names, lambda images: clip.classify(images, names))
    loaded = Judge.load(judge)
    accuracy = f" ({loaded.summary})" if loaded.summary else ""
    title = f"the judge {judge}{accuracy}"

    def classify(images: Tensor) -> Tensor:
        return torch.from_numpy(loaded.examine(images)[1])

    return Reader(title, loaded.classes, classify)


def table(reader: Reader, prompts: Sequence[str], guided: Tensor, unguided: Tensor) -> str:
    """The fraction of each class among the samples of each prompt, and among unguided samples.

    Args:
        reader: the classifier of the samples.
        prompts: M prompts.
        guided: uint8 [N, C, H, W], in M equal parts.
        unguided: uint8 [K, C, H, W].
    """
    parts = list(zip(prompts, torch.chunk(guided, len(prompts)), strict=True))
    lines = [
        f"classified by {reader.title}, in % of {len(parts[0][1])} pictures a prompt",
        f"{'':>16} " + " ".join(f"{name[:9]:>9}" for name in reader.names),
    ]
    for label, images in (*parts, ("unguided", unguided)):
        counts = reader.classify(images).bincount(minlength=len(reader.names)).tolist()
        lines.append(
            f"{label[:16]:>16} " + " ".join(f"{count / len(images):9.0%}" for count in counts)
        )
    return "\n".join(lines)
