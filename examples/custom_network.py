"""A network of one's own: one class with `forward`. It trains, saves, resumes and samples by name.

    cd examples
    inkling train digits --set net.kind=custom_network:Mixer --set net.width=96 --out ../runs/mixer

or from Python, as below:

    python examples/custom_network.py [STEPS]
"""

import sys

import torch
from torch import Tensor, nn

from inkling import RECIPES, TextToImage, fit, override
from inkling.core import Cond
from inkling.nets import Network
from inkling.visualize import grids


class Mixer(Network):
    """An MLP-Mixer (Tolstikhin et al. 2021) for pictures of 8x8.

    It mixes positions, then channels; noise level and condition are added to every position.
    Channels and width of the condition are given; what follows are its settings.
    """

    def __init__(self, channels: int, cond_width: int, width: int = 128, depth: int = 4):
        super().__init__()
        self.stem, self.head = nn.Linear(channels, width), nn.Linear(width, channels)
        self.noise = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(cond_width, width)
        self.positions = nn.Parameter(0.02 * torch.randn(64, width))
        self.across = nn.ModuleList(self._mlp(64) for _ in range(depth))
        self.along = nn.ModuleList(self._mlp(width) for _ in range(depth))

    def _mlp(self, width: int) -> nn.Module:
        return nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The optional part: these are trained with Muon."""
        return [p for mlp in (*self.across, *self.along) for p in mlp.parameters() if p.ndim == 2]

    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:  # [B, C, 8, 8]
        tokens = self.stem(x.flatten(2).transpose(1, 2)) + self.positions  # [B, 64, D]
        shift = self.noise(coordinate[:, None]) + self.condition(cond.vector)  # [B, D]
        for across, along in zip(self.across, self.along, strict=True):
            tokens = tokens + shift[:, None]  # [B, 64, D]
            tokens = tokens + across(tokens.transpose(1, 2)).transpose(1, 2)  # [B, 64, D]
            tokens = tokens + along(tokens)  # [B, 64, D]
        return self.head(tokens).transpose(1, 2).reshape(x.shape)  # [B, C, 8, 8]


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 800
    settings = ["net.kind=custom_network:Mixer", "net.width=96", f"train.steps={steps}"]
    for progress in fit(override(RECIPES["digits"], settings)):
        if progress.step % 100 == 0:
            print(f"step {progress.step}  loss {progress.loss.item():.3f}")
    progress.state.save("runs/network")
    pipeline = TextToImage.load("runs/network")
    names = ("zero", "three", "seven")
    rows = [(name, pipeline(name, count=8).numpy()) for name in names]
    grids.save(grids.sheet(rows), "runs/network.png")
    print("look at runs/network.png")
