"""A small convolutional classifier, and the features by which it tells pictures apart."""

import torch.nn.functional as F
from torch import Tensor, nn

from inkling.nets.configs import ClassifierConfig
from inkling.nets.dropout import Dropout
from inkling.nets.network import matrices
from inkling.nets.norm import group_norm


def _block(inside: int, outside: int) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    return nn.Sequential(conv, group_norm(outside), nn.ReLU())


class Classifier(nn.Module):
    """Logits for pictures of one size.

    Args:
        channels: of the pictures.
        classes: how many.
        size: (H, W).
        config: everything else.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        size: tuple[int, int],
        config: ClassifierConfig = ClassifierConfig(),
    ):
        super().__init__()
        fine, middle, coarse = config.widths
        side = max(1, min(size) // 8)
        self.body = nn.Sequential(
            _block(channels, fine),
            nn.MaxPool2d(2),
            _block(fine, middle),
            _block(middle, middle),
            nn.MaxPool2d(2),
            _block(middle, coarse),
            _block(coarse, coarse),
            nn.AdaptiveMaxPool2d(side),
            nn.Flatten(),
        )
        self.describe = nn.Linear(coarse * side**2, config.features)
        self.dropout = Dropout(config.dropout)
        self.decide = nn.Linear(config.features, classes)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """For Muon: all but the first and the last layer."""
        return matrices(self, without=[self.body[0], self.decide])

    def features(self, x: Tensor) -> Tensor:
        """[B, D] for pictures [B, C, H, W] in [-1, 1]."""
        return F.relu(self.describe(self.body(x)))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        logits: Tensor = self.decide(self.dropout(self.features(x)))  # [B, classes]
        return logits
