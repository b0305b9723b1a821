"""The denoiser `D(x; sigma, cond)` and the loss that trains it.

The only file that knows what a network predicts: a prediction is three scalars with
`D = c_skip x + c_out F(c_in x, log(sigma)/4, cond)`. All other code works with estimates of the
clean image.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError
from inkling.registry import Registry


class Scalings(NamedTuple):
    """`D = skip * x + out * F(in_ * x)`; each shaped like sigma."""

    skip: Tensor
    out: Tensor
    in_: Tensor


Prediction = Callable[[Tensor, float], Scalings]


def eps(sigma: Tensor, sigma_data: float) -> Scalings:
    """`F` is the noise (Ho et al. 2020, eq. 14)."""
    return Scalings(torch.ones_like(sigma), -sigma, (1 + sigma.square()).rsqrt())


def x0(sigma: Tensor, sigma_data: float) -> Scalings:
    """`F` is the clean image."""
    return Scalings(torch.zeros_like(sigma), torch.ones_like(sigma), (1 + sigma.square()).rsqrt())


def v(sigma: Tensor, sigma_data: float) -> Scalings:
    """`F` is `alpha * noise - sigma_vp * x0` (Salimans & Ho 2022, section 4)."""
    scale = (1 + sigma.square()).rsqrt()
    return Scalings(scale.square(), -sigma * scale, scale)


def flow(sigma: Tensor, sigma_data: float) -> Scalings:
    """`F` is the velocity `noise - x0` of the straight path (Lipman et al. 2023, eq. 23)."""
    return Scalings(1 / (1 + sigma), -sigma / (1 + sigma), 1 / (1 + sigma))


def edm(sigma: Tensor, sigma_data: float) -> Scalings:
    """Unit-variance input and target (Karras et al. 2022, table 1)."""
    scale = (sigma.square() + sigma_data**2).rsqrt()
    return Scalings(sigma_data**2 * scale.square(), sigma * sigma_data * scale, scale)


def _function(thing: Any, _name: str) -> Callable[..., Any] | None:
    return thing if callable(thing) and not isinstance(thing, type) else None


PREDICTIONS: Registry[Prediction] = Registry(
    {"eps": eps, "x0": x0, "v": v, "flow": flow, "edm": edm},
    _function,
    "a prediction: a function (sigma, sigma_data) -> Scalings",
    {
        "noise": "eps",
        "epsilon": "eps",
        "sample": "x0",
        "xstart": "x0",
        "vprediction": "v",
        "velocity": "v",
        "flowmatching": "flow",
    },
)


Weighting = Callable[[Tensor, Scalings, float], Tensor]
"""`(sigma, scalings, sigma_data) -> weight of the squared error of F`, shaped like sigma."""


def uniform_weight(sigma: Tensor, scalings: Scalings, sigma_data: float) -> Tensor:
    """Weight 1: the plain error of `F`."""
    return torch.ones_like(sigma)


def edm_weight(sigma: Tensor, scalings: Scalings, sigma_data: float) -> Tensor:
    """`(sigma^2 + sd^2)/(sigma sd)^2` on the x0 error (Karras et al. 2022, table 1).

    With the `edm` prediction this is exactly the uniform weight.
    """
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square() * scalings.out.square()


def min_snr_weight(
    sigma: Tensor, scalings: Scalings, sigma_data: float, gamma: float = 5.0
) -> Tensor:
    """`min(SNR, gamma)` on the x0 error (Hang et al. 2023, eq. 6).

    Written without a division by the SNR, so it stays finite as the signal vanishes.
    """
    return scalings.out.square() * (1 / sigma.square()).clamp(max=gamma)


WEIGHTINGS: Registry[Weighting] = Registry(
    {"uniform": uniform_weight, "edm": edm_weight, "min_snr": min_snr_weight},
    _function,
    "a weighting: a function (sigma, scalings, sigma_data) -> weight",
)

PENALTIES: Registry[Callable[[Tensor, Tensor], Tensor]] = Registry(
    {
        "mse": lambda output, target: F.mse_loss(output, target, reduction="none"),
        "l1": lambda output, target: F.l1_loss(output, target, reduction="none"),
        "huber": lambda output, target: F.huber_loss(output, target, reduction="none"),
    },
    _function,
    "a loss: a function (output, target) -> error of every element",
)
"""Each takes (output, target) of one shape and returns the error of every element."""


def target_of(clean: Tensor, noisy: Tensor, scalings: Scalings) -> Tensor:
    """The regression target of `F`: `(x0 - c_skip x)/c_out`, [B, C, H, W]."""
    return (clean - scalings.skip * noisy) / scalings.out


class Denoiser(nn.Module):
    """A raw network and its prediction, together called as `D(x; sigma, cond)`."""

    def __init__(self, network: nn.Module, prediction: str = "edm", sigma_data: float = 0.5):
        super().__init__()
        self.network = network
        self.prediction = PREDICTIONS[prediction]
        self.sigma_data = sigma_data

    def scalings(self, sigma: Tensor) -> Scalings:
        """The three scalars at noise levels [...], in float32 or better."""
        return self.prediction(sigma, self.sigma_data)

    def raw(self, x: Tensor, sigma: Tensor, cond: Cond, scalings: Scalings) -> Tensor:
        """The raw network's output `F`, float32 [B, C, H, W], for sigma [B]."""
        output: Tensor = self.network((scalings.in_ * x).float(), sigma.float().log() / 4, cond)
        if output.shape != x.shape:  # by broadcasting it might learn nonsense unnoticed
            raise UserError(
                f"the network {type(self.network).__name__} returned {list(output.shape)} for "
                f"noisy pictures {list(x.shape)}; forward returns a tensor of their shape"
            )
        return output.float()

    def forward(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """The expected clean image, given `x`.

        Args:
            x: noisy images [B, C, H, W], `x0 + sigma * noise` with x0 in [-1, 1].
            sigma: noise level, [] for the batch or [B].
            cond: the condition, batch B.

        Returns:
            [B, C, H, W] in the dtype of `x`.
        """
        sigma = sigma.to(x.dtype).to(x.device).expand(len(x))  # dtype first: MPS has no float64
        scalings = self.scalings(sigma.view(-1, 1, 1, 1))
        return scalings.skip * x + scalings.out * self.raw(x, sigma, cond, scalings).to(x.dtype)

    def loss(
        self,
        clean: Tensor,
        noise: Tensor,
        sigma: Tensor,
        cond: Cond,
        penalty: str = "mse",
        weighting: str = "uniform",
    ) -> Tensor:
        """The weighted error of `F`, one number per image [B].

        Args:
            clean: [B, C, H, W] float32 in [-1, 1].
            noise: [B, C, H, W] standard normal.
            sigma: [B] noise levels.
            cond: the condition, batch B.
            penalty: a name in `PENALTIES`.
            weighting: a name in `WEIGHTINGS`.
        """
        noisy = clean + sigma.view(-1, 1, 1, 1) * noise
        return self.error(noisy, clean, sigma, cond, penalty, weighting)

    def error(
        self,
        noisy: Tensor,
        clean: Tensor,
        sigma: Tensor,
        cond: Cond,
        penalty: str = "mse",
        weighting: str = "uniform",
    ) -> Tensor:
        """The same for noisy images [B, C, H, W] and what should be estimated from them."""
        level = sigma.view(-1, 1, 1, 1)
        scalings = self.scalings(level)
        output = self.raw(noisy, sigma, cond, scalings)
        error = PENALTIES[penalty](output, target_of(clean, noisy, scalings))
        weight = WEIGHTINGS[weighting](level, scalings, self.sigma_data)
        return (weight * error).flatten(1).mean(1)
