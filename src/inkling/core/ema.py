"""EMAs of the weights. Only parameters are averaged, never buffers."""

import math
from collections.abc import Iterable
from typing import NamedTuple

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
    averaging window grows with the run. `decay` is the classical constant decay instead, with the
    usual warm-up `(1 + t)/(10 + t)`.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, width: float = 0.05, decay: float | None = None
    ):
        self.live = list(parameters)
        self.average = [p.detach().clone() for p in self.live]
        self.power = power_from_width(width)
        self.decay = decay

    def keep(self, step: int) -> float:
        """The decay of the average at optimiser step `step`, counted from 1.

        A constant decay is approached from below, or its average would be made of the initial
        weights for as long as 1/(1 - decay) steps.
        """
        if self.decay is not None:
            return min(self.decay, (1 + step) / (10 + step))
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


class PosthocMix(NamedTuple):
    """How to mix stored averages into another one."""

    weights: Tensor
    """[N] float64, one for each stored average; they sum to 1."""
    residual: float
    """Distance of the mixture's weighting of training time from the target's, relative to it."""


def posthoc_mix(times: Tensor, powers: Tensor, time: float, power: float) -> PosthocMix:
    """The mixture of stored averages that best approximates a target average.

    Least squares between the weightings of training time (Karras et al. 2024, algorithm 3), among
    mixtures whose weights sum to 1: otherwise the mixed weights of the network would shrink.

    Args:
        times: [N] steps at which averages were stored.
        powers: [N] their exponents `gamma`.
        time: the step at which the target average ends.
        power: its exponent.
    """
    times, powers = times.double(), powers.double()
    end, gamma = (torch.tensor(float(each), dtype=torch.float64) for each in (time, power))
    gram = _overlap(times[:, None], powers[:, None], times[None, :], powers[None, :])  # [N, N]
    target = _overlap(times, powers, end, gamma)  # [N]
    whole = _overlap(end, gamma, end, gamma)
    # Weights and Lagrange multiplier; the overlaps are brought to the size of the constraint.
    ones = torch.ones(len(times), 1, dtype=torch.float64)
    system = torch.cat(
        [torch.cat([gram / whole, ones], 1), torch.cat([ones.T, ones.new_zeros(1, 1)], 1)]
    )
    sides = torch.cat([target / whole, ones.new_ones(1)])[:, None]
    mix: Tensor = torch.linalg.lstsq(system, sides, driver="gelsd").solution[:-1, 0]
    square = (whole - 2 * mix @ target + mix @ gram @ mix) / whole
    return PosthocMix(mix, math.sqrt(max(0.0, square.item())))


def _overlap(time_a: Tensor, power_a: Tensor, time_b: Tensor, power_b: Tensor) -> Tensor:
    """Integral of the product of two weightings `(gamma + 1) tau^gamma / t^(gamma + 1)`."""
    ratio = time_a / time_b
    exponent = torch.where(time_a < time_b, power_b, -power_a)
    latest = torch.maximum(time_a, time_b)
    return (power_a + 1) * (power_b + 1) * ratio**exponent / ((power_a + power_b + 1) * latest)
