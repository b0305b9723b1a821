"""Codecs map pictures to what a denoiser works on: their pixels, or latents of an autoencoder.

What needs pixels, such as clamping and likelihoods, asks `is_pixels`; nothing else differs.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from inkling.errors import UserError
from inkling.nets.autoencoder import Autoencoder
from inkling.pixels import from_bytes, to_bytes

_BATCH = 250
"""Pictures that are encoded at a time."""


class Codec(nn.Module, ABC):
    """Encodes pictures and decodes samples; nothing in it learns while a denoiser trains."""

    is_pixels: bool = False
    """Whether encoded values are pixels in [-1, 1], which clamping and likelihoods need."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] as float32 [B, c, h, w]."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Float [B, c, h, w] as pictures float32 [B, C, H, W], about in [-1, 1]."""

    @abstractmethod
    def encoded_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(c, h, w) of pictures (C, H, W).

        Raises:
            UserError: pictures that the codec does not fit.
        """

    def decode_to_bytes(self, x: Tensor) -> Tensor:
        """Float [B, c, h, w] as pictures uint8 [B, C, H, W] on the CPU.

        Raises:
            UserError: values that are not finite.
        """
        try:
            return to_bytes(self.decode(x))
        except ValueError as error:
            raise UserError(
                f"{error}: sampling diverged; try a lower guidance scale, more steps or another "
                "sampler, or train with a lower learning rate"
            ) from None


class PixelCodec(Codec):
    """The identity: a denoiser of pixels."""

    is_pixels = True

    def encode(self, images: Tensor) -> Tensor:
        return from_bytes(images)

    def decode(self, x: Tensor) -> Tensor:
        return x.float()

    def encoded_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape


class LatentCodec(Codec):
    """A trained autoencoder, its latents brought to mean 0 and standard deviation 1."""

    mean: Tensor
    """[c, 1, 1] of the latents, by channel."""
    std: Tensor
    """[c, 1, 1]."""

    def __init__(self, autoencoder: Autoencoder):
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        shape = (autoencoder.latent_channels, 1, 1)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def train(self, mode: bool = True) -> "LatentCodec":
        """Stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Measure mean and standard deviation of the latents on pictures uint8 [N, C, H, W]."""
        self.mean.zero_()
        self.std.fill_(1)
        latents = self.encode(images)
        self.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.std.copy_(latents.std((0, 2, 3)).clamp(min=1e-6)[:, None, None])

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        parts = [self.autoencoder.encode(from_bytes(part)) for part in torch.split(images, _BATCH)]
        return (torch.cat(parts) - self.mean) / self.std

    def decode(self, x: Tensor) -> Tensor:
        pictures: Tensor = self.autoencoder.decode(x.float() * self.std + self.mean)
        return pictures

    def encoded_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        channels, height, width = shape
        wanted, factor = self.autoencoder.channels, self.autoencoder.factor
        if channels != wanted:
            raise UserError(
                f"the codec reads pictures of {wanted} channels, and these have {channels}; set "
                f"data.channels={wanted}, or train a codec on these pictures"
            )
        if height % factor or width % factor:
            raise UserError(
                f"the codec makes one latent of {factor}x{factor} pixels, which does not divide "
                f"pictures of {width}x{height}; set data.size={max(1, height // factor) * factor}, "
                "or train a codec of fewer levels (autoencoder.widths)"
            )
        return self.autoencoder.latent_channels, height // factor, width // factor
