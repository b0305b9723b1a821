"""A data set in memory, `Pictures`, and training batches from it, `Feed`.

Images stay uint8 on the training device, or memory-mapped where they do not fit. Captions and
labels are small and stay on the CPU, so that making a batch never waits for a GPU. Each image
points to a group of sentences that describe it. A *visit* is one use of an image in training: it
takes one random sentence of the group.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor

from inkling.contracts import Batch
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.pixels import from_bytes

_MEASURED = 1 << 26
"""Bytes of pixels from which the standard deviation is measured; fewer if they are rendered."""
_RENDERED = 256
"""Rendered images that stand for a set in its fingerprint."""
_SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class Images(Protocol):
    """Rows of pixels: a tensor in memory, a memory-mapped one, or images rendered on access."""

    @property
    def shape(self) -> torch.Size:
        """[N, C, H, W]."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of the pixels."""
        ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """uint8 [M, C, H, W] for rows [M] int64 on the same device."""
        ...

    def to(self, device: torch.device | str, /) -> Self:
        """The same images on another device."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Images with their captions and labels."""

    images: Images
    """[M, C, H, W] uint8; the set consists of its `rows`."""
    group: Tensor
    """[N] int64: which group of sentences describes each image."""
    groups: tuple[tuple[str, ...], ...]
    """The sentences of each group; a visit takes one of them."""
    labels: Tensor
    """[N] int64: class index, -1 without classes."""
    classes: tuple[str, ...] = ()
    """The caption that names each class, in label order: the prompts of sample grids and scores."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """Captions that training never sees, for each group or in groups of their own."""
    rows: Tensor | None = None
    """[N] int64: the row of each image in `images`; None: in order."""
    mirror: bool = False
    """Whether images may be mirrored left to right without changing their meaning."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How many images came in each original size, such as "640x480"."""
    problems: tuple[str, ...] = ()
    """Messages about files that could not be read, or not with certainty."""
    layout: str = ""
    """How the files were read and which were left aside, in words; empty: a named set."""
    own_conditions: bool = False
    """Whether each image is its own condition: its caption is its `picture_name`."""
    fingerprint: str = ""
    """A digest of the pixels, captions and labels of the whole set, wherever its files are; empty:
    unknown. Everything that is cached or resumed is held to it."""

    def __len__(self) -> int:
        return len(self.group)

    @property
    def shape(self) -> torch.Size:
        """[C, H, W] of one image."""
        return self.images.shape[1:]

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Every distinct sentence in a fixed order, the empty caption first; computed once."""
        known = dict.fromkeys(sentence for group in self.groups for sentence in group)
        known.pop("", None)
        return ("", *known)

    @cached_property
    def distinctive(self) -> tuple[str, ...]:
        """For each group, the sentence that the fewest groups share, the first one of several."""
        shared = Counter(sentence for group in self.groups for sentence in set(group))
        return tuple(min(group, key=shared.__getitem__) for group in self.groups)

    def distinct_captions(self) -> tuple[tuple[str, ...], Tensor]:
        """(captions that differ, one of the distinctive ones for each image [N] int64)."""
        said = [self.distinctive[group] for group in self.group.tolist()]
        row = {caption: number for number, caption in enumerate(dict.fromkeys(said))}
        which = torch.tensor([row[caption] for caption in said], dtype=torch.int64)
        return tuple(row), which

    @property
    def conditional(self) -> bool:
        """Whether any image has a caption."""
        return len(self.sentences) > 1

    def describe(self) -> str:
        """The set in one line: count, size, colour, captions."""
        channels, height, width = self.shape
        about = f"{len(self.sentences) - 1:,} distinct captions"
        if self.classes:
            about = f"{len(self.classes)} classes"
        elif self.own_conditions:
            about = "each its own condition"
        elif not self.conditional:
            about = "no captions"
        colour = "colour" if channels == 3 else "grey"
        mirrored = ", mirrored at random" if self.mirror else ""
        layout = f" (read as {self.layout})" if self.layout else ""
        return f"{len(self):,} pictures, {width}x{height}, {colour}, {about}{mirrored}{layout}"

    def at(self, index: Tensor) -> Tensor:
        """The pixels of the images at `index` [M] int64 of the set: uint8 [M, C, H, W]."""
        rows = index if self.rows is None else self.rows[index]
        return self.images[rows.to(self.images.device)]

    def pixels(self) -> Tensor:
        """All pixels at once, uint8 [N, C, H, W]."""
        return self.at(torch.arange(len(self)))

    def sigma_data(self) -> float:
        """Standard deviation of the pixels in [-1, 1]; of a regular subset if there are many."""
        most = _MEASURED if isinstance(self.images, Tensor) else _MEASURED >> 4
        stride = max(1, len(self) * self.shape.numel() // most)
        return from_bytes(self.at(torch.arange(0, len(self), stride))).std().item()

    def to(self, device: torch.device, room: float = float("inf")) -> "Pictures":
        """The same set with its images on a device; unchanged if they are too large for it.

        Args:
            device: the target device.
            room: bytes that the pixels may take there.
        """
        too_large = isinstance(self.images, Tensor) and self.images.nbytes > room
        return self if too_large else replace(self, images=self.images.to(device))

    def take(self, index: Tensor) -> "Pictures":
        """The images at `index` [M] int64; no pixel is copied."""
        return replace(
            self,
            rows=index if self.rows is None else self.rows[index],
            group=self.group[index],
            labels=self.labels[index],
        )

    def as_conditions(self) -> "Pictures":
        """The same images, each described by itself alone: captions and classes are left out.

        Images of the same pixels have the same name, and so the same group. Labels stay.
        """
        parts = torch.split(torch.arange(len(self)), _RENDERED)
        names = [picture_name(image) for part in parts for image in self.at(part).cpu()]
        groups = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return replace(
            self,
            group=torch.tensor([groups[name] for name in names], dtype=torch.int64),
            groups=tuple((name,) for name in groups),
            classes=(),
            held_out=(),
            own_conditions=True,
        )

    def names(self) -> list[str]:
        """The first caption of each image: its name, where it is its own condition."""
        return [self.groups[group][0] for group in self.group.tolist()]

    def examples(self, count: int) -> Tensor:
        """Indices of up to `count` images: the first ones of each class, else evenly spread."""
        known = sorted({label for label in self.labels.tolist() if label >= 0})
        if known:
            rows = [torch.where(self.labels == label)[0] for label in known]
            turns = zip_longest(*(each.tolist() for each in rows))
            chosen = [row for turn in turns for row in turn if row is not None]
            return torch.tensor(chosen[:count])
        return torch.arange(0, len(self), max(1, len(self) // count))[:count]

    def split(self, held: int, seed: int) -> tuple["Pictures", "Pictures"]:
        """(training, validation), with `held` random images, chosen by the seed, in validation."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        return self.take(order[held:].sort().values), self.take(order[:held].sort().values)


def picture_name(pixels: Tensor) -> str:
    """The name of an image uint8 [C, H, W] where it is a condition; it follows from its pixels."""
    digest = hashlib.blake2b(repr(tuple(pixels.shape)).encode(), digest_size=8)
    digest.update(pixels.contiguous().numpy().data)
    return f"like {digest.hexdigest()}"


def fingerprint_of(pictures: Pictures) -> str:
    """A digest of all captions and labels, and of the pixels; of some rows if they are rendered."""
    digest = hashlib.sha256(repr((pictures.shape, pictures.groups, pictures.classes)).encode())
    for numbers in (pictures.group, pictures.labels):
        digest.update(numbers.cpu().numpy().tobytes())
    rows = torch.arange(len(pictures))
    if not isinstance(pictures.images, Tensor):
        rows = rows[:: max(1, len(rows) // _RENDERED)]
    for part in torch.split(rows, _RENDERED):
        digest.update(pictures.at(part).cpu().contiguous().numpy().data)
    return digest.hexdigest()[:20]


class Feed:
    """Makes training batches: order of images from (seed, epoch), caption chosen by the caller."""

    def __init__(self, pictures: Pictures, seed: int, first_wording: float = 0.0):
        """Prepare the sentences.

        Args:
            pictures: what to visit.
            seed: of the order.
            first_wording: the share of visits that take the first sentence of their group; 0: as
                many as take each other one.
        """
        self.pictures = pictures
        self.seed = seed
        sentences = pictures.sentences
        rows = {sentence: row for row, sentence in enumerate(sentences)}
        sizes = [len(group) for group in pictures.groups]
        table = torch.zeros(len(sizes), max(sizes), dtype=torch.int64)
        for index, group in enumerate(pictures.groups):
            table[index, : len(group)] = torch.tensor([rows[sentence] for sentence in group])
        self._table = table  # [groups, largest number of sentences in a group]
        self._sizes = torch.tensor(sizes)
        self._first_wording = first_wording
        self._sided = torch.tensor([bool(_SIDED.search(sentence)) for sentence in sentences])
        self._shuffled = (-1, torch.empty(0, dtype=torch.int64))  # epoch, its order

    def visits(self, first: int, count: int) -> Tensor:
        """Indices of the images of visits `first .. first + count - 1` of a run, [count] int64."""
        picked = []
        while count:
            epoch, offset = divmod(first, len(self.pictures))
            shuffled, order = self._shuffled  # read once: threads may be in different epochs
            if epoch != shuffled:
                # A large odd multiplier keeps the epochs of neighbouring seeds apart.
                key = (self.seed * 1_000_003 + epoch) % (1 << 63)
                generator = torch.Generator().manual_seed(key)
                order = torch.randperm(len(self.pictures), generator=generator)
                self._shuffled = epoch, order
            part = order[offset : offset + count]
            picked.append(part)
            first, count = first + len(part), count - len(part)
        return torch.cat(picked)

    def captions(self, first: int, wording: Tensor) -> tuple[Tensor, Tensor]:
        """(rows in `Pictures.sentences`, groups) [B] int64 each of the same visits as `batch`."""
        group = self.pictures.group[self.visits(first, len(wording))]
        sizes = self._sizes[group]
        equal = 1 / sizes
        share = torch.full_like(equal, self._first_wording) if self._first_wording else equal
        later = 1 + (wording - share) / (1 - share) * (sizes - 1)
        choice = torch.where(wording < share, 0, later).long()
        return self._table[group, torch.minimum(choice, sizes - 1)], group

    def batch(self, first: int, wording: Tensor, mirrored: Tensor | None = None) -> Batch:
        """The batch of visits `first .. first + B - 1`; only its own images are fetched.

        Args:
            first: number of visits before this batch, over all epochs.
            wording: [B] uniform in [0, 1): which sentence of its group each image gets.
            mirrored: [B] bool: which images to mirror left to right. One whose sentence says
                "left" or "right" never is.
        """
        index = self.visits(first, len(wording))
        captions, _ = self.captions(first, wording)
        images = self.pictures.at(index)
        if mirrored is not None:
            flipped = (mirrored & ~self._sided[captions]).to(images.device)
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        return Batch(images, captions, self.pictures.labels[index])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named data set: title, licence, citation, defaults and a function to find its images."""

    title: str
    find: Callable[[Path | None, str, Options], Source | Pictures]
    """`(folder, split, options)`; with folder None the data are embedded, cached or downloaded.
    Returns a source to prepare, or `Pictures` that need no preparation."""
    licence: str
    citation: str
    size: int | None = None
    """Height and width of the images; None: chosen from the images."""
    channels: int | None = None
    """1 for grey, 3 for colour; None: chosen from the images."""
    classes: bool = True
    """Whether images may have classes."""
    mirror: bool = False
    """Whether images may be mirrored left to right; never for digits and letters."""
    background: int = 255
    """Grey value behind transparency and in the padding."""
    splits: Sequence[str] = ("train", "test")
