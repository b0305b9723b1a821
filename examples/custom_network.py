"""A network of one's own: settings with `build`, a module with `forward`, an entry in `NETWORKS`.

It trains, saves, resumes and samples like the U-Net, and `override` changes its settings.

python examples/custom_network.py [STEPS]
"""

import sys

import torch
from torch import Tensor, nn

from inkling import RECIPES, TextToImage, fit, override
from inkling.core import Cond
from inkling.nets import NETWORKS, Network, NetworkConfig
from inkling.settings import Count, Settings
from inkling.visualize import grids


class MixerConfig(Settings, NetworkConfig, frozen=True, tag_field="kind", tag="mixer"):
    """An MLP-Mixer (Tolstikhin et al. 2021) for pictures of 8x8."""

    width: Count = 128
    depth: Count = 4

    def build(self, channels: int, cond_width: int) -> "Mixer":
        return Mixer(channels, cond_width, self)


class Mixer(Network):
    """Mixes positions, then channels; noise level and condition are added to every position."""

    def __init__(self, channels: int, cond_width: int, config: MixerConfig):
        super().__init__()
        width = config.width
        self.stem, self.head = nn.Linear(channels, width), nn.Linear(width, channels)
        self.noise = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(cond_width, width)
        self.positions = nn.Parameter(0.02 * torch.randn(64, width))
        self.across = nn.ModuleList(self._mlp(64) for _ in range(config.depth))
        self.along = nn.ModuleList(self._mlp(width) for _ in range(config.depth))

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


NETWORKS["mixer"] = MixerConfig

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 800
settings = ["net.kind=mixer", "net.width=96", f"train.steps={steps}", "train.previews=0"]
for progress in fit(override(RECIPES["digits"], settings)):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/network")
pipeline = TextToImage.load("runs/network")
rows = [(name, pipeline([name] * 8, seeds=range(8)).numpy()) for name in ("zero", "three", "seven")]
grids.save(grids.sheet(rows), "runs/network.png")
print("look at runs/network.png")
