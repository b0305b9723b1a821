"""What one call asks for: a prompt and a seed for each picture."""

from collections.abc import Iterable, Mapping, Sequence, Set
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from torch import Tensor

from inkling.core.rng import Seed
from inkling.errors import UserError
from inkling.sampling.prompts import Prompt, wrong_kind
from inkling.settings import LARGEST_SEED

Prompts = Prompt | Iterable[Prompt]
"""One prompt, or some."""


def asked(
    prompts: Prompts | Tensor,
    seeds: Sequence[Seed] | None = None,
    seed: int | None = None,
    count: int | None = None,
) -> tuple[list[Prompt], list[Seed]]:
    """A prompt and a seed for each picture.

    Args:
        prompts: one, or some; labels [B] and pictures [B, C, H, W] count as some.
        seeds: one for each picture; of a prompt that is not in a list they give the count.
        seed: of the first picture, in place of `seeds`; the next ones count on. 0 if not given.
        count: pictures of each prompt, those of one prompt after another; 1 if not given.

    Raises:
        UserError: something of the wrong kind, seeds in two forms, or unequal lengths.
    """
    each, alone = _listed(prompts)
    if not each:
        raise UserError('there is no caption to sample; give one for each picture, or "" for none')
    if seeds is not None and seed is not None:
        raise UserError(
            f"seed={seed} counts on from one seed, and seeds names them one by one; give one of "
            "the two"
        )
    named = None if seeds is None else _seeds(seeds)
    if count is None:
        count = len(named) if named and alone else 1
    if (times := _whole(count)) is None or times < 1:
        raise UserError(f"count={count!r} pictures of each prompt: give a whole number >= 1")
    rows = [prompt for prompt in each for _ in range(times)]
    if named is None:
        first = _whole(seed or 0)
        if first is None:
            raise UserError(f"seed={seed!r} is no whole number; seeds=[...] names several")
        _check_seed(first)
        return rows, [*range(first, first + len(rows))]
    if len(rows) != len(named):
        raise UserError(
            f"{len(rows)} captions for {len(named)} seeds; give one for each picture, or leave "
            "seeds out to count on from seed 0"
        )
    return rows, named


def _listed(prompts: Any) -> tuple[list[Prompt], bool]:
    """The prompts as a list, and whether there was one alone."""
    if isinstance(prompts, Tensor | np.ndarray):
        if prompts.ndim in (0, 3):  # the index of a class, or a picture
            return [prompts], True
        return [*(prompts.tolist() if prompts.ndim == 1 else prompts)], False
    if isinstance(prompts, bool):
        raise wrong_kind(prompts)
    if isinstance(prompts, str | Path | Mapping | SupportsIndex):
        return [prompts], True
    # The order of a set is arbitrary, so its pictures would not follow from their seeds.
    if not isinstance(prompts, Iterable) or isinstance(prompts, bytes | Set):
        raise wrong_kind(prompts)
    return list(prompts), False


def _seeds(seeds: Any) -> list[Seed]:
    """Seeds as a list of numbers, or of (seed, seed, fraction)."""
    if isinstance(seeds, SupportsIndex) and not getattr(seeds, "ndim", 0):
        raise UserError(
            f"seeds={seeds} should be a list with one for each picture; to count on from one, "
            f"write seed={seeds}"
        )
    try:
        named = [each if isinstance(each, tuple) else index(each) for each in seeds]
    except TypeError:
        raise UserError(
            f"seeds={seeds!r} should be a list of whole numbers, such as seeds=[0, 1, 2]"
        ) from None
    for each in named:
        if isinstance(each, tuple):
            _check_between(each)
        else:
            _check_seed(each)
    return named


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2 * LARGEST_SEED:  # they count on from the one that is given
        raise UserError(f"seed {seed} is out of range; seeds are whole numbers from 0 to 2^62")


def _check_between(seed: tuple[Any, ...]) -> None:
    """Refuse what is not two seeds and a fraction."""
    if len(seed) != 3 or None in (whole := [*map(_whole, seed[:2])]) or not _is_fraction(seed[2]):
        raise UserError(
            f"the seed {seed!r} should be a whole number, or two and a fraction from 0 to 1, such "
            "as (3, 4, 0.5) for noise halfway between"
        )
    for each in whole:
        _check_seed(each or 0)


def _is_fraction(number: Any) -> bool:
    return isinstance(number, int | float) and 0 <= number <= 1


def _whole(number: Any) -> int | None:
    """A whole number; None if it is none."""
    try:
        return index(number)
    except TypeError:
        return None
