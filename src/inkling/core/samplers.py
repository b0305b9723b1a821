"""Samplers: from noise to an image along a falling grid of noise levels.

Each is a generator `(denoise, x, sigmas, *, randn_like) -> Iterator[Step]`. It takes any strictly
falling grid, ending in 0 or not, keeps the dtype of `x`, and is independent of guidance and noise
schedule. Most are built on one primitive, `towards`. A new sampler is one function and one entry
in `SAMPLERS` with its order and cost.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from inkling.contracts import Denoise, Step
from inkling.errors import UserError
from inkling.registry import Registry

RandnLike = Callable[[Tensor], Tensor]


class Sampler(Protocol):
    """The signature of a sampler."""

    def __call__(
        self, denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = ...
    ) -> Iterator[Step]: ...


def towards(x: Tensor, x0: Tensor, now: Tensor, nxt: Tensor) -> Tensor:
    """Move `x` at level `now` along the line through `x0` to level `nxt`."""
    return x0 + nxt / now * (x - x0)


def ancestral(now: Tensor, nxt: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """(down, up): how far to denoise and how much noise to add, `down^2 + up^2 = nxt^2`.

    `eta = 1` is the DDPM posterior (Ho et al. 2020, eq. 7), `eta = 0` adds nothing
    (Song et al. 2021, eq. 16).
    """
    up = eta * nxt * (now.square() - nxt.square()).clamp(min=0).sqrt() / now
    return (nxt.square() - up.square()).clamp(min=0).sqrt(), up


def _log_gap(now: Tensor, nxt: Tensor) -> Tensor:
    """The step length in exponential integrators: half the increase of the log-SNR."""
    return (now / nxt).log()


def ddim(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    eta: float = 0.0,
    randn_like: RandnLike = torch.randn_like,
) -> Iterator[Step]:
    """DDIM (Song et al. 2021, eq. 12): Euler on the probability-flow ODE when `eta = 0`.

    So `euler` of `SAMPLERS` is this function too, without its `eta`.

    Args:
        denoise: `(x, sigma []) -> x0`.
        x: [B, C, H, W] at level `sigmas[0]`.
        sigmas: [steps + 1], strictly falling, ending in 0 or not.
        eta: amount of fresh noise, 0 (none) to 1 (ancestral, DDPM).
        randn_like: draws the noise.
    """
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        down, up = ancestral(now, nxt, eta)
        x = towards(x, x0, now, down)
        if up > 0:
            x = x + up * randn_like(x)
        yield Step(index, nxt, x, x0)


def ddpm(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = torch.randn_like
) -> Iterator[Step]:
    """Ancestral sampling (Ho et al. 2020, algorithm 2), in any number of steps."""
    return ddim(denoise, x, sigmas, eta=1.0, randn_like=randn_like)


def heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = torch.randn_like
) -> Iterator[Step]:
    """Heun's method (Karras et al. 2022, algorithm 1): two calls a step, one for a step to 0."""
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        slope = (x - x0) / now
        ahead = x + (nxt - now) * slope
        if nxt > 0:
            slope = (slope + (ahead - denoise(ahead, nxt)) / nxt) / 2
        x = x + (nxt - now) * slope
        yield Step(index, nxt, x, x0)


def dpmpp_2m(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = torch.randn_like
) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order at one call a step.

    The first step and a step to 0 are first order. A step to 0 has infinite length in log-SNR, so
    the slope of the previous step cannot be extrapolated over it.
    """
    before = x0_before = None
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        target = x0
        if before is not None and x0_before is not None and nxt > 0:
            ratio = _log_gap(before, now) / _log_gap(now, nxt)
            target = x0 + (x0 - x0_before) / (2 * ratio)
        x = towards(x, target, now, nxt)
        before, x0_before = now, x0
        yield Step(index, nxt, x, x0)


def dpmpp_2s(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = torch.randn_like
) -> Iterator[Step]:
    """DPM-Solver++(2S) (Lu et al. 2022, algorithm 1): two calls a step, one for a step to 0.

    The second call is at the geometric mean of the step's two noise levels.
    """
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        if nxt > 0:
            middle = (now * nxt).sqrt()
            x0 = denoise(towards(x, x0, now, middle), middle)
        x = towards(x, x0, now, nxt)
        yield Step(index, nxt, x, x0)


def unipc(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, randn_like: RandnLike = torch.randn_like
) -> Iterator[Step]:
    """UniPC of order 2 in its `B2` form (Zhao et al. 2023, algorithms 1 and 2), one call a step.

    Each call is used twice: to correct the previous step and to predict the next one. The step to
    0 is first order, as in `dpmpp_2m`, and is not corrected.
    """
    past: list[tuple[Tensor, Tensor]] = []  # the last two (sigma, x0), newest last
    start = x
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        if past:
            x = towards(start, _corrected_target(past, now, x0), past[-1][0], now)
        target = x0
        if past and nxt > 0:
            before, x0_before = past[-1]
            target = x0 + (x0 - x0_before) / (2 * _log_gap(before, now) / _log_gap(now, nxt))
        start = x
        x = towards(x, target, now, nxt)
        past = [*past[-1:], (now, x0)]
        yield Step(index, nxt, x, x0)


def _corrected_target(past: list[tuple[Tensor, Tensor]], now: Tensor, x0: Tensor) -> Tensor:
    """The corrected target of the step that ended at `now` (Zhao et al. 2023, eq. 5)."""
    sigma, x0_start = past[-1]
    h = -_log_gap(sigma.double(), now.double())
    phi_1 = h.expm1()
    phi_2 = phi_1 / h - 1
    first = phi_2 / phi_1
    if len(past) == 1:
        return x0_start + (x0 - x0_start) / 2
    older, x0_older = past[-2]
    ratio = _log_gap(older.double(), sigma.double()) / h  # negative: an earlier step
    second = 2 * (phi_2 / h - 0.5) / phi_1
    weight_old = (first - second) / (1 - ratio)
    return (
        x0_start
        + weight_old / ratio * (x0_older - x0_start)
        + (first - weight_old) * (x0 - x0_start)
    )


class Solver(NamedTuple):
    """A sampler with its order and cost; called like the sampler itself."""

    function: Sampler
    order: int = 1
    """Order of convergence to the exact solution, at least."""
    calls_per_step: int = 1
    """Evaluations of the denoiser in a step; a step to 0 takes one in every sampler here."""
    stochastic: bool = False
    """Whether it adds noise in its steps."""
    takes_eta: bool = False
    """Whether it has `eta`, an amount of fresh noise from 0 (none) to 1 (ancestral)."""

    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        sigmas: Tensor,
        *,
        randn_like: RandnLike = torch.randn_like,
    ) -> Iterator[Step]:
        """Run the sampler."""
        return self.function(denoise, x, sigmas, randn_like=randn_like)

    def with_eta(self, eta: float) -> "Solver":
        """This sampler with an amount of fresh noise in its steps, if it takes one."""
        if not (eta and self.takes_eta):
            return self
        function: Callable[..., Any] = self.function
        return self._replace(function=partial(function, eta=eta), stochastic=True)

    def calls(self, steps: int) -> int:
        """Evaluations of the denoiser (NFE) in a run of `steps` steps that ends in 0."""
        return self.calls_per_step * (steps - 1) + 1

    def steps(self, calls: int) -> int:
        """The most steps, at least one, in so many evaluations (NFE); the inverse of `calls`."""
        return (max(calls, 1) - 1) // self.calls_per_step + 1


def _as_solver(thing: Any, name: str) -> Solver | None:
    """A user's sampler: a function, of first order at one call a step, or a `Solver`."""
    solver = thing if isinstance(thing, Solver) else Solver(thing)
    try:
        inspect.signature(solver.function).bind(None, None, None, randn_like=None)
    except (TypeError, ValueError):
        return None
    return solver._replace(function=partial(_yielding, solver.function, name))


def _yielding(
    function: Sampler,
    name: str,
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    randn_like: RandnLike = torch.randn_like,
    **options: float,
) -> Iterator[Step]:
    """A user's sampler, held to its signature.

    Raises:
        UserError: it yields something else than steps, or nothing.
    """
    steps: Any = function(denoise, x, sigmas, randn_like=randn_like, **options)
    step = None
    for step in steps if isinstance(steps, Iterator) else [steps]:
        if not isinstance(step, Step):
            raise UserError(
                f"{name} gave {type(step).__name__} where a Step was due; a sampler yields "
                "Step(index, sigma, x, x0) after each solver step"
            )
        yield step
    if step is None:
        raise UserError(f"{name} yielded no Step; a sampler yields one after each solver step")


_ENTRIES = {
    "euler": Solver(ddim),
    "ddim": Solver(ddim, takes_eta=True),
    "ddpm": Solver(ddpm, stochastic=True),
    "heun": Solver(heun, order=2, calls_per_step=2),
    "dpmpp_2m": Solver(dpmpp_2m, order=2),
    "dpmpp_2s": Solver(dpmpp_2s, order=2, calls_per_step=2),
    "unipc": Solver(unipc, order=3),
}
_ELSEWHERE = {
    **dict.fromkeys(("dpm", "dpmpp", "dpmsolver", "dpmsolverpp", "dpmsolver2m"), "dpmpp_2m"),
    **dict.fromkeys(("dpmsolvermultistep", "dpmpp2mkarras"), "dpmpp_2m"),
    **dict.fromkeys(("dpmsolversinglestep", "dpm2s", "dpm2"), "dpmpp_2s"),
    **dict.fromkeys(("ancestral", "eulera", "eulerancestral"), "ddpm"),
    **dict.fromkeys(("keuler", "eulerdiscrete", "ode"), "euler"),
    **dict.fromkeys(("edm", "heundiscrete", "heun2"), "heun"),
}
"""Our samplers by the names of other libraries, without capitals and signs."""
SAMPLERS = Registry(
    _ENTRIES,
    _as_solver,
    "a sampler: a generator (denoise, x, sigmas, *, randn_like) with these names, or a Solver",
    _ELSEWHERE,
)


def check_sampler(name: str, eta: float = 0.0) -> None:
    """Refuse a sampler that there is not, or fresh noise for one that takes none.

    Raises:
        UserError: the nearest is offered.
    """
    if name not in SAMPLERS:
        raise SAMPLERS.unknown(name, "sampler")
    if eta and not SAMPLERS[name].takes_eta:
        fit = " or ".join(each for each, solver in SAMPLERS.items() if solver.takes_eta)
        raise UserError(
            f"eta={eta:g} adds fresh noise to the steps of {fit}, and {name} takes none; sample "
            f"with {fit}, or leave eta at 0"
        )
