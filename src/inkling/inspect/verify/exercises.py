"""The exercises of the course, and what marks an answer: an exact one, and the usual mistakes."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.core.denoiser import v
from inkling.core.jumps import jump_target
from inkling.core.noise import Cosine, Karras
from inkling.core.samplers import ancestral, towards
from inkling.errors import UserError, unknown_name
from inkling.evaluate.intervals import of_a_share
from inkling.inspect.verify.check import Check
from inkling.inspect.verify.marking import Answer, Exercise, compared


def mark(exercise: str, answer: Answer) -> bool:
    """Print how an answer compares with the exact one; for notebooks.

    Args:
        exercise: a key of `EXERCISES`.
        answer: the function that was asked for.

    Returns:
        Whether it is right.

    Raises:
        UserError: no such exercise.
    """
    checks = list(marked(exercise, answer))
    for check in checks:
        print(f"{'ok   ' if check.ok else 'WRONG'} {check.name:20} {check.measured}")
    return all(check.ok for check in checks)


def marked(exercise: str, answer: Answer) -> Iterator[Check]:
    """An answer against the exact one, on three draws of arguments.

    Args:
        exercise: a key of `EXERCISES`.
        answer: the function that was asked for.

    Raises:
        UserError: no such exercise.
    """
    if exercise not in EXERCISES:
        raise UserError(unknown_name(exercise, EXERCISES, "exercise"))
    yield from compared(exercise, EXERCISES[exercise], answer)


def _by_picture(level: Tensor) -> Tensor:
    return level.view(-1, 1, 1, 1)


def _pictures(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two random tensors [3, 1, 4, 4], then noise levels [3] from 0.3 to 3.3."""
    one, other = (torch.randn(3, 1, 4, 4, generator=generator) for _ in range(2))
    return one, other, 0.3 + 3 * torch.rand(3, generator=generator)


def _level_between(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The same with the noise levels in the middle."""
    one, other, sigma = _pictures(generator)
    return one, sigma, other


def _jump(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two random tensors, then noise levels [3] and lower ones."""
    one, other, sigma = _pictures(generator)
    return one, other, sigma + 0.2, sigma


def _level(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two random pictures, then a noise level and a lower one, each []."""
    x, x0, levels = _pictures(generator)
    return x, x0, levels.max() + 0.1, levels.min()


def _gaussians(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means [4] and covariances [4, 4] of two Gaussians."""
    a, b = (torch.randn(8, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    return a.mean(0), a.T.cov(), b.mean(0) + 1, 2 * b.T.cov()


def _frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Of two Gaussians (Dowson & Landau 1982)."""
    roots: Tensor = torch.linalg.eigvals(cov_a @ cov_b).sqrt().real.sum()
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots


def _attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, keep[:, None, :])


def _tokens(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries [2, 5, 8], keys and values [2, 3, 8], and which tokens count [2, 3]."""
    q, k, v = (torch.randn(2, n, 8, generator=generator) for n in (5, 3, 3))
    return q, k, v, torch.tensor([[True, True, False], [True, True, True]])


def _cosine_sigma(t: Tensor, offset: float) -> Tensor:
    def signal(t: Tensor) -> Tensor:
        return ((t + offset) / (1 + offset) * math.pi / 2).cos().square()

    share = signal(t) / signal(torch.zeros(()))
    return ((1 - share) / share).sqrt()


def _wald(right: int, total: int) -> tuple[float, float]:
    share = right / total
    margin = 1.96 * math.sqrt(share * (1 - share) / total)
    return share - margin, share + margin


EXERCISES: dict[str, Exercise] = {
    "forward": Exercise(
        "noisy(x0 [B, C, H, W], sigma [B], noise [B, C, H, W]): the noisy pictures",
        lambda x0, sigma, noise: x0 + _by_picture(sigma) * noise,
        _level_between,
        {
            "sigma is a standard deviation, not a variance": lambda x0, sigma, noise: (
                x0 + _by_picture(sigma).sqrt() * noise
            ),
            "sigma is a standard deviation already; do not square it": lambda x0, sigma, noise: (
                x0 + _by_picture(sigma).square() * noise
            ),
            "the signal is not scaled here": lambda x0, sigma, noise: (
                (1 - _by_picture(sigma).square()).abs().sqrt() * x0 + _by_picture(sigma) * noise
            ),
        },
    ),
    "signal": Exercise(
        "alpha_bars(betas [T]): the fraction of the signal's variance left after each step, [T]",
        lambda betas: (1 - betas).cumprod(0),
        lambda generator: (0.05 * torch.rand(50, generator=generator),),
        {
            "multiply 1 - beta, not beta": lambda betas: betas.cumprod(0),
            "a product over steps, not a sum": lambda betas: 1 - betas.cumsum(0),
        },
    ),
    "sigma": Exercise(
        "sigmas(alpha_bars [T]): noise levels relative to the signal, [T]",
        lambda alpha_bars: ((1 - alpha_bars) / alpha_bars).sqrt(),
        lambda generator: (0.05 + 0.9 * torch.rand(50, generator=generator),),
        {"divide by the signal too": lambda alpha_bars: (1 - alpha_bars).sqrt()},
    ),
    "estimate": Exercise(
        "x0_from_eps(x [B, C, H, W], sigma [B], eps [B, C, H, W]): the estimated clean pictures",
        lambda x, sigma, eps: x - _by_picture(sigma) * eps,
        _level_between,
        {"noise is taken away, not added": lambda x, sigma, eps: x + _by_picture(sigma) * eps},
    ),
    "velocity": Exercise(
        "v_target(x0 [B, C, H, W], noise [B, C, H, W], sigma [B]): alpha noise - beta x0, where "
        "alpha^2 + beta^2 = 1 and beta / alpha = sigma",
        lambda x0, noise, sigma: (noise - _by_picture(sigma) * x0) * v(_by_picture(sigma), 0.5).in_,
        _pictures,
        {
            "the signs are the other way round": lambda x0, noise, sigma: (
                (_by_picture(sigma) * x0 - noise) * v(_by_picture(sigma), 0.5).in_
            ),
            "alpha and beta have changed places": lambda x0, noise, sigma: (
                (_by_picture(sigma) * noise - x0) * v(_by_picture(sigma), 0.5).in_
            ),
        },
    ),
    "step": Exercise(
        "euler_step(x, x0 [B, C, H, W], now [], nxt []): the picture at the lower level nxt",
        towards,
        _level,
        {
            "the slope is (x - x0) / now": lambda x, x0, now, nxt: x + (nxt - now) * (x - x0),
            "a step moves down: nxt - now is negative": lambda x, x0, now, nxt: (
                x + (now - nxt) * (x - x0) / now
            ),
        },
    ),
    "ancestral": Exercise(
        "ancestral(now [], nxt []): (down, up), the level to go down to and the noise to add, so "
        "that the step is the DDPM posterior",
        lambda now, nxt: ancestral(now, nxt, 1.0),
        lambda generator: _level(generator)[2:],
        {"down^2 + up^2 is nxt^2": lambda now, nxt: (nxt, ancestral(now, nxt, 1.0)[1])},
    ),
    "karras": Exercise(
        "levels(steps, low, high, rho): falling noise levels of Karras et al. 2022, [steps]",
        lambda steps, low, high, rho: Karras(low, high, rho).sigma(torch.linspace(1, 0, steps)),
        lambda generator: (int(torch.randint(5, 20, (), generator=generator)), 0.02, 40.0, 7.0),
        {
            "they fall, from high to low": lambda steps, low, high, rho: Karras(
                low, high, rho
            ).sigma(torch.linspace(0, 1, steps)),
            "interpolate sigma^(1/rho), not sigma": lambda steps, low, high, rho: torch.linspace(
                high, low, steps
            ),
        },
    ),
    "cosine": Exercise(
        "sigma(t [T] in (0, 1)): the noise level of cos^2 signal (Nichol & Dhariwal 2021) with "
        "offset 0.008, [T]",
        lambda t: _cosine_sigma(t, Cosine().offset),
        lambda generator: (0.05 + 0.9 * torch.rand(20, generator=generator),),
        {"the offset 0.008 is missing": lambda t: _cosine_sigma(t, 0.0)},
    ),
    "guidance": Exercise(
        "guided(without, with_caption [B, C, H, W], scale): classifier-free guidance, in which "
        "scale 1 is none",
        lambda without, with_caption, scale: without + scale * (with_caption - without),
        lambda generator: (*_pictures(generator)[:2], 2.5),
        {
            "scale 1 must give the estimate with the caption": lambda a, b, scale: (
                b + scale * (b - a)
            ),
            "the two estimates have changed places": lambda a, b, scale: b + scale * (a - b),
        },
    ),
    "classifier": Exercise(
        "guided(x0, gradient [B, C, H, W], sigma [], strength): the estimate moved by the gradient "
        "of log p(caption | x) at x",
        lambda x0, gradient, sigma, strength: x0 + strength * sigma**2 * gradient,
        lambda generator: (*_level(generator)[:3], 1.7),
        {
            "an estimate moves by sigma^2 times the score": lambda x0, gradient, sigma, strength: (
                x0 + strength * sigma * gradient
            ),
        },
    ),
    "attention": Exercise(
        "attention(q [B, L, D], k [B, M, D], v [B, M, D], keep [B, M] bool): what the L positions "
        "read of the M tokens that count, [B, L, D]",
        _attend,
        _tokens,
        {
            "padding tokens get weight 0 by the mask": lambda q, k, v, keep: _attend(
                q, k, v, torch.ones_like(keep)
            ),
            "scores are divided by the square root of D": lambda q, k, v, keep: _attend(
                q * q.shape[-1] ** 0.5, k, v, keep
            ),
        },
    ),
    "interval": Exercise(
        "wilson(right, total): (low, high), the 95 % interval of a fraction by Wilson 1927",
        of_a_share,
        lambda generator: (int(torch.randint(1, 99, (), generator=generator)), 100),
        {
            "this is Wald's interval, which fails near 0 and 1": lambda right, total: _wald(
                right, total
            )
        },
    ),
    "frechet": Exercise(
        "frechet(mean_a [D], cov_a [D, D], mean_b, cov_b): squared Frechet distance of Gaussians",
        _frechet,
        _gaussians,
        {
            "this is its square root": lambda *given: _frechet(*given).sqrt(),
            "the square root is of the matrix product, not of each entry": lambda m, a, n, b: (
                (m - n).square().sum() + (a + b - 2 * (a @ b).abs().sqrt()).trace()
            ),
        },
    ),
    "jump": Exercise(
        "jump_target(x, x_next [B, C, H, W], sigma, sigma_next [B]): the estimate with which one "
        "Euler step leads from x to x_next",
        jump_target,
        _jump,
        {"the target is not where the jump ends": lambda x, x_next, sigma, sigma_next: x_next},
    ),
}
