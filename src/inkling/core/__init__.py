"""The mathematics of diffusion, usable on its own: noise schedules, denoisers, samplers, guidance.

Depends on torch and NumPy only. Noisy images are `x = x0 + sigma * noise` with x0 in [-1, 1]; a
denoiser is a function `(x [B, C, H, W], sigma []) -> x0 [B, C, H, W]`.
"""

from inkling.contracts import Cond, Denoise, Step
from inkling.core.denoiser import PENALTIES, PREDICTIONS, WEIGHTINGS, Denoiser
from inkling.core.ema import Ema
from inkling.core.guidance import bind, cfg, clamp, dynamic_threshold
from inkling.core.likelihood import bits_per_dimension
from inkling.core.mixture import Mixture
from inkling.core.muon import Muon
from inkling.core.noise import (
    SCHEDULES,
    Cosine,
    Flow,
    Karras,
    Linear,
    LogNormal,
    Schedule,
    grid,
    karras,
)
from inkling.core.rng import ImageNoise, stream
from inkling.core.samplers import (
    SAMPLERS,
    Sampler,
    Solver,
    ddim,
    ddpm,
    dpmpp_2m,
    dpmpp_2s,
    heun,
    unipc,
)
from inkling.pixels import from_bytes, to_bytes

__all__ = [
    "PENALTIES",
    "PREDICTIONS",
    "SAMPLERS",
    "SCHEDULES",
    "WEIGHTINGS",
    "Cond",
    "Cosine",
    "Denoise",
    "Denoiser",
    "Ema",
    "Flow",
    "ImageNoise",
    "Karras",
    "Linear",
    "LogNormal",
    "Mixture",
    "Muon",
    "Sampler",
    "Schedule",
    "Solver",
    "Step",
    "bind",
    "bits_per_dimension",
    "cfg",
    "clamp",
    "ddim",
    "ddpm",
    "dpmpp_2m",
    "dpmpp_2s",
    "dynamic_threshold",
    "from_bytes",
    "grid",
    "heun",
    "karras",
    "stream",
    "to_bytes",
    "unipc",
]
