"""The one in-memory form of every data set, and how batches are drawn from it.

Pictures stay uint8 on the training device, or memory-mapped where they do not fit. Captions and
labels are small and stay on the CPU, so that drawing a batch never waits for a GPU. The sentences
are few or many, but known: each picture points to a group of sentences that describe it, and a
visit draws one of the group.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor

from inkling.contracts import Batch
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.pixels import from_bytes

_MEASURED = 1 << 26
"""Bytes of pixels that suffice to measure their spread; a part of it where they are drawn."""
_SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class Images(Protocol):
    """Rows of pixels: a tensor in memory, a memory-mapped one, or pictures drawn when asked for."""

    @property
    def shape(self) -> torch.Size:
        """[N, C, H, W]."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the pixels lie."""
        ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """uint8 [M, C, H, W] of rows [M] int64, which lie on the same device."""
        ...

    def to(self, device: torch.device | str, /) -> Self:
        """The same on a device."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Images with their captions and labels."""

    images: Images
    """[M, C, H, W] uint8; of these, `rows` belong to the set."""
    group: Tensor
    """[N] int64: which group of sentences describes each picture."""
    groups: tuple[tuple[str, ...], ...]
    """The sentences of each group; a visit draws one."""
    labels: Tensor
    """[N] int64: class index, -1 without classes."""
    classes: tuple[str, ...] = ()
    """The prompt that names each class, in label order: what grids and scores ask for."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """Per group, phrasings that training never sees; or whole captions that it never sees."""
    rows: Tensor | None = None
    """[N] int64: where each picture stands in `images`; None: in order."""
    mirror: bool = False
    """Whether left-right mirroring keeps the meaning."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How many pictures came in each original size, such as "640x480"."""
    problems: tuple[str, ...] = ()
    """Sentences about what could not be read, or only with a doubt."""

    def __len__(self) -> int:
        return len(self.group)

    @property
    def shape(self) -> torch.Size:
        """[C, H, W] of one picture."""
        return self.images.shape[1:]

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Every distinct sentence in a fixed order, the empty caption first; made once."""
        known = dict.fromkeys(sentence for group in self.groups for sentence in group)
        known.pop("", None)
        return ("", *known)

    @property
    def conditional(self) -> bool:
        """Whether anything is said about the pictures."""
        return len(self.sentences) > 1

    def describe(self) -> str:
        """One line about what there is."""
        channels, height, width = self.shape
        about = f"{len(self.sentences) - 1:,} distinct captions"
        if self.classes:
            about = f"{len(self.classes)} classes"
        elif not self.conditional:
            about = "no captions"
        colour = "colour" if channels == 3 else "grey"
        mirrored = ", mirrored at random" if self.mirror else ""
        return f"{len(self):,} pictures, {width}x{height}, {colour}, {about}{mirrored}"

    def at(self, index: Tensor) -> Tensor:
        """The pixels of these pictures [M] int64 of the set: uint8 [M, C, H, W]."""
        rows = index if self.rows is None else self.rows[index]
        return self.images[rows.to(self.images.device)]

    def pixels(self) -> Tensor:
        """All pixels at once, uint8 [N, C, H, W]."""
        return self.at(torch.arange(len(self)))

    def sigma_data(self) -> float:
        """Standard deviation of the pixels in [-1, 1], over an even choice if they are many."""
        room = _MEASURED if isinstance(self.images, Tensor) else _MEASURED >> 4
        every = max(1, len(self) * self.shape.numel() // room)
        return from_bytes(self.at(torch.arange(0, len(self), every))).std().item()

    def to(self, device: torch.device, room: float = float("inf")) -> "Pictures":
        """The same set with its images on a device, or where they are if they need more room.

        Args:
            device: where to.
            room: bytes that pixels may take there.
        """
        lying = isinstance(self.images, Tensor) and self.images.nbytes > room
        return self if lying else replace(self, images=self.images.to(device))

    def take(self, index: Tensor) -> "Pictures":
        """The pictures at these places [M] int64; no pixel is copied."""
        return replace(
            self,
            rows=index if self.rows is None else self.rows[index],
            group=self.group[index],
            labels=self.labels[index],
        )

    def split(self, held: int, seed: int) -> tuple["Pictures", "Pictures"]:
        """(training, validation), `held` pictures drawn by the seed going to validation."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        return self.take(order[held:].sort().values), self.take(order[:held].sort().values)


class Feed:
    """Makes training batches: order from (seed, epoch), wording from the caller's generator."""

    def __init__(self, pictures: Pictures, seed: int):
        self.pictures = pictures
        self.seed = seed
        sentences = pictures.sentences
        rows = {sentence: row for row, sentence in enumerate(sentences)}
        sizes = [len(group) for group in pictures.groups]
        table = torch.zeros(len(sizes), max(sizes), dtype=torch.int64)
        for index, group in enumerate(pictures.groups):
            table[index, : len(group)] = torch.tensor([rows[sentence] for sentence in group])
        self._table = table  # [groups, most sentences of one]
        self._sizes = torch.tensor(sizes)
        self._sided = torch.tensor([bool(_SIDED.search(sentence)) for sentence in sentences])
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def visits(self, first: int, count: int) -> Tensor:
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

    def captions(self, first: int, wording: Tensor) -> tuple[Tensor, Tensor]:
        """(rows in `Pictures.sentences`, groups) [B] int64 each of the same visits as `batch`."""
        group = self.pictures.group[self.visits(first, len(wording))]
        sizes = self._sizes[group]
        choice = torch.minimum((wording * sizes).long(), sizes - 1)
        return self._table[group, choice], group

    def batch(self, first: int, wording: Tensor, mirrored: Tensor | None = None) -> Batch:
        """Visits `first .. first + B - 1`; only their pixels are fetched, rendered and mirrored.

        Args:
            first: visits before this batch, counted over all epochs.
            wording: [B] uniform in [0, 1): which sentence of its group each picture gets.
            mirrored: [B] bool: which pictures to mirror left to right. One whose sentence says
                "left" or "right" never is.
        """
        index = self.visits(first, len(wording))
        captions, _ = self.captions(first, wording)
        images = self.pictures.at(index)
        if mirrored is not None:
            turned = (mirrored & ~self._sided[captions]).to(images.device)
            images = torch.where(turned[:, None, None, None], images.flip(-1), images)
        return Batch(images, captions, self.pictures.labels[index])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named data set: what it is, whom to thank, and how to find its pictures."""

    title: str
    find: Callable[[Path | None, str, Options], Source | Pictures]
    """`(folder or None, "train" or "test", options)`; None: embedded, cached or downloaded. What
    needs no preparation comes as `Pictures`."""
    licence: str
    citation: str
    size: int | None = None
    """Height and width of the pictures; None: chosen from what is there."""
    channels: int | None = None
    """1 for grey, 3 for colour; None: chosen from what is there."""
    mirror: bool = False
    """Whether left-right mirroring keeps the meaning; never for digits and letters."""
    background: int = 255
    """Grey value behind transparency and around padded pictures."""
    splits: Sequence[str] = ("train", "test")
