"""What every text encoder is: captions -> token ids (no weights), ids -> `Cond` (weights).

The two halves are apart so that training can tokenise each sentence once, before the first step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError


class TextEncoder(nn.Module, ABC):
    """Turns captions into conditions. The empty caption is the null condition."""

    settings: ClassVar[tuple[str, ...]] = ("width",)
    """The fields of `recipe.Text` that it takes."""
    width: int
    """D of the conditions it makes."""

    @classmethod
    @abstractmethod
    def fit(cls, sentences: Sequence[str], *, width: int, **settings: Any) -> Self:
        """A fresh encoder whose vocabulary is learned from the training sentences."""

    @classmethod
    @abstractmethod
    def from_vocabulary(cls, vocabulary: str, *, width: int, **settings: Any) -> Self:
        """The encoder that `vocabulary()` described; its weights are loaded apart."""

    @abstractmethod
    def vocabulary(self) -> str:
        """Everything but the weights, as text for the checkpoint."""

    @abstractmethod
    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        """Token ids [B, L] int64; 0 is padding.

        Args:
            captions: what to read.
            cut: read the beginning of a caption that is too long, and warn, rather than refuse it.

        Raises:
            UserError: a caption that this encoder cannot take, with what it can.
        """

    def takes(self, caption: str) -> bool:
        """Whether it can read the caption whole."""
        try:
            self.tokenize([caption])
        except UserError:
            return False
        return True

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Matrices of hidden layers, which Muon may train; embeddings are not among them."""
        return []

    def pieces(self, caption: str) -> list[str]:
        """The text behind each of the tokens that cross-attention reads; none where there are no
        tokens. A piece that begins a word begins with a space.
        """
        return []

    @abstractmethod
    def unknown_words(self, caption: str) -> list[str]:
        """The words of the caption that no training sentence had, so that users can be warned."""

    @abstractmethod
    def forward(self, ids: Tensor) -> Cond:
        """Conditions for token ids [B, L] int64."""


def pooled_only(vector: Tensor) -> Cond:
    """A condition without tokens: L is 0."""
    batch, width = vector.shape
    return Cond(
        vector,
        vector.new_zeros(batch, 0, width),
        torch.zeros(batch, 0, dtype=torch.bool, device=vector.device),
    )
