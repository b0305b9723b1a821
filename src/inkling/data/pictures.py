"""The one in-memory form of every data set, and how batches are drawn from it.

Pictures stay uint8 on the training device. Captions and labels are small and stay on the CPU, so
that drawing a batch never waits for a GPU. The sentences are few or many, but known: each picture
points to a group of sentences that describe it, and a visit draws one of the group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from inkling.contracts import Batch


@dataclass(frozen=True)
class Pictures:
    """Images with their captions and labels."""

    images: Tensor
    """[N, C, H, W] uint8."""
    group: Tensor
    """[N] int64: which group of sentences describes each image."""
    groups: tuple[tuple[str, ...], ...]
    """The sentences of each group; a visit draws one."""
    labels: Tensor
    """[N] int64: class index, -1 without classes."""
    classes: tuple[str, ...] = ()
    """The prompt that names each class, in label order: what grids and scores ask for."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """Per group, phrasings that training never sees."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every distinct sentence in a fixed order, the empty caption first."""
        return ("", *dict.fromkeys(sentence for group in self.groups for sentence in group))

    def sigma_data(self) -> float:
        """Standard deviation of the pixels in [-1, 1], over the whole set."""
        return self.images.float().div(127.5).std().item()

    def to(self, device: torch.device | str) -> "Pictures":
        """The same set with its images on a device."""
        return replace(self, images=self.images.to(device))

    def take(self, rows: Tensor) -> "Pictures":
        """The pictures at these rows [M] int64."""
        return replace(
            self,
            images=self.images[rows.to(self.images.device)],
            group=self.group[rows],
            labels=self.labels[rows],
        )

    def split(self, held: int, seed: int) -> tuple["Pictures", "Pictures"]:
        """(training, validation), `held` pictures drawn by the seed going to validation."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        return self.take(order[held:].sort().values), self.take(order[:held].sort().values)


class Feed:
    """Draws training batches: order from (seed, epoch), wording from the caller's generator."""

    def __init__(self, pictures: Pictures, seed: int):
        self.pictures = pictures
        self.seed = seed
        rows = {sentence: row for row, sentence in enumerate(pictures.sentences)}
        sizes = [len(group) for group in pictures.groups]
        table = torch.zeros(len(sizes), max(sizes), dtype=torch.int64)
        for index, group in enumerate(pictures.groups):
            table[index, : len(group)] = torch.tensor([rows[sentence] for sentence in group])
        self._table = table  # [groups, most sentences of one]
        self._sizes = torch.tensor(sizes)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def rows(self, first: int, count: int) -> Tensor:
        """The pictures of visits `first .. first + count - 1` since the start, [count] int64."""
        picked = []
        while count:
            epoch, offset = divmod(first, len(self.pictures))
            if epoch != self._epoch:
                # A large odd multiplier keeps the epochs of neighbouring seeds apart.
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                self._order = torch.randperm(len(self.pictures), generator=generator)
                self._epoch = epoch
            part = self._order[offset : offset + count]
            picked.append(part)
            first, count = first + len(part), count - len(part)
        return torch.cat(picked)

    def batch(self, first: int, count: int, wording: Tensor) -> Batch:
        """Visits `first .. first + count - 1`.

        Args:
            first: visits before this batch, counted over all epochs.
            count: B.
            wording: [B] uniform in [0, 1): which sentence of its group each picture gets.
        """
        rows = self.rows(first, count)
        group = self.pictures.group[rows]
        sizes = self._sizes[group]
        choice = torch.minimum((wording * sizes).long(), sizes - 1)
        images = self.pictures.images[rows.to(self.pictures.images.device)]
        return Batch(images, self._table[group, choice], self.pictures.labels[rows])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named data set: what it is, whom to thank, and how to read it."""

    title: str
    load: Callable[[Path | None, str], Pictures]
    """`(folder or None, "train" or "test") -> Pictures`; None: embedded, cached or downloaded."""
    licence: str
    citation: str
    classes: Sequence[str] = ()
    mirror: bool = False
    """Whether left-right mirroring keeps the meaning; never for digits and letters."""
