"""A convolutional autoencoder: pictures to small latents and back."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.nets.blocks import downsample, upsample, zeroed
from inkling.nets.configs import AutoencoderConfig
from inkling.nets.network import matrices
from inkling.nets.norm import group_norm


class _Block(nn.Module):
    """Two 3x3 convolutions around the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = group_norm(width), group_norm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:  # [B, D, H, W]
        h = self.conv1(F.silu(self.norm1(x)))  # [B, D, H, W]
        out: Tensor = x + self.conv2(F.silu(self.norm2(h)))  # [B, D, H, W]
        return out


class Autoencoder(nn.Module):
    """Encoder and decoder; each level after the first halves height and width.

    Args:
        channels: of the pictures.
        config: everything else.
    """

    def __init__(self, channels: int, config: AutoencoderConfig = AutoencoderConfig()):
        super().__init__()
        widths, count = config.widths, config.blocks
        self.channels, self.latent_channels = channels, config.latent_channels
        self.factor = 2 ** (len(widths) - 1)
        self.gaussian = config.bottleneck == "kl"
        down: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
        for fine, coarse in pairwise(widths):
            down += [*(_Block(fine) for _ in range(count)), downsample("shuffle", fine, coarse)]
        down += [*(_Block(widths[-1]) for _ in range(count)), group_norm(widths[-1]), nn.SiLU()]
        self.encoder = nn.Sequential(*down)
        parts = 2 if self.gaussian else 1
        self.to_latent = nn.Conv2d(widths[-1], parts * config.latent_channels, 1)
        up: list[nn.Module] = [nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)]
        for coarse, fine in pairwise(reversed(widths)):
            up += [*(_Block(coarse) for _ in range(count)), upsample("shuffle", coarse, fine)]
        up += [*(_Block(widths[0]) for _ in range(count)), group_norm(widths[0]), nn.SiLU()]
        self.decoder = nn.Sequential(*up)
        self.head = nn.Conv2d(widths[0], channels, 3, padding=1)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """For Muon: all but the layers at pictures and latents."""
        ends = [self.encoder[0], self.to_latent, self.decoder[0], self.head]
        return matrices(self, without=ends)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, log variance) [B, c, h, w] each of the latents of pictures x [B, C, H, W]."""
        found = self.to_latent(self.encoder(x))  # [B, c or 2 c, h, w]
        if not self.gaussian:
            return found, torch.full_like(found, -torch.inf)
        mean, log_variance = found.chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def encode(self, x: Tensor) -> Tensor:
        """The mean latents [B, c, h, w] of pictures [B, C, H, W] in [-1, 1]."""
        return self.posterior(x)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures [B, C, H, W], about in [-1, 1], of latents [B, c, h, w]."""
        pictures: Tensor = self.head(self.decoder(latents))
        return pictures

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction [B, C, H, W], KL divergence in nats a latent value [B]).

        The divergence is that of the posterior from the standard normal (Kingma & Welling 2014,
        appendix B); 0 for a plain bottleneck.

        Args:
            x: pictures in [-1, 1].
            noise: [B, c, h, w] standard normal, for one sample of the posterior.
        """
        mean, log_variance = self.posterior(x)
        if not self.gaussian:
            return self.decode(mean), x.new_zeros(len(x))
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        sample = mean + (log_variance / 2).exp() * noise
        return self.decode(sample), divergence.flatten(1).mean(1)
