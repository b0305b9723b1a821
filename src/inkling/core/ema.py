"""EMAs of the weights. Only parameters are averaged, never buffers."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from inkling.system.distributed import to_local


def power_from_width(width: float) -> float:
    """The exponent `gamma` of the power-function average whose relative width is `width`.

    Karras et al. 2024, eq. 127: `width^2 = (gamma + 1)/((gamma + 2)^2 (gamma + 3))`, solved by
    bisection. `width` is the standard deviation of the weighting in units of training time.
    """
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = math.sqrt((low + 1) * (high + 1)) - 1
        if (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > width**2:
            low = middle
        else:
            high = middle
    return low


class Ema:
    """A running average of parameters, in their dtype and on their device.

    `width` weights step `tau` of `t` by `(tau/t)^gamma` (Karras et al. 2024, eq. 121), so the
    averaging window grows with the run. `decay` is the classical constant decay instead.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, width: float = 0.05, decay: float | None = None
    ):
        self.live = list(parameters)
        self.average = [p.detach().clone() for p in self.live]
        self.power = power_from_width(width)
        self.decay = decay

    def keep(self, step: int) -> float:
        """The decay of the average at optimiser step `step`, counted from 1."""
        if self.decay is not None:
            return self.decay
        return float((1 - 1 / step) ** (self.power + 1))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average the live parameters in after optimiser step `step`, counted from 1."""
        average, live = ([to_local(p.detach()) for p in each] for each in (self.average, self.live))
        torch._foreach_lerp_(average, live, 1 - self.keep(step))

    @torch.no_grad()
    def swap(self) -> None:
        """Swap average and live parameters; a second call undoes it."""
        for live, average in zip(self.live, self.average, strict=True):
            backup = live.detach().clone()
            live.copy_(average)
            average.copy_(backup)


def posthoc_weights(times: Tensor, powers: Tensor, time: float, power: float) -> Tensor:
    """Coefficients of stored averages whose sum best approximates a target average, [N] float64.

    Least squares between the weightings of training time (Karras et al. 2024, algorithm 3).

    Args:
        times: [N] steps at which averages were stored.
        powers: [N] their exponents `gamma`.
        time: the step at which the target average ends.
        power: its exponent.
    """
    times, powers = times.double(), powers.double()
    gram = _overlap(times[:, None], powers[:, None], times[None, :], powers[None, :])
    target = _overlap(times, powers, torch.tensor(float(time)), torch.tensor(float(power)))
    mix: Tensor = torch.linalg.lstsq(gram, target[:, None], driver="gelsd").solution[:, 0]
    return mix


def _overlap(time_a: Tensor, power_a: Tensor, time_b: Tensor, power_b: Tensor) -> Tensor:
    """Integral of the product of two weightings `(gamma + 1) tau^gamma / t^(gamma + 1)`."""
    ratio = time_a / time_b
    exponent = torch.where(time_a < time_b, power_b, -power_a)
    latest = torch.maximum(time_a, time_b)
    return (power_a + 1) * (power_b + 1) * ratio**exponent / ((power_a + power_b + 1) * latest)
