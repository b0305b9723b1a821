"""The effect of each word of a prompt: attention maps, and samples without the word."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from inkling.errors import UserError
from inkling.sampling.pipeline import TextToImage
from inkling.visualize import grids
from inkling.visualize.style import SEQUENCE

Weights = list[tuple[Tensor, tuple[int, int]]]


@contextmanager
def _watching(pipeline: TextToImage) -> Iterator[Weights]:
    """Yields attention weights, call by call: ([B, HW, L], (H, W))."""
    seen: Weights = []
    blocks = pipeline.model.network.caption_attention()
    for block in blocks:
        block.watcher = lambda weights, size: seen.append((weights.cpu(), size))
    try:
        yield seen
    finally:
        for block in blocks:
            block.watcher = None


def words_in(pieces: Sequence[str]) -> list[tuple[str, list[int]]]:
    """(word, places of its tokens); a token that begins a word begins with a space."""
    found: list[tuple[str, list[int]]] = []
    for place, piece in enumerate(pieces):
        if not piece.strip():
            continue
        if piece.startswith(" ") or not found:
            found.append((piece.strip(), [place]))
        else:
            word, places = found[-1]
            found[-1] = (word + piece.strip(), [*places, place])
    return found


def attention_maps(
    pipeline: TextToImage, prompt: str, *, seed: int = 0, **options: Any
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """The picture uint8 [C, H, W], and for each word how much each place looked at it [H, W].

    Means over heads, blocks and solver steps.

    Raises:
        UserError: the model has no cross-attention.
    """
    with _watching(pipeline) as seen:
        (picture,) = pipeline([prompt], seeds=[seed], **options)
    if not seen:
        raise UserError(
            "this model has no cross-attention whose maps could be drawn (net.cross_attention=true "
            "with attention on some level has it); `inkling plot ablation` works for every model"
        )
    size = tuple(picture.shape[-2:])
    total = torch.zeros(seen[0][0].shape[2], *size)
    for weights, (height, width) in seen:
        maps = weights[:1].transpose(1, 2).reshape(1, -1, height, width)  # [1, L, h, w]
        total += F.interpolate(maps, size, mode="bilinear", align_corners=False)[0]
    total /= len(seen)
    words = words_in(pipeline.model.text.pieces(prompt))
    return picture, [(word, total[places].sum(0)) for word, places in words]


def attention(
    pipeline: TextToImage, prompts: Sequence[str], *, seed: int = 0, cell: int = 112, **options: Any
) -> Image.Image:
    """One sheet: each picture, then a map for each word of its prompt, bright where it is read."""
    pairs: list[tuple[str, np.ndarray | None]] = []
    found = [
        attention_maps(pipeline, prompt, seed=seed + number, **options)
        for number, prompt in enumerate(prompts)
    ]
    across = 1 + max(len(words) for _, words in found)
    for prompt, (picture, words) in zip(prompts, found, strict=True):
        pairs.append((prompt, _coloured(picture)))
        for word, places in words:
            shown = (places - places.min()) / (places.max() - places.min()).clamp(min=1e-6)
            heat = mpl.colormaps[SEQUENCE](shown.numpy())[..., :3]
            pairs.append((word, (255 * heat).astype(np.uint8).transpose(2, 0, 1)))
        pairs += [("", None)] * (across - 1 - len(words))
    return grids.contacts(pairs, across=across, cell=cell)


def ablation(
    pipeline: TextToImage, prompts: Sequence[str], *, seed: int = 0, cell: int = 112, **options: Any
) -> Image.Image:
    """One sheet: each picture, then what the same noise becomes without each word in turn.

    The number is how far the picture moves: the root mean square change of pixels, in grey values.
    """
    pairs: list[tuple[str, np.ndarray | None]] = []
    most = max(len(prompt.split()) for prompt in prompts)
    for number, prompt in enumerate(prompts):
        words = prompt.split()
        without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
        drawn = pipeline([prompt, *without], seeds=[seed + number] * (1 + len(words)), **options)
        pairs.append((prompt, _coloured(drawn[0])))
        for word, picture in zip(words, drawn[1:], strict=True):
            moved = (picture.float() - drawn[0].float()).square().mean().sqrt().item()
            pairs.append((f"without {word!r}: {moved:.0f}", _coloured(picture)))
        pairs += [("", None)] * (most - len(words))
    return grids.contacts(pairs, across=1 + most, cell=cell)


def _coloured(picture: Tensor) -> np.ndarray:
    """uint8 [3, H, W]."""
    array: np.ndarray = picture.numpy()
    return np.repeat(array, 3, axis=0) if len(array) == 1 else array
