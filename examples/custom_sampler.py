"""A sampler of one's own: a generator, used by name.

Euler steps that first add a little noise back (the churn of Karras et al. 2022, algorithm 2).

    cd examples
    inkling verify --sampler custom_sampler:churned
    inkling sample ../runs/demo seven --sampler custom_sampler:churned

or from Python, as below:

    python examples/custom_sampler.py [STEPS]
"""

import sys
from itertools import pairwise

import torch

from inkling import RECIPES, TextToImage, fit, override
from inkling.core import Mixture, Step, karras
from inkling.visualize import grids


def churned(denoise, x, sigmas, *, randn_like=torch.randn_like, churn=0.1):
    """Add noise up to `(1 + churn) sigma`, then take an Euler step down to the next level."""
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        raised = now * (1 + churn)
        x = x + (raised**2 - now**2).sqrt() * randn_like(x)
        x0 = denoise(x, raised)
        x = x0 + nxt / raised * (x - x0)
        yield Step(index, nxt, x, x0)


if __name__ == "__main__":
    # Does it sample the right distribution? A mixture of Gaussians has an exact denoiser.
    mixture, sigmas = Mixture(), karras(100)
    x = sigmas[0] * torch.randn(20_000, 2, 1, 1, dtype=torch.float64)
    *_, last = churned(mixture.denoise, x, sigmas)
    truth = mixture.draw(20_000, torch.Generator().manual_seed(0))
    for name, points in (("samples", last.x), ("data", truth)):
        mean, std = points.mean(0).flatten().tolist(), points.std().item()
        print(f"{name:8} mean {mean}  std {std:.3f}")

    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    for progress in fit(override(RECIPES["digits"], [f"train.steps={steps}", "train.previews=0"])):
        if progress.step % 100 == 0:
            print(f"step {progress.step}  loss {progress.loss.item():.3f}")
    progress.state.save("runs/sampler")
    pipeline = TextToImage.load("runs/sampler")
    images = pipeline("seven", count=12, sampler=churned, steps=20)
    grids.save(grids.sheet([("seven", images.numpy())]), "runs/sampler.png")
    print("look at runs/sampler.png")
