"""Random number generators from keys: one for each (seed, purpose, step) and for each image.

The keys are hashed, so no generator depends on how many numbers another one has drawn.
"""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def number(*keys: int | str) -> int:
    """An integer that depends on the keys alone, to use as a seed."""
    text = "\x1f".join(map(str, keys)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def stream(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on the keys alone, e.g. `stream(seed, "noise", step)`."""
    return torch.Generator(device).manual_seed(number(*keys))


def row_noise(
    shape: Sequence[int], rows: slice, *keys: int | str, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal noise [b, *shape] float32 for some rows of a batch.

    Every row has its own generator: a row is the same whichever process draws it, so each process
    draws only its own rows.
    """
    noise = [
        torch.randn(tuple(shape), generator=stream(*keys, row, device=device), device=device)
        for row in range(rows.start, rows.stop)
    ]
    return torch.stack(noise)


Seed = int | tuple[int, int, float]
"""The seed of an image; or two seeds and the fraction of the way from first to second, 0 to 1."""


class ImageNoise:
    """Standard normal noise in which every image has its own seed, whatever its batch.

    Called like `torch.randn_like`. Drawn on the CPU in float32, so it is the same on every device.
    Between two seeds noise is interpolated spherically, which keeps it standard normal.
    """

    def __init__(self, seeds: Sequence[Seed]):
        self.streams = [
            _interpolated(*seed) if isinstance(seed, tuple) else [(stream("image", int(seed)), 1.0)]
            for seed in seeds
        ]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """[len(seeds), *shape] float32, on the CPU."""
        noise = []
        for parts in self.streams:
            each = [weight * torch.randn(tuple(shape), generator=g) for g, weight in parts]
            noise.append(torch.stack(each).sum(0))
        return torch.stack(noise)

    def __call__(self, like: Tensor) -> Tensor:
        return self.draw(like.shape[1:]).to(like)


def _interpolated(first: int, last: int, fraction: float) -> list[tuple[torch.Generator, float]]:
    """The generators of two seeds and their weights, whose squares add up to 1."""
    if first == last:
        return [(stream("image", first), 1.0)]
    angle = fraction * math.pi / 2
    return [(stream("image", first), math.cos(angle)), (stream("image", last), math.sin(angle))]
