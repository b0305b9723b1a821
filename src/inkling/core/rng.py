"""Randomness as an argument: a stream for every (seed, purpose, step) and for every image.

Streams are independent by hashing, so nothing depends on how many numbers another place has drawn.
"""

import hashlib
import math
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


def row_noise(
    shape: Sequence[int], rows: slice, *keys: int | str, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal noise [b, *shape] float32 for some rows of a batch.

    Row i reads from a stream of its own, so it is the same whoever draws it, and a process draws
    no other rows than its own.
    """
    drawn = [
        torch.randn(tuple(shape), generator=stream(*keys, row, device=device), device=device)
        for row in range(rows.start, rows.stop)
    ]
    return torch.stack(drawn)


Seed = int | tuple[int, int, float]
"""Of an image; or two seeds and how far it is from the first to the second, 0 to 1."""


class ImageNoise:
    """Standard normal noise in which image i reads from its own seed, whatever its batch.

    Called like `torch.randn_like`. Drawn on the CPU in float32, so every device gets the same. On
    the way between two seeds noise goes round the sphere, so that it is standard normal all along.
    """

    def __init__(self, seeds: Sequence[Seed]):
        self.streams = [
            _interpolated(*seed) if isinstance(seed, tuple) else [(stream("image", int(seed)), 1.0)]
            for seed in seeds
        ]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """[len(seeds), *shape] float32, on the CPU."""
        drawn = []
        for parts in self.streams:
            each = [weight * torch.randn(tuple(shape), generator=g) for g, weight in parts]
            drawn.append(torch.stack(each).sum(0))
        return torch.stack(drawn)

    def __call__(self, like: Tensor) -> Tensor:
        return self.draw(like.shape[1:]).to(like)


def _interpolated(first: int, last: int, share: float) -> list[tuple[torch.Generator, float]]:
    """The streams of two seeds and their weights, whose squares add up to 1."""
    if first == last:
        return [(stream("image", first), 1.0)]
    angle = share * math.pi / 2
    return [(stream("image", first), math.cos(angle)), (stream("image", last), math.sin(angle))]
