"""A summary of a data set, as text and as a contact sheet."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch
from PIL import Image

from inkling.data import Pictures
from inkling.data.spectrum import are_drawings, some
from inkling.pixels import from_bytes
from inkling.training.measured import levels_for
from inkling.visualize import grids

_ROWS, _COLUMNS = 10, 12
_CONTACTS = 24
_MOST = 24
"""Classes, sizes and words that are listed."""
_BAR = 40


def lines(pictures: Pictures) -> Iterator[str]:
    """The summary, line by line."""
    channels, height, width = pictures.shape
    yield f"pictures    {len(pictures):,}"
    if pictures.layout:
        yield f"layout      {pictures.layout}"
    colour = "colour" if channels == 3 else "grey"
    yield f"size        {width}x{height}, {colour}{_original_sizes(pictures)}"
    sigma_data = pictures.sigma_data()
    yield f"sigma_data  {sigma_data:.4f}, the standard deviation of pixels in [-1, 1]"
    images = some(pictures)
    drawings = are_drawings(images)
    options = levels_for(from_bytes(images), sigma_data, drawings=drawings).options
    yield (
        f"noise       log-normal with mean {options['mean']:g} and standard deviation "
        f"{options['std']:g} of ln sigma, for {'drawings' if drawings else 'photographs'}"
    )
    yield f"mirroring   {'at random' if pictures.mirror else 'none'}"
    if pictures.conditional:
        yield from _captions(pictures)
    else:
        yield "captions    none: an unconditional model"
    if pictures.classes:
        yield "classes"
        counts = pictures.labels.clamp(min=0).bincount(minlength=len(pictures.classes))
        longest = max(map(len, pictures.classes[:_MOST]))
        for name, count in list(zip(pictures.classes, counts.tolist(), strict=True))[:_MOST]:
            bar = "#" * round(_BAR * count / max(counts.max().item(), 1))
            yield f"  {name:{longest}}  {count:7,}  {bar}"
        if len(pictures.classes) > _MOST:
            yield f"  and {len(pictures.classes) - _MOST} more"
    yield f"problems    {len(pictures.problems) or 'none'}"
    yield from (f"  {problem}" for problem in pictures.problems)


def _original_sizes(pictures: Pictures) -> str:
    """The original sizes of the images, if they were different."""
    _, height, width = pictures.shape
    sizes = Counter(pictures.sizes)
    if not sizes or set(sizes) == {f"{width}x{height}"}:
        return ""
    if len(sizes) == 1:
        return f", made from {next(iter(sizes))}"
    sides = [int(side) for size in sizes for side in size.split("x")]
    low, high = min(sides), max(sides)
    common, count = sizes.most_common(1)[0]
    return (
        f", made from {len(sizes):,} sizes with sides of {low} to {high}; the commonest is "
        f"{common} ({count:,})"
    )


def _captions(pictures: Pictures) -> Iterator[str]:
    counts = torch.tensor([len(tuple(filter(None, group))) for group in pictures.groups])
    each = counts[pictures.group]
    words = Counter(
        chain.from_iterable(re.findall(r"\w+", s.casefold()) for s in pictures.sentences)
    )
    longest = max(pictures.sentences, key=len)
    yield (
        f"captions    {len(pictures.sentences) - 1:,} distinct, {each.min()} to {each.max()} a "
        f"picture, {each.float().mean():.1f} on average"
    )
    yield f"longest     {len(longest.split())} words: {longest[:90]!r}"
    common = ", ".join(word for word, _ in words.most_common(_MOST))
    yield f"vocabulary  {len(words):,} words: {common}"


def contact_sheet(pictures: Pictures, seed: int = 0) -> Image.Image:
    """Random images, chosen by the seed: a row for each class, or each with its own caption."""
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
    if pictures.classes:
        rows = []
        for label, name in enumerate(pictures.classes[: 2 * _ROWS]):
            index = order[pictures.labels[order] == label][:_COLUMNS]
            if len(index):
                rows.append((name, pictures.at(index).numpy()))
        return grids.sheet(rows)
    index = order[:_CONTACTS]
    captions = [pictures.groups[group][0] for group in pictures.group[index]]
    images: list[np.ndarray] = list(pictures.at(index).cpu().numpy())
    return grids.contacts(list(zip(captions, images, strict=True)))
