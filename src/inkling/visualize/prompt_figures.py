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
def _recorded_attention(pipeline: TextToImage) -> Iterator[Weights]:
    """Yields a list to which every attention call appends its weights: ([B, HW, L], (H, W))."""
    recorded: Weights = []
    blocks = pipeline.model.network.caption_attention()
    for block in blocks:
        block.watcher = lambda weights, size: recorded.append((weights.cpu(), size))
    try:
        yield recorded
    finally:
        for block in blocks:
            block.watcher = None


def words_in(pieces: Sequence[str]) -> list[tuple[str, list[int]]]:
    """(word, indices of its tokens); a token that begins a word begins with a space."""
    found: list[tuple[str, list[int]]] = []
    for index, piece in enumerate(pieces):
        if not piece.strip():
            continue
        if piece.startswith(" ") or not found:
            found.append((piece.strip(), [index]))
        else:
            word, indices = found[-1]
            found[-1] = (word + piece.strip(), [*indices, index])
    return found


def attention_maps(
    pipeline: TextToImage, prompt: str, *, seed: int = 0, **options: Any
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """A sample uint8 [C, H, W], and an attention map [H, W] for each word of the prompt.

    The maps are means over heads, blocks and solver steps.

    Raises:
        UserError: the model has no cross-attention.
    """
    with _recorded_attention(pipeline) as recorded:
        # Attention adds up to 1 to three digits only in float32.
        exactly = {"precision": "float32"} | options
        (picture,) = pipeline([prompt], seeds=[seed], **exactly)
    if not recorded:
        raise UserError(
            "this model has no cross-attention to plot, which takes net.cross_attention=true and "
            "attention on some level; `inkling plot ablation` works for every model"
        )
    size = tuple(picture.shape[-2:])
    total = torch.zeros(recorded[0][0].shape[2], *size)
    for weights, (height, width) in recorded:
        maps = weights[:1].transpose(1, 2).reshape(1, -1, height, width)  # [1, L, h, w]
        total += F.interpolate(maps, size, mode="bilinear", align_corners=False)[0]
    total /= len(recorded)
    words = words_in(pipeline.model.text.pieces(prompt))
    return picture, [(word, total[indices].sum(0)) for word, indices in words]


def attention(
    pipeline: TextToImage, prompts: Sequence[str], *, seed: int = 0, cell: int = 112, **options: Any
) -> Image.Image:
    """One grid: each sample, then the attention map of each word of its prompt."""
    pairs: list[tuple[str, np.ndarray | None]] = []
    found = [
        attention_maps(pipeline, prompt, seed=seed + number, **options)
        for number, prompt in enumerate(prompts)
    ]
    across = 1 + max(len(words) for _, words in found)
    for prompt, (picture, words) in zip(prompts, found, strict=True):
        pairs.append((prompt, _coloured(picture)))
        for word, weights in words:
            scaled = (weights - weights.min()) / (weights.max() - weights.min()).clamp(min=1e-6)
            heat = mpl.colormaps[SEQUENCE](scaled.numpy())[..., :3]
            pairs.append((word, (255 * heat).astype(np.uint8).transpose(2, 0, 1)))
        pairs += [("", None)] * (across - 1 - len(words))
    return grids.contacts(pairs, across=across, cell=cell)


def ablation(
    pipeline: TextToImage, prompts: Sequence[str], *, seed: int = 0, cell: int = 112, **options: Any
) -> Image.Image:
    """One grid: each sample, then samples from the same noise without each word in turn.

    The number is the root mean square change of the pixels, in grey values.
    """
    pairs: list[tuple[str, np.ndarray | None]] = []
    most = max(len(prompt.split()) for prompt in prompts)
    for number, prompt in enumerate(prompts):
        words = prompt.split()
        without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
        samples = pipeline([prompt, *without], seeds=[seed + number] * (1 + len(words)), **options)
        pairs.append((prompt, _coloured(samples[0])))
        for word, picture in zip(words, samples[1:], strict=True):
            change = (picture.float() - samples[0].float()).square().mean().sqrt().item()
            pairs.append((f"without {word!r}: {change:.0f}", _coloured(picture)))
        pairs += [("", None)] * (most - len(words))
    return grids.contacts(pairs, across=1 + most, cell=cell)


def _coloured(picture: Tensor) -> np.ndarray:
    """The image as uint8 [3, H, W]."""
    array: np.ndarray = picture.numpy()
    return np.repeat(array, 3, axis=0) if len(array) == 1 else array
