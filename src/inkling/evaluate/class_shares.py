"""Which classes samples show, as read by a CLIP or a judge: for models that a CLIP guides."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.errors import UserError
from inkling.evaluate.judge import Judge
from inkling.sampling.clip_guidance import Guide


class Reader(NamedTuple):
    """Who reads samples, and the names that it knows."""

    title: str
    names: tuple[str, ...]
    classify: Callable[[Tensor], Tensor]
    """uint8 [N, C, H, W] to indices of `names`, [N]."""


def reader_for(guide: Guide | None, prompts: Sequence[str], judge: Path | None) -> Reader | None:
    """The judge, or else the CLIP itself; None without guidance.

    Raises:
        UserError: a judge without guidance, or no judge there.
    """
    if guide is None:
        if judge is not None:
            raise UserError("--judge reads what a CLIP guides; name one with --clip")
        return None
    clip = guide.clip
    known = clip.known.classes
    if judge is None:
        names = known or tuple(dict.fromkeys(prompts))
        return Reader("the CLIP", names, lambda images: clip.classify(images, names))
    loaded = Judge.load(judge)
    numbered = tuple(f"class {index}" for index in range(loaded.classes))
    names = known if len(known) == loaded.classes else numbered
    return Reader(
        f"the judge {judge}", names, lambda images: torch.from_numpy(loaded.examine(images)[1])
    )


def table(reader: Reader, prompts: Sequence[str], guided: Tensor, unguided: Tensor) -> str:
    """The share of each known name among samples of each prompt, beside unguided ones.

    Args:
        reader: who reads them.
        prompts: M of them.
        guided: uint8 [N, C, H, W], in M equal parts.
        unguided: uint8 [K, C, H, W].
    """
    parts = list(zip(prompts, torch.chunk(guided, len(prompts)), strict=True))
    lines = [
        f"read by {reader.title}, in % of {len(parts[0][1])} pictures a prompt",
        f"{'':>16} " + " ".join(f"{name[:9]:>9}" for name in reader.names),
    ]
    for label, images in (*parts, ("unguided", unguided)):
        counts = reader.classify(images).bincount(minlength=len(reader.names)).tolist()
        lines.append(
            f"{label[:16]:>16} " + " ".join(f"{count / len(images):9.0%}" for count in counts)
        )
    return "\n".join(lines)
