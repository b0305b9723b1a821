"""An independent classifier of real pictures, whose verdicts and features score drawn ones.

Never trained on generated images, and no part of any model's training.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from inkling.core.augment import jittered
from inkling.core.rng import stream
from inkling.data.pictures import Feed, Pictures
from inkling.errors import UserError
from inkling.system.disk import write_whole

FEATURES = 128
_BATCH = 128


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class Judge(nn.Module):
    """A small convolutional network with 128 features before its last layer."""

    def __init__(self, channels: int, classes: int, size: tuple[int, int]):
        super().__init__()
        self.size = size
        self.settings = {"channels": channels, "classes": classes, "size": list(size)}
        self.body = nn.Sequential(
            _block(channels, 16),
            nn.MaxPool2d(2),
            _block(16, 48),
            _block(48, 48),
            nn.MaxPool2d(2),
            _block(48, 96),
            _block(96, 96),
            nn.AdaptiveMaxPool2d(max(1, min(size) // 8)),
            nn.Flatten(),
        )
        self.describe = nn.Linear(96 * max(1, min(size) // 8) ** 2, FEATURES)
        self.dropout = nn.Dropout(0.3)
        self.decide = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """[B, 128] for pictures [B, C, H, W] in [-1, 1]."""
        return F.relu(self.describe(self.body(x)))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        logits: Tensor = self.decide(self.dropout(self.features(x)))  # [B, classes]
        return logits

    @torch.no_grad()
    def examine(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(features [N, 128] float64, classes [N] int64) of uint8 images [N, C, H, W]."""
        self.eval()
        features, classes = [], []
        for part in torch.split(images, 500):
            seen = self.features(part.float() / 127.5 - 1)
            features.append(seen.double())
            classes.append(self.decide(seen).argmax(1))
        return torch.cat(features).numpy(), torch.cat(classes).numpy()

    def save(self, path: Path, accuracy: float) -> None:
        """Write weights, settings and test accuracy into one safetensors file."""
        metadata = {"judge": json.dumps(self.settings), "accuracy": f"{accuracy:.5f}"}
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_whole(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The judge that `save` wrote.

        Raises:
            UserError: no file, or one that holds no judge.
        """
        try:
            with safe_open(path, framework="pt") as stored:
                settings = json.loads((stored.metadata() or {})["judge"])
                state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError) as error:
            raise UserError(f"{path} holds no judge ({error}); train one: inkling judge") from None
        judge = cls(settings["channels"], settings["classes"], tuple(settings["size"]))
        judge.load_state_dict(state)
        return judge.eval()


class Verdict(NamedTuple):
    """What `train_judge` yields after every epoch."""

    epoch: int
    judge: Judge
    accuracy: float
    """Share of the test split that is right."""


def train_judge(
    train: Pictures, test: Pictures, epochs: int = 7, seed: int = 0
) -> Iterator[Verdict]:
    """Train on real pictures with small rotations, scalings and shifts; yields every epoch."""
    torch.manual_seed(seed)
    size = (train.shape[1], train.shape[2])
    judge = Judge(train.shape[0], len(train.classes), size)
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = max(1, len(train) // _BATCH)
    batch = len(train) // steps if len(train) < _BATCH else _BATCH
    optimiser = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * steps)
    feed = Feed(train, seed)
    for step in range(epochs * steps):
        judge.train()
        taken = feed.batch(step * batch, batch, torch.zeros(batch))
        ink = taken.images.float() / 127.5  # zero is the paper
        x = jittered(ink, stream(seed, "jitter", step), padding="zeros") - 1
        loss = F.cross_entropy(judge(x), taken.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rate.step()
        if (step + 1) % steps == 0:
            _, found = judge.examine(test.pixels())
            accuracy = float((found == test.labels.numpy()).mean())
            yield Verdict((step + 1) // steps, judge, accuracy)
