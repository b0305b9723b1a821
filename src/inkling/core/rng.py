"""Randomness as an argument: a stream for every (seed, purpose, step) and for every image.

Streams are independent by hashing, so nothing depends on how many numbers another place has drawn.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def number(*keys: int | str) -> int:
    """A whole number that depends on the keys alone, for whoever wants a seed."""
    text = "\x1f".join(map(str, keys)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def stream(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on the keys alone, e.g. `stream(seed, "noise", step)`."""
    return torch.Generator(device).manual_seed(number(*keys))


class ImageNoise:
    """Standard normal noise in which image i reads from its own seed, whatever its batch.

    Called like `torch.randn_like`. Drawn on the CPU in float32, so every device gets the same.
    """

    def __init__(self, seeds: Sequence[int]):
        self.streams = [stream("image", seed) for seed in seeds]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """[len(seeds), *shape] float32, on the CPU."""
        return torch.stack([torch.randn(tuple(shape), generator=g) for g in self.streams])

    def __call__(self, like: Tensor) -> Tensor:
        return self.draw(like.shape[1:]).to(like)
