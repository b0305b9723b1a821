"""Class labels as captions: one learned vector for each distinct sentence, words ignored."""

import json
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError, nearest
from inkling.text.base import TextEncoder


class LabelEncoder(TextEncoder):
    """A table of learned vectors, one for each sentence; row 0 is the null condition."""

    def __init__(self, names: Sequence[str], width: int):
        super().__init__()
        self.width = width
        self._name(names)

    def _name(self, names: Sequence[str]) -> None:
        """Make a fresh table for these sentences."""
        self.names = tuple(names)
        self._row = {"": 0, **{name: row for row, name in enumerate(self.names, start=1)}}
        self.table = nn.Embedding(len(self.names) + 1, self.width)

    @classmethod
    def fit(cls, sentences: Sequence[str], *, width: int, **settings: Any) -> Self:
        return cls(list(dict.fromkeys(filter(None, sentences))), width)

    @classmethod
    def from_vocabulary(cls, vocabulary: str, *, width: int, **settings: Any) -> Self:
        return cls(json.loads(vocabulary), width)

    def extend(self, sentences: Sequence[str]) -> None:
        new = dict.fromkeys(each for each in sentences if each not in self._row)
        if new:
            self._name([*self.names, *new])

    def completed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        known = weights["table.weight"]
        fresh = self.table.weight.detach()[len(known) :].to(known)
        return weights | {"table.weight": torch.cat([known, fresh])}

    def vocabulary(self) -> str:
        return json.dumps(self.names)

    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        for caption in captions:
            if caption not in self._row and not self.names:
                raise UserError(
                    f"this model was trained without captions and cannot read {caption[:60]!r}; "
                    "leave the prompt out"
                )
            if caption not in self._row:
                names = ", ".join(repr(name) for name in self.names[:20])
                meant = nearest(caption, self.names)
                hint = f"did you mean {meant!r}? " if meant else ""
                raise UserError(
                    f"this model was trained on labels, and {caption[:60]!r} is none of them; "
                    f"{hint}choose among {names}"
                )
        return torch.tensor([[self._row[caption]] for caption in captions])

    def unknown_words(self, caption: str) -> list[str]:
        return []

    def forward(self, ids: Tensor) -> Cond:
        return Cond.pooled(self.table(ids[:, 0]))
