"""Diffusion in fifty lines: noise, loss, loop, sampler, with `core`, `nets` and torch.

python examples/minimal.py [STEPS]
"""

import sys

import torch
from PIL import Image
from sklearn.datasets import load_digits

from inkling.core import Cond, Denoiser, LogNormal, cfg, dpmpp_2m, karras, to_bytes
from inkling.nets import UNet, UNetConfig

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
torch.manual_seed(0)

pixels, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))  # [N, 64], [N]
images = pixels.float().view(-1, 1, 8, 8) / 8 - 1  # in [-1, 1]

network = UNet(channels=1, cond_width=64, config=UNetConfig(widths=(48, 96), positions=8))
denoiser = Denoiser(network, prediction="edm", sigma_data=images.std().item())
classes = torch.nn.Embedding(11, 64)  # ten digits, and "no digit" for guidance
schedule = LogNormal(mean=0.3, std=1.0, sigma_min=0.005)
optimiser = torch.optim.AdamW([*network.parameters(), *classes.parameters()], lr=2e-3)

for step in range(steps):
    rows = torch.randint(len(images), (64,))
    label = torch.where(torch.rand(64) < 0.1, 10, labels[rows])  # drop a tenth of the labels
    noise = torch.randn_like(images[rows])
    sigma = schedule.sigma(torch.rand(64))  # [64] noise levels
    loss = denoiser.loss(images[rows], noise, sigma, Cond.pooled(classes(label))).mean()
    optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 100 == 0:
        print(f"step {step}  loss {loss.item():.3f}")

with torch.no_grad():
    label = torch.arange(10).repeat_interleave(8)
    cond, null = (Cond.pooled(classes(which)) for which in (label, torch.full_like(label, 10)))
    sigmas = karras(18)  # [19] falling noise levels, ending in 0
    x = sigmas[0] * torch.randn(80, 1, 8, 8)
    *_, last = dpmpp_2m(cfg(denoiser, cond, null, scale=1.5), x, sigmas)

tiles = torch.nn.functional.pad(to_bytes(last.x), (1, 1, 1, 1)).view(10, 8, 10, 10)
sheet = tiles.permute(0, 2, 1, 3).reshape(100, 80)  # a row a digit
Image.fromarray(sheet.numpy()).resize((640, 800)).save("minimal.png")
print("look at minimal.png")
