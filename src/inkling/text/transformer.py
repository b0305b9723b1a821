"""A small transformer over byte-level BPE, trained jointly with the image network.

No download: its vocabulary is learned from the training sentences. Any text can be tokenised; the
smallest tokens are bytes.
"""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError, UserNote
from inkling.text.base import TextEncoder

PAD, NULL = "<pad>", "<null>"
_NULL_ID = 1
"""Padding and the null caption are the first two entries of every vocabulary."""


def words_of(texts: Iterable[str]) -> set[str]:
    """Every word of these texts, in lower case."""
    return {word for text in texts for word in re.findall(r"\w+", text.casefold())}


def byte_level_bpe(texts: Sequence[str], size: int, special: Sequence[str]) -> Tokenizer:
    """A tokenizer trained on texts, with at most `size` entries, the special ones first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class TransformerEncoder(TextEncoder):
    """A small transformer, trained with the denoiser; the null condition is a token of its own."""

    settings = ("width", "layers", "heads", "max_tokens", "vocabulary_size")

    def __init__(
        self,
        tokenizer: Tokenizer,
        words: Sequence[str],
        *,
        width: int,
        layers: int = 2,
        heads: int = 4,
        max_tokens: int = 32,
    ):
        super().__init__()
        tokenizer.encode_special_tokens = True  # a caption that spells one is text like any other
        self.tokenizer = tokenizer
        self.words = frozenset(words)
        self.width = width
        self.max_tokens = max_tokens
        self.token = nn.Embedding(tokenizer.get_vocab_size(), width)
        self.position_embedding = nn.Parameter(torch.randn(max_tokens, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.token.weight, std=0.5)

    @classmethod
    def fit(
        cls, sentences: Sequence[str], *, width: int, vocabulary_size: int = 4096, **settings: Any
    ) -> Self:
        tokenizer = byte_level_bpe(sentences, vocabulary_size, (PAD, NULL))
        words = sorted(words_of(sentences))
        return cls(tokenizer, words, width=width, **settings)

    @classmethod
    def from_vocabulary(
        cls, vocabulary: str, *, width: int, vocabulary_size: int = 4096, **settings: Any
    ) -> Self:
        stored = json.loads(vocabulary)
        return cls(
            Tokenizer.from_str(stored["tokenizer"]), stored["words"], width=width, **settings
        )

    def extend(self, sentences: Sequence[str]) -> None:
        # Bytes spell every new word, so the tokens stay.
        self.words |= words_of(sentences)

    def vocabulary(self) -> str:
        return json.dumps({"tokenizer": self.tokenizer.to_str(), "words": sorted(self.words)})

    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        found = self.tokenizer.encode_batch([caption.strip() for caption in captions])
        rows = [encoding.ids or [_NULL_ID] for encoding in found]
        long = [row for row, ids in enumerate(rows) if len(ids) > self.max_tokens]
        if long and not cut:
            caption, count = captions[long[0]], len(rows[long[0]])
            raise UserError(
                f"the prompt {caption[:40]!r}... is {len(caption)} characters and {count} "
                f"tokens long; this model reads at most {self.max_tokens} tokens, so shorten it"
            )
        if long:
            warnings.warn(
                f"{len(long):,} of {len(rows):,} captions are longer than {self.max_tokens} tokens "
                "and only their beginning is read; --set text.max_tokens reads more",
                UserNote,
                stacklevel=2,
            )
        return nn.utils.rnn.pad_sequence(
            [torch.tensor(ids[: self.max_tokens]) for ids in rows], batch_first=True
        )

    def hidden_matrices(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.layers.parameters() if parameter.ndim >= 2]

    def pieces(self, caption: str) -> list[str]:
        ids = self.tokenizer.encode(caption.strip()).ids[: self.max_tokens]
        return [self.tokenizer.decode([number]) for number in ids]

    def unknown_words(self, caption: str) -> list[str]:
        return sorted(words_of([caption]) - self.words)

    @staticmethod
    def _precision(device: torch.device) -> AbstractContextManager[None]:
        """Float32 on the CPU, where attention over short sequences is ten times slower in bfloat16;
        elsewhere that of the run.
        """
        return torch.autocast("cpu", enabled=False) if device.type == "cpu" else nullcontext()

    def forward(self, ids: Tensor) -> Cond:
        mask = ids != 0  # [B, L]
        x = self.token(ids) + self.position_embedding[: ids.shape[1]]  # [B, L, D]
        with self._precision(x.device):
            x = self.norm(self.layers(x, src_key_padding_mask=~mask))  # [B, L, D]
        weight = mask.unsqueeze(-1).to(x.dtype)  # [B, L, 1]
        vector = (x * weight).sum(1) / weight.sum(1)  # [B, D]
        return Cond(vector, x * weight, mask)
