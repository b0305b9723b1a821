"""The conditions of a call: of each distinct caption once, then row by row."""

from collections.abc import Iterable, Mapping, Sequence

import torch

from inkling.contracts import Cond
from inkling.errors import nearest
from inkling.sampling.prompts import Caption, weights_of
from inkling.text import TextEncoder

Encoded = Mapping[str, Cond]
"""The condition of each distinct caption of a call, as a batch of one."""
_ALIKE = 0.75
"""Likeness of two words, of which one may be the other mistyped: of tree and three, not of zebra
and zero."""


def joined(captions: Sequence[Caption], encoded: Encoded) -> Cond:
    """Conditions row by row."""
    wanted = [tuple(sorted(weights_of(caption).items())) for caption in captions]
    distinct = list(dict.fromkeys(wanted))
    each = [
        Cond.mixed([encoded[part] for part, _ in prompt], [weight for _, weight in prompt])
        if len(prompt) > 1 or prompt[0][1] != 1
        else encoded[prompt[0][0]]
        for prompt in distinct
    ]
    rows = torch.tensor([distinct.index(prompt) for prompt in wanted])
    return Cond.joined(each).take(rows)


def words_never_seen(text: TextEncoder, captions: Iterable[str]) -> list[str]:
    """The words that training had not, each with the known one that is most like it, if one is."""
    found = []
    for word in sorted({word for caption in captions for word in text.unknown_words(caption)}):
        meant = nearest(word, text.words, _ALIKE)
        found.append(f"{word!r} (did you mean {meant!r}?)" if meant else repr(word))
    return found
