"""Data whose optimal denoiser, score and likelihood are known: a mixture of Gaussians."""

import math

import torch
from torch import Tensor


class Mixture:
    """Two-pixel images [B, 2, 1, 1] from three Gaussians of one variance, all in closed form."""

    def __init__(self) -> None:
        self.means = torch.tensor([[-0.7, 0.1], [0.5, 0.6], [0.3, -0.6]], dtype=torch.float64)
        self.weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        self.sd = 0.15

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random clean images [count, 2, 1, 1] float64."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        return (self.means[which] + self.sd * noise)[:, :, None, None]

    def _logs(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(log weight times density of each mode [B, 3], variance [B or 1, 1])."""
        variance = self.sd**2 + sigma.double().flatten()[:, None].square()
        gaps = (x.flatten(1)[:, None] - self.means).square().sum(2)
        return self.weights.log() - gaps / (2 * variance) - variance.log(), variance

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Log-density of noisy images, [B], in nats."""
        logs, _ = self._logs(x, sigma)
        return logs.logsumexp(1) - math.log(2 * math.pi)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """`E[x0 | x]`, for sigma [] or [B]."""
        logs, variance = self._logs(x, sigma)
        shrink = self.sd**2 / variance[:, :, None]  # [B or 1, 1, 1]
        each = self.means + shrink * (x.flatten(1)[:, None] - self.means)
        expected = (logs.softmax(1)[:, :, None] * each).sum(1)
        return expected[:, :, None, None]
