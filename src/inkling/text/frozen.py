"""A frozen pretrained text encoder: CLIP, T5, BERT and similar models.

The model is in memory only while there are captions to encode. Training and sampling read encoded
captions from a cache on disk; the encoded captions of a small data set are also in the checkpoint.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError, UserNote
from inkling.system.progress import bar
from inkling.text.base import TextEncoder
from inkling.text.pretrained import (
    Pretrained,
    model_digest,
    model_folder,
    parameter_count,
    token_pieces,
)
from inkling.text.store import Store
from inkling.text.transformer import words_of

_CARRIED = 1 << 24
"""Largest size in bytes of encoded captions in a checkpoint; more stay in the cache."""
_IN_MEMORY = 20_000
"""Encoded captions kept in memory as float32."""


class FrozenEncoder(TextEncoder):
    """A frozen pretrained text model, with its encoded captions cached on disk."""

    settings = ("model", "pooled", "max_tokens")
    anchor: Tensor
    """[]: moves with the module, and so tells the device of the conditions."""
    carried: Tensor
    """[K, 1 + L, D] float16: the encoded captions that are stored in the checkpoint."""

    def __init__(
        self,
        model: str,
        mark: str,
        width: int,
        *,
        pooled: bool = True,
        max_tokens: int = 32,
        carrying: Sequence[tuple[str, int]] = (),
        words: Iterable[str] = (),
        frozen_parameters: int = 0,
    ):
        super().__init__()
        self.frozen_parameters = frozen_parameters
        self.model, self.mark, self.width = model, mark, width
        self.pooled, self.max_tokens = pooled, max_tokens
        self.words = frozenset(words)
        """Of the training captions."""
        self.store = Store(mark)
        self.lengths = dict(carrying)
        self._number = {caption: number for number, caption in enumerate(self.lengths)}
        self._rows: dict[str, int] = {}
        self._captions: list[str] = []
        self._read = lru_cache(_IN_MEMORY)(self._row)
        longest = max(self.lengths.values(), default=0)
        self.register_buffer(
            "carried", torch.zeros(len(self.lengths), longest, width, dtype=torch.float16)
        )
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

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
            frozen_parameters=stored.get("parameters", 0),
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
                "parameters": self.frozen_parameters,
            }
        )

    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        """Caption numbers [B, 1] int64; captions that are not in the cache are encoded now."""
        captions = [caption.strip() for caption in captions]
        new = [c for c in dict.fromkeys(captions) if c not in self._rows]
        missing = self.store.missing([c for c in new if c not in self.lengths])
        if missing:
            _encode(self.store, self._folder(missing), missing, self.max_tokens)
        for caption in new:
            self._rows[caption] = len(self._captions)
            self._captions.append(caption)
        return torch.tensor([[1 + self._rows[caption]] for caption in captions])  # 0 is padding

    def _folder(self, missing: Sequence[str]) -> Path:
        """The folder of the text model, which must be the one used in training."""
        start = f"the caption {missing[0][:60]!r} was never encoded, and"
        try:
            folder = model_folder(self.model)
        except UserError as error:
            raise UserError(f"{start} {error}") from None
        if model_digest(folder, self.max_tokens) != self.mark:
            raise UserError(
                f"{start} the text model in {folder} is another than the one that this model was "
                "trained with; restore that one, or use prompts from the training captions"
            )
        return folder

    def takes(self, caption: str) -> bool:
        return True  # long captions are cut; answering by `tokenize` would encode the caption

    def pieces(self, caption: str) -> list[str]:
        return token_pieces(model_folder(self.model), caption, self.max_tokens)

    def unknown_words(self, caption: str) -> list[str]:
        return sorted(words_of([caption]) - self.words)

    def _row(self, number: int) -> Tensor:
        """An encoded caption, [1 + L, D] float32, on the CPU."""
        caption = self._captions[number]
        if caption in self.lengths:
            carried = self.carried[self._number[caption], : self.lengths[caption]]
            return carried.float().cpu()
        (cached,) = self.store.get([caption])
        return cached.float()

    def forward(self, ids: Tensor) -> Cond:
        rows = [self._read(number) for number in (ids[:, 0] - 1).tolist()]  # [1 + L, D] each
        lengths = torch.tensor([len(row) - 1 for row in rows])  # [B]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [B, 1 + longest, D]
        padded = padded.to(self.anchor.device)
        mask = torch.arange(padded.shape[1] - 1) < lengths[:, None]  # [B, longest]
        vector = padded[:, 0]  # [B, D]
        if not self.pooled:
            vector = torch.zeros_like(vector)
        return Cond(vector, padded[:, 1:], mask.to(padded.device))


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
