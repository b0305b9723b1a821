"""Noise schedules: monotone maps `u in [0, 1] -> sigma` for images `x = x0 + sigma * noise`.

`u = 0` is the cleanest level and `u = 1` the noisiest. Training draws `u` uniformly; sampling takes
a falling grid of `u`. Every schedule has finite ends and is independent of network and sampler.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from math import inf
from typing import Any, Protocol

import torch
from torch import Tensor

from inkling.errors import UserError, unknown_name
from inkling.registry import Registry


class Schedule(Protocol):
    """Anything with `sigma(u)`: monotone in `u`, finite at both ends."""

    def sigma(self, u: Tensor) -> Tensor:
        """Noise levels [...] for coordinates `u` [...] in [0, 1]."""
        ...


_MOST_TIMESTEPS = 1_000_000
_LEAST_SIGMA, _MOST_SIGMA = 1e-6, 1e7
"""Noise levels within which losses and scalings are finite in float32."""


def _require(ok: bool, schedule: object, need: str) -> None:
    """Refuse values for which a schedule would not be finite, positive and rising.

    Raises:
        UserError: it shows the values.
    """
    if not ok:
        raise UserError(f"{schedule} is no noise schedule: it needs {need}")


def sigma_from_abar(abar: Tensor) -> Tensor:
    """The noise level of a variance-preserving process, `sqrt((1 - abar)/abar)`."""
    return ((1 - abar) / abar).sqrt()


def abar_from_sigma(sigma: Tensor) -> Tensor:
    """The signal variance `abar = 1/(1 + sigma^2)` of the variance-preserving process."""
    return 1 / (1 + sigma.square())


def _read_table(table: Tensor, u: Tensor) -> Tensor:
    """Sigmas at `u` in [0, 1] from a rising table, interpolated geometrically."""
    position = u.double().clamp(0, 1) * (len(table) - 1)
    low = position.floor().long().clamp(max=max(len(table) - 2, 0))
    fraction = position - low
    logs = table.log().to(u.device)
    high = (low + 1).clamp(max=len(table) - 1)
    return torch.lerp(logs[low], logs[high], fraction).exp().to(u.dtype)


@dataclass(frozen=True, slots=True)
class Linear:
    """Betas rising linearly (Ho et al. 2020, section 4)."""

    beta_start: float = 1e-4
    beta_end: float = 0.02
    timesteps: int = 1000

    def __post_init__(self) -> None:
        need = f"0 < beta_start <= beta_end < 1 and 2 to {_MOST_TIMESTEPS:,} timesteps"
        known = 0 < self.beta_start <= self.beta_end < 1
        _require(known and 2 <= self.timesteps <= _MOST_TIMESTEPS, self, need)

    def betas(self) -> Tensor:
        """[timesteps] float64."""
        return torch.linspace(self.beta_start, self.beta_end, self.timesteps, dtype=torch.float64)

    def sigma(self, u: Tensor) -> Tensor:
        """[...] like `u`."""
        return _read_table(sigma_from_abar((1 - self.betas()).cumprod(0)), u)


@dataclass(frozen=True, slots=True)
class Cosine:
    """`abar = cos^2` of time, betas clipped (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008
    max_beta: float = 0.999
    timesteps: int = 1000

    def __post_init__(self) -> None:
        need = f"offset >= 0, 0 < max_beta < 1 and 2 to {_MOST_TIMESTEPS:,} timesteps"
        known = 0 <= self.offset < inf and 0 < self.max_beta < 1
        _require(known and 2 <= self.timesteps <= _MOST_TIMESTEPS, self, need)

    def betas(self) -> Tensor:
        """[timesteps] float64."""
        time = torch.linspace(0, 1, self.timesteps + 1, dtype=torch.float64)
        abar = ((time + self.offset) / (1 + self.offset) * math.pi / 2).cos().square()
        return (1 - abar[1:] / abar[:-1]).clamp(max=self.max_beta)

    def sigma(self, u: Tensor) -> Tensor:
        """[...] like `u`."""
        return _read_table(sigma_from_abar((1 - self.betas()).cumprod(0)), u)


@dataclass(frozen=True, slots=True)
class Karras:
    """Even steps in `sigma^(1/rho)` (Karras et al. 2022, eq. 5)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        need = "0 < sigma_min < sigma_max, both finite, and rho from 0.1 to 1000"
        _require(0 < self.sigma_min < self.sigma_max < inf, self, need)
        _require(0.1 <= self.rho <= 1000, self, need)

    def sigma(self, u: Tensor) -> Tensor:
        """[...] like `u`."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        scaled: Tensor = low + u * (high - low)
        return scaled.pow(self.rho)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """`ln sigma ~ N(mean, std^2)`, truncated at both ends (Karras et al. 2022, table 1).

    The same distribution as normal `logit(t)` in flow matching (Esser et al. 2024, eq. 19).
    """

    mean: float = -1.2
    std: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        need = "0 < sigma_min < sigma_max, both finite, and std > 0"
        _require(0 < self.sigma_min < self.sigma_max < inf and 0 < self.std < inf, self, need)
        low, high = self._ends()
        _require(high - low > 1e-6, self, "more than a millionth of its mass between its ends")

    def _ends(self) -> tuple[float, float]:
        """The quantiles of `sigma_min` and `sigma_max` before truncation."""
        ends = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64)
        low, high = torch.special.ndtr((ends.log() - self.mean) / self.std).tolist()
        return low, high

    def sigma(self, u: Tensor) -> Tensor:
        """[...] like `u`."""
        low, high = self._ends()
        quantile = torch.special.ndtri(low + u.double() * (high - low))
        sigma: Tensor = (self.mean + self.std * quantile).exp()
        return sigma.clamp(self.sigma_min, self.sigma_max).to(u.dtype)


@dataclass(frozen=True, slots=True)
class Flow:
    """Uniform time of the straight path, `sigma = shift * t/(1 - t)` (Esser et al. 2024, eq. 23).

    Stops short of `t = 1`, where sigma would be infinite. Shifting time *is* scaling sigma.
    """

    shift: float = 1.0
    t_min: float = 0.001
    t_max: float = 0.999

    def __post_init__(self) -> None:
        need = "shift > 0 and 0 < t_min < t_max < 1"
        _require(0 < self.shift < inf and 0 < self.t_min < self.t_max < 1, self, need)

    def sigma(self, u: Tensor) -> Tensor:
        """[...] like `u`."""
        t = self.t_min + u * (self.t_max - self.t_min)
        sigma: Tensor = self.shift * t / (1 - t)
        return sigma


def _as_schedule(thing: Any, _name: str) -> type[Any] | None:
    return thing if isinstance(thing, type) and is_dataclass(thing) else None


SCHEDULES: Registry[type[Any]] = Registry(
    {
        "linear": Linear,
        "cosine": Cosine,
        "karras": Karras,
        "lognormal": LogNormal,
        "flow": Flow,
    },
    _as_schedule,
    "a schedule: a dataclass with sigma(u), its fields the options, each with a default",
)


def make_schedule(name: str, options: Mapping[str, float]) -> Schedule:
    """A schedule by name, its options checked.

    Args:
        name: a key of `SCHEDULES`.
        options: its fields by name.

    Raises:
        UserError: no such schedule or option, or values for which it is not finite, positive and
            rising.
    """
    if name not in SCHEDULES:
        raise UserError(unknown_name(name, SCHEDULES, "schedule"))
    known = SCHEDULES[name].__dataclass_fields__
    typed: dict[str, Any] = {}
    for option, value in options.items():
        if option not in known:
            raise UserError(unknown_name(option, known, f"option of the schedule {name!r}:"))
        whole = known[option].type is int
        if whole and not float(value).is_integer():
            raise UserError(f"{option}={value:g} of the schedule {name!r} is no whole number")
        typed[option] = int(value) if whole else value
    made: Schedule = SCHEDULES[name](**typed)
    low, high = ends_of(made)
    need = f"rising levels between {_LEAST_SIGMA:g} and {_MOST_SIGMA:g}, not {low:g} to {high:g}"
    _require(_LEAST_SIGMA <= low < high <= _MOST_SIGMA, made, need)
    return made


def grid(schedule: Schedule, steps: int) -> Tensor:
    """The noise levels of a sampling run: [steps + 1] float64, strictly falling, ending in 0."""
    if not isinstance(steps, int) or steps < 1:
        raise UserError(f"steps={steps!r} of a sampling grid: give a whole number >= 1")
    u = torch.linspace(1, 0, steps, dtype=torch.float64)
    return torch.cat([schedule.sigma(u), torch.zeros(1, dtype=torch.float64)])


def ends_of(schedule: Schedule) -> tuple[float, float]:
    """The smallest and the largest noise level of a schedule."""
    low, high = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    return low, high


def karras(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Tensor:
    """The grid of Karras et al. 2022 (eq. 5): [steps + 1] float64, falling, ending in 0."""
    return grid(Karras(sigma_min, sigma_max, rho), steps)
