"""Denoising diffusion (DDPM, Ho et al. 2020) in one file, with torch alone.

python docs/course/ddpm.py [STEPS]

Trains on the 8x8 digits inside scikit-learn for a minute and a half on two CPU cores, then samples
ten of each digit into ddpm.png. Noisy pictures are x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise.
"""

import math
import sys

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

T = 1000  # steps of the chain
BATCH, RATE, WIDTH = 128, 3e-3, 32

# Section 4: betas rise linearly, so that x_T is almost pure noise: abar_T = 4e-5.
betas = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)  # [T]
alphas = 1 - betas  # [T]
abar = alphas.cumprod(0)  # [T], what is left of the picture's variance


class Block(nn.Module):
    """Two convolutions; t and the label scale and shift the channels between them."""

    def __init__(self, inputs: int, outputs: int, cond: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in (inputs, outputs))
        self.film = nn.Linear(cond, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.second.weight)  # each block begins as its skip: stable from step 1

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        h = self.first(F.silu(self.norms[0](x)))  # [B, outputs, H, W]
        scale, shift = self.film(cond)[:, :, None, None].chunk(2, dim=1)  # [B, outputs, 1, 1] each
        h = self.second(F.silu(self.norms[1](h) * (1 + scale) + shift))
        return self.skip(x) + h


class UNet(nn.Module):
    """The noise in x_t, from x_t [B, 1, 8, 8], t [B] and labels [B]; a U-Net of two sizes."""

    def __init__(self, width: int = WIDTH, classes: int = 10):
        super().__init__()
        cond = 4 * width
        self.time = nn.Sequential(nn.Linear(width, cond), nn.SiLU(), nn.Linear(cond, cond))
        self.label = nn.Embedding(classes, cond)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.before = Block(width, width, cond)
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle = nn.ModuleList(Block(2 * width, 2 * width, cond) for _ in range(2))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.after = Block(2 * width, width, cond)
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 1, 1))
        # Waves from one a step to one in 10,000 steps: near and distant t differ in some of them.
        self.register_buffer("waves", torch.exp(-math.log(1e4) * torch.linspace(0, 1, width // 2)))

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        angles = t[:, None] * self.waves  # [B, WIDTH / 2]
        cond = self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.label(label)
        cond = F.silu(cond)  # [B, 4 WIDTH]
        fine = self.before(self.enter(x), cond)  # [B, WIDTH, 8, 8]
        h = self.down(fine)  # [B, 2 WIDTH, 4, 4]: each position now sees most of the picture
        for block in self.middle:
            h = block(h, cond)
        h = torch.cat([fine, self.up(h)], dim=1)  # [B, 2 WIDTH, 8, 8]: details past the bottleneck
        return self.leave(self.after(h, cond))  # [B, 1, 8, 8]


def train(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """Algorithm 1, with labels: images [N, 1, 8, 8] in [-1, 1], labels [N]."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE)
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        x0, noise = images[rows], torch.randn(BATCH, 1, 8, 8)
        t = torch.randint(T, (BATCH,))  # [B]: a level for each picture
        signal = abar[t].float().view(-1, 1, 1, 1)  # [B, 1, 1, 1]
        xt = signal.sqrt() * x0 + (1 - signal).sqrt() * noise  # eq. 4: one jump, no walk
        loss = F.mse_loss(net(xt, t, labels[rows]), noise)  # eq. 14: every t weighs the same
        # Up for 100 steps, then down to 0: that ends in an average as an EMA would.
        optimiser.param_groups[0]["lr"] = RATE * min((step + 1) / 100, 1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step}  loss {loss.item():.3f}")


@torch.no_grad()
def sample(net: nn.Module, labels: Tensor) -> Tensor:
    """Algorithm 2: pictures [B, 1, 8, 8] for labels [B]."""
    x = torch.randn(len(labels), 1, 8, 8)  # x_T
    for t in reversed(range(T)):
        noise = net(x, torch.full_like(labels, t), labels)
        mean = (x - betas[t] / (1 - abar[t]).sqrt() * noise) / alphas[t].sqrt()  # eq. 11
        # The variance is beta_t (section 3.2); the last step adds none, its mean is the picture.
        x = (mean + betas[t].sqrt() * torch.randn_like(x) if t > 0 else mean).float()
    return x


if __name__ == "__main__":
    torch.manual_seed(0)
    pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))  # [N, 64], [N]
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    unet = UNet()
    train(unet, pixels.float().view(-1, 1, 8, 8) / 8 - 1, digits, steps)
    tiles = sample(unet, torch.arange(10).repeat_interleave(10))  # [100, 1, 8, 8]
    tiles = F.pad(tiles.clamp(-1, 1), (1, 1, 1, 1), value=-1).view(10, 10, 10, 10)
    sheet = ((tiles.permute(0, 2, 1, 3).reshape(100, 100) + 1) * 127.5).byte()  # a row a digit
    Image.fromarray(sheet.numpy()).resize((800, 800), Image.Resampling.NEAREST).save("ddpm.png")
    print("look at ddpm.png")
