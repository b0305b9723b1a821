"""The interface of text encoders: captions -> token ids (no weights), ids -> `Cond` (weights).

The two are separate so that training can tokenise each sentence once, before the first step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError


class TextEncoder(nn.Module, ABC):
    """Turns captions into conditions. The empty caption is the null condition."""

    settings: ClassVar[tuple[str, ...]] = ("width",)
    """The fields of `recipe.Text` that its constructors take; and `tokens`, whether the network
    reads them."""
    reads_pictures: ClassVar[bool] = False
    """Whether its captions are names of pictures that `see` has shown it."""
    width: int
    """D of its conditions."""
    words: frozenset[str] = frozenset()
    """Of its training sentences, in lower case, to suggest what a mistyped one may mean; empty: it
    does not read word by word."""
    frozen_parameters: int = 0
    """Of a pretrained model that reads captions for it and stays as it is; 0: none, or unknown."""

    @classmethod
    @abstractmethod
    def fit(cls, sentences: Sequence[str], *, width: int, **settings: Any) -> Self:
        """A fresh encoder whose vocabulary is learned from the training sentences."""

    @classmethod
    @abstractmethod
    def from_vocabulary(cls, vocabulary: str, *, width: int, **settings: Any) -> Self:
        """The encoder that `vocabulary()` describes; its weights are loaded separately."""

    def see(self, names: Sequence[str], pixels: Callable[[Tensor], Tensor]) -> None:
        """Encode pictures, so that their names can be read; for an encoder that reads pictures.

        Args:
            names: N of them; one name is one picture.
            pixels: from indices of the names [M] int64 to their pictures, uint8 [M, C, H, W].

        Raises:
            UserError: the model that encodes them cannot be read, or there is no room.
        """

    def extend(self, sentences: Sequence[str]) -> None:
        """Take in sentences of further training; what is known already stays as it is."""

    def completed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this encoder from before `extend`, with its own for what was added since."""
        return weights

    @abstractmethod
    def vocabulary(self) -> str:
        """Everything but the weights, as text for the checkpoint."""

    @abstractmethod
    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        """Token ids [B, L] int64; 0 is padding.

        Args:
            captions: captions to tokenise.
            cut: cut a caption that is too long, with a warning, rather than refuse it.

        Raises:
            UserError: this encoder cannot read a caption; the message says what it can read.
        """

    def takes(self, caption: str) -> bool:
        """Whether it can read the whole caption."""
        try:
            self.tokenize([caption])
        except UserError:
            return False
        return True

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Weights of hidden layers, which Muon may train; embeddings are not among them."""
        return []

    def pieces(self, caption: str) -> list[str]:
        """The text of each token that cross-attention reads; empty for an encoder without tokens.
        A piece that begins a word begins with a space.
        """
        return []

    @abstractmethod
    def unknown_words(self, caption: str) -> list[str]:
        """Words of the caption that are in no training sentence, to warn the user."""

    @abstractmethod
    def forward(self, ids: Tensor) -> Cond:
        """Conditions for token ids [B, L] int64."""


def trimmed(ids: Tensor) -> Tensor:
    """Token ids [M, L] without the padding that all of them have."""
    longest = int((ids != 0).sum(1).max())
    return ids[:, : max(longest, 1)]
