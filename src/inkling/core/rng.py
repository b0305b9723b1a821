"""Random number generators from keys: one for each (seed, purpose, step) and for each image.

The keys are hashed, so no generator depends on how many numbers another one has drawn.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def number(*keys: int | str, size: int = 7) -> int:
    """An integer of `size` bytes that depends on the keys alone, to use as a seed."""
    text = "\x1f".join(map(str, keys)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:size], "big")


def stream(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on the keys alone, e.g. `stream(seed, "noise", step)`.

    On the CPU torch reads the low 32 bits of its seed: enough for the steps of a run, where a pair
    that draws the same numbers does no harm.
    """
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
            _interpolated(*seed) if isinstance(seed, tuple) else [(_image_stream(seed), 1.0)]
            for seed in seeds
        ]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """`[len(seeds), *shape]` float32, on the CPU."""
        size = tuple(shape)
        noise = [
            sum(weight * generator.standard_normal(size, np.float32) for generator, weight in parts)
            for parts in self.streams
        ]
        return torch.from_numpy(np.stack(noise)) if noise else torch.zeros(0, *size)

    def __call__(self, like: Tensor) -> Tensor:
        return self.draw(like.shape[1:]).to(like)


def _image_stream(seed: int) -> np.random.Generator:
    """The generator of an image: Philox (Salmon et al. 2011), whose key is all of the hash.

    torch's generator on the CPU reads 32 bits of a seed, so that among a hundred thousand images
    two would be drawn from the same noise.
    """
    return np.random.Generator(np.random.Philox(key=number("image", int(seed), size=16)))


def _interpolated(
    first: int, last: int, fraction: float
) -> list[tuple[np.random.Generator, float]]:
    """The generators of two seeds and their weights, whose squares add up to 1."""
    if first == last:
        return [(_image_stream(first), 1.0)]
    angle = fraction * math.pi / 2
    return [(_image_stream(first), math.cos(angle)), (_image_stream(last), math.sin(angle))]
