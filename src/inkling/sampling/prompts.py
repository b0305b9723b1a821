"""What may be asked for: a caption, a class by its index, a picture, or a mixture of these."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, nan, prod
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex, TypeGuard

import numpy as np
from torch import Tensor

from inkling.errors import UserError
from inkling.text import LabelEncoder, TextEncoder

Picture = Path | Tensor | np.ndarray
"""A picture file, or uint8 pixels [C, H, W] of any size."""
Prompt = str | SupportsIndex | Picture | Mapping[Any, float]
"""A caption, the index of a class, or a picture for a model that reads pictures; or some of these
with their weights: their conditions are summed."""
Caption = str | Mapping[str, float]
"""A prompt whose index, picture, or sentence around a label was replaced by a caption."""


def is_picture(prompt: Prompt) -> TypeGuard[Picture]:
    """Whether a prompt is a picture; an array of one element is the index of a class."""
    return isinstance(prompt, Path) or (
        isinstance(prompt, Tensor | np.ndarray) and prod(prompt.shape) != 1
    )


def with_names(prompts: Iterable[Prompt], name: Callable[[Picture], str]) -> list[Prompt]:
    """The prompts with each picture replaced by its name, in mixtures too."""

    def replaced(prompt: Prompt) -> Prompt:
        if isinstance(prompt, Mapping):
            return _summed((replaced(part), weight) for part, weight in prompt.items())
        return name(prompt) if is_picture(prompt) else prompt

    return [replaced(prompt) for prompt in prompts]


def _summed(parts: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    """Weights by part; of parts that turn out to be the same, the sum.

    Raises:
        UserError: a weight that is no finite number.
    """
    found: dict[Any, float] = {}
    for part, weight in parts:
        found[part] = found.get(part, 0.0) + _weight(part, weight)
    return found


def _weight(part: object, weight: Any) -> float:
    """The weight of a part of a mixture, a finite number."""
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise UserError(f"the weight {weight!r} of {part!r} in a mixture is no finite number")
    return number


def caption_of(prompt: Prompt, classes: Sequence[str], text: TextEncoder | None = None) -> Caption:
    """The caption of a prompt; a name, a sentence around it and its index mean the same.

    Args:
        prompt: what was asked for.
        classes: the captions that name the classes, in label order.
        text: the encoder, which may read some sentences only; None: something that reads any text.

    Raises:
        UserError: an index without a class, bytes that are no text, a text for an encoder of
            pictures, or something that is no prompt.
    """
    if isinstance(prompt, Mapping):
        if not any(prompt.values()):
            raise UserError(
                f"the mixture {dict(prompt)!r} has no part with a weight; give one, such as "
                '{"zero": 0.5, "eight": 0.5}'
            )
        parts = prompt.items()
        return _summed((str(caption_of(part, classes, text)), weight) for part, weight in parts)
    if text is not None and text.reads_pictures:
        text.tokenize([str(prompt)])  # refuses what names no picture
        return str(prompt)
    if not isinstance(prompt, str):
        assert not isinstance(prompt, Path), "pictures have names by now"
        try:
            label = index(prompt)
        except TypeError:
            raise wrong_kind(prompt) from None
        return _class(label, classes)
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UserError(f"the prompt {prompt!r} is no valid text; type it in UTF-8") from None
    if (
        text is None
        or not prompt
        or (text.takes(prompt) and not (classes and _is_index(prompt, text)))
    ):
        return prompt
    if _is_index(prompt, text):
        return _class(int(prompt), classes)
    meant = _named(prompt, classes) if isinstance(text, LabelEncoder) else []
    return meant[0] if len(meant) == 1 else prompt


def wrong_kind(prompt: object) -> UserError:
    """What is said of something that is no prompt."""
    return UserError(
        f"captions must be a string or a list of strings, and {prompt!r} is of the type "
        f"{type(prompt).__name__}; the index of a class, a picture, and a mixture such as "
        '{"zero": 0.5, "eight": 0.5} may stand in the place of a string'
    )


def _is_index(prompt: str, text: TextEncoder) -> bool:
    """Whether a prompt is a number that no training caption had."""
    bare = prompt.strip()
    known = text.takes(prompt) and not text.unknown_words(prompt)
    return bare.isascii() and bare.isdecimal() and not known


def _class(label: int, classes: Sequence[str]) -> str:
    if not classes:
        raise UserError(
            f"this model was trained without classes and cannot be asked for class {label}; leave "
            "the prompt out, or name a caption"
        )
    if not 0 <= label < len(classes):
        last = len(classes) - 1
        raise UserError(
            f"there is no class {label}; choose from 0 ({classes[0]!r}) to {last} ({classes[-1]!r})"
        )
    return classes[label]


def _named(sentence: str, classes: Sequence[str]) -> list[str]:
    """The classes that a sentence names, by words or by number."""
    words = _words(sentence)
    found = [
        name for name in classes if _contains(words, _words(name)) or _contains(_words(name), words)
    ]
    numbers = [int(word) for word in words if word.isascii() and word.isdecimal()]
    found += [classes[number] for number in numbers if number < len(classes)]
    return list(dict.fromkeys(found))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _contains(words: list[str], part: list[str]) -> bool:
    """Whether the words have this part, in one piece."""
    return bool(part) and any(
        words[first : first + len(part)] == part for first in range(len(words) - len(part) + 1)
    )


def between(first: Any, last: Any, count: int) -> list[Any]:
    """Prompts on the way from one caption or picture file to another, both ends included.

    Args:
        first: where to begin.
        last: where to end.
        count: how many, at least 2.
    """
    if first == last:
        return [first] * count
    fractions = [number / (count - 1) for number in range(count)]
    return [{first: 1 - fraction, last: fraction} for fraction in fractions]


def weights_of(prompt: Caption) -> dict[str, float]:
    """The captions of a prompt and their weights; those without weight left out."""
    if isinstance(prompt, str):
        return {prompt: 1.0}
    return {caption: weight for caption, weight in prompt.items() if weight} or {"": 1.0}
