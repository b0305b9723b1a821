"""What may be asked for: a caption, the index of a class, or captions with weights."""

import re
from collections.abc import Mapping, Sequence
from operator import index
from typing import SupportsIndex

from inkling.errors import UserError
from inkling.text import LabelEncoder, TextEncoder

Prompt = str | SupportsIndex | Mapping[str, float]
"""A caption, the index of a class, or captions with their weights: their conditions are summed."""
Caption = str | Mapping[str, float]
"""A prompt whose index, or whose sentence around a label, was replaced by a caption."""


def caption_of(prompt: Prompt, classes: Sequence[str], text: TextEncoder | None = None) -> Caption:
    """The caption of a prompt; a name, a sentence around it and its index mean the same.

    Args:
        prompt: what was asked for.
        classes: the captions that name the classes, in label order.
        text: the encoder, which may read some sentences only; None: something that reads any text.

    Raises:
        UserError: an index without a class, or bytes that are no text.
    """
    if isinstance(prompt, Mapping):
        parts = [(caption_of(part, classes, text), weight) for part, weight in prompt.items()]
        return {str(caption): weight for caption, weight in parts}
    if not isinstance(prompt, str):
        return _class(index(prompt), classes)
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
