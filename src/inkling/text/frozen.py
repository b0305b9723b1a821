"""A frozen pretrained text encoder: CLIP, T5, BERT and similar models.

The encoded captions of a small data set are also in the checkpoint.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from inkling.errors import UserNote
from inkling.system.progress import bar
from inkling.text.pretrained import (
    Pretrained,
    model_digest,
    model_folder,
    parameter_count,
    token_pieces,
)
from inkling.text.store import Store
from inkling.text.stored import StoredEncoder
from inkling.text.transformer import words_of

_CARRIED = 1 << 24
"""Largest size in bytes of encoded captions in a checkpoint; more stay in the cache."""


class FrozenEncoder(StoredEncoder):
    """A frozen pretrained text model, with its encoded captions cached on disk."""

    settings = ("model", "pooled", "max_tokens")
    reader = "text model"
    instead = "restore that one, or use prompts from the training captions"

    def __init__(
        self,
        model: str,
        mark: str,
        width: int,
        *,
        max_tokens: int = 32,
        words: Iterable[str] = (),
        **stored: Any,
    ):
        super().__init__(model, mark, width, **stored)
        self.max_tokens = max_tokens
        self.words = frozenset(words)
        """Of the training captions."""

    @classmethod
    def fit(
        cls,
        sentences: Sequence[str],
        *,
        width: int = 0,
        model: str = "",
        pooled: bool = True,
        max_tokens: int = 32,
        **settings: Any,
    ) -> Self:
        folder = model_folder(model)
        mark = model_digest(folder, max_tokens)
        store = Store(mark)
        wanted = list(dict.fromkeys(["", *sentences]))
        _encode(store, folder, store.missing(wanted), max_tokens)
        (null,) = store.get([""])
        width = null.shape[1]
        carrying: list[tuple[str, int]] = []
        if len(wanted) * len(null) * width * 2 <= _CARRIED:
            carrying = [(s, len(r)) for s, r in zip(wanted, store.get(wanted), strict=True)]
        longest = max((length for _, length in carrying), default=0)
        if len(carrying) * longest * width * 2 > _CARRIED:
            carrying = []
        encoder = cls(
            model,
            mark,
            width,
            pooled=pooled,
            max_tokens=max_tokens,
            carrying=carrying,
            words=words_of(sentences),
            frozen_parameters=parameter_count(folder),
        )
        for number, encoded in enumerate(store.get([caption for caption, _ in carrying])):
            encoder.carried[number, : len(encoded)] = encoded
        return encoder

    @classmethod
    def from_vocabulary(
        cls, vocabulary: str, *, width: int = 0, pooled: bool = True, **settings: Any
    ) -> Self:
        stored = json.loads(vocabulary)
        return cls(
            stored["model"],
            stored["mark"],
            stored["width"],
            pooled=pooled,
            max_tokens=stored["max_tokens"],
            carrying=[(caption, length) for caption, length in stored["carrying"]],
            words=stored["words"],
            frozen_parameters=stored["frozen_parameters"],
        )

    def extend(self, sentences: Sequence[str]) -> None:
        self.words |= words_of(sentences)
        new = [each for each in dict.fromkeys(sentences) if each not in self.lengths]
        if not new or not self.lengths:  # without any, there are too many to carry
            return
        self.tokenize(new)  # encodes those that the cache lacks
        rows = self.store.get(new)
        longest = max(self.carried.shape[1], *map(len, rows))
        if (len(self.lengths) + len(new)) * longest * self.width * 2 > _CARRIED:
            return
        known = self.carried
        self.carried = known.new_zeros(len(known) + len(new), longest, self.width)
        self.carried[: len(known), : known.shape[1]] = known
        for caption, encoded in zip(new, rows, strict=True):
            self._number[caption] = len(self.lengths)
            self.carried[self._number[caption], : len(encoded)] = encoded
            self.lengths[caption] = len(encoded)

    def completed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        known, all_of_them = weights["carried"], self.carried.clone()
        all_of_them[: len(known), : known.shape[1]] = known
        return weights | {"carried": all_of_them}

    def vocabulary(self) -> str:
        return json.dumps(
            {
                "model": self.model,
                "mark": self.mark,
                "width": self.width,
                "max_tokens": self.max_tokens,
                "carrying": list(self.lengths.items()),
                "words": sorted(self.words),
                "frozen_parameters": self.frozen_parameters,
            }
        )

    def digest(self, folder: Path) -> str:
        return model_digest(folder, self.max_tokens)

    def add_missing(self, captions: Sequence[str]) -> None:
        folder = self.folder(f"the caption {captions[0][:60]!r}")
        _encode(self.store, folder, captions, self.max_tokens)

    def takes(self, caption: str) -> bool:
        return True  # long captions are cut; answering by `tokenize` would encode the caption

    def pieces(self, caption: str) -> list[str]:
        return token_pieces(model_folder(self.model), caption, self.max_tokens)

    def unknown_words(self, caption: str) -> list[str]:
        return sorted(words_of([caption]) - self.words)


def _encode(store: Store, folder: Path, captions: Sequence[str], max_tokens: int) -> None:
    """Encode captions into the store with the model in a folder, which is freed afterwards."""
    if not captions:
        return
    model = Pretrained(folder, max_tokens)
    long = model.too_long(captions)
    if long:
        warnings.warn(
            f"{long:,} of {len(captions):,} captions are longer than {model.max_tokens} tokens and "
            "only their beginning is read; --set text.max_tokens reads more, as far as the text "
            "model can",
            UserNote,
            stacklevel=2,
        )
    with bar("encoding captions", len(captions)) as advance:

        def encoded() -> Any:
            for each in model.read(captions):
                yield each
                advance(1)

        store.add(encoded())
