"""Step by step against the schedulers of diffusers, on one grid, with one nonlinear network."""

import pytest
import torch

from inkling.core.noise import sigma_from_abar
from inkling.core.samplers import SAMPLERS

diffusers = pytest.importorskip("diffusers", reason="the dev extra brings diffusers")

BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
STEPS = 12


def network(x, sigma):
    """A noise prediction that bends with both `x = x0 + sigma noise` and sigma."""
    level = torch.as_tensor(sigma, dtype=torch.float64)
    scaled = x / (1 + level**2).sqrt()
    return 0.9 * scaled + 0.3 * torch.tanh(2 * scaled + level.log())


def denoise(x, sigma):
    return x - sigma * network(x, sigma)


def start():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)


def alpha(sigma):
    return (1 + sigma**2).rsqrt()


def ours(name, x, sigmas, **options):
    return [step.x for step in SAMPLERS[name](denoise, x, sigmas, **options)]


@pytest.mark.parametrize("name", ["ddim", "ddpm"])
def test_ddim_and_ddpm_agree_step_by_step(name):
    options = {"clip_sample": False, "timestep_spacing": "leading", "steps_offset": 0}
    kind = {"ddim": diffusers.DDIMScheduler, "ddpm": diffusers.DDPMScheduler}[name]
    scheduler = kind(**BETAS, **options)
    scheduler.set_timesteps(STEPS)
    table = scheduler.alphas_cumprod.double()
    levels = sigma_from_abar(table[scheduler.timesteps])
    sigmas = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
    x = start()  # variance-preserving coordinates for diffusers, x / alpha for us
    seed = torch.Generator().manual_seed(7)
    extra = {"randn_like": lambda like: torch.randn(like.shape, generator=seed, dtype=like.dtype)}
    found = ours(name, x / alpha(levels[0]), sigmas, **extra)
    theirs = torch.Generator().manual_seed(7)
    for i, t in enumerate(scheduler.timesteps):
        noise = network(x / alpha(levels[i]), levels[i])
        x = scheduler.step(noise, t, x, generator=theirs).prev_sample
        torch.testing.assert_close(found[i] * alpha(sigmas[i + 1]), x, rtol=1e-5, atol=1e-5)


MULTISTEP = {
    "dpmpp_2m": lambda: diffusers.DPMSolverMultistepScheduler(
        **BETAS, solver_order=2, algorithm_type="dpmsolver++", lower_order_final=False
    ),
    "unipc": lambda: diffusers.UniPCMultistepScheduler(
        **BETAS, solver_order=2, solver_type="bh2", lower_order_final=True, final_sigmas_type="zero"
    ),
}


@pytest.mark.parametrize("name", MULTISTEP)
def test_multistep_solvers_agree_step_by_step(name):
    scheduler = MULTISTEP[name]()
    scheduler.set_timesteps(STEPS)
    sigmas = scheduler.sigmas.double()
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    x = start()
    steps = list(SAMPLERS[name](denoise, x / alpha(sigmas[0]), sigmas))
    for i, t in enumerate(scheduler.timesteps):
        noise = network(x / alpha(sigmas[i]), sigmas[i])
        x = scheduler.step(noise, t, x).prev_sample
        torch.testing.assert_close(steps[i].x * alpha(sigmas[i + 1]), x, rtol=1e-5, atol=1e-5)


def test_heun_agrees_step_by_step():
    scheduler = diffusers.HeunDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(STEPS)
    sigmas = scheduler.sigmas.double()
    ladder = torch.cat([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])  # each inner level stands twice
    assert len(ladder) == STEPS + 1
    x = start() * ladder[0]
    found = ours("heun", x, ladder)
    done = 0
    for i, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t)
        sigma = scheduler.sigmas[scheduler.step_index].double()
        noise = network(scaled * (1 + sigma**2).sqrt(), sigma)
        x = scheduler.step(noise, t, x).prev_sample
        if i % 2 == 1 or i == len(scheduler.timesteps) - 1:
            torch.testing.assert_close(found[done], x.double(), rtol=1e-4, atol=1e-4)
            done += 1
    assert done == STEPS
