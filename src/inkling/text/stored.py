"""What encoders with a pretrained model share: the model stays as it is, and is in memory only
while there is something to encode. Training and sampling read encodings from a cache on disk; a few
of them are also in the checkpoint.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.errors import UserError
from inkling.text.base import TextEncoder
from inkling.text.pretrained import model_folder
from inkling.text.store import Store

_IN_MEMORY = 1 << 29
"""Bytes of encodings kept in memory."""


class StoredEncoder(TextEncoder):
    """A pretrained model that is never trained, with its encodings cached on disk."""

    reader: ClassVar[str]
    """What its model is called in messages."""
    instead: ClassVar[str]
    """What to do without that model, as the end of a message."""
    anchor: Tensor
    """[]: moves with the module, and so tells the device of the conditions."""
    carried: Tensor
    """[K, 1 + L, D] float16: the encodings that are stored in the checkpoint."""

    def __init__(
        self,
        model: str,
        mark: str,
        width: int,
        *,
        pooled: bool = True,
        carrying: Sequence[tuple[str, int]] = (),
        frozen_parameters: int = 0,
    ):
        super().__init__()
        self.frozen_parameters = frozen_parameters
        self.model, self.mark, self.width = model, mark, width
        self.pooled = pooled
        self.store = Store(mark)
        self.lengths = dict(carrying)
        self._number = {caption: number for number, caption in enumerate(self.lengths)}
        self._rows: dict[str, int] = {}
        self._captions: list[str] = []
        self._memory: dict[int, Tensor] = {}
        self._held = 0
        longest = max(self.lengths.values(), default=0)
        self.register_buffer(
            "carried", torch.zeros(len(self.lengths), longest, width, dtype=torch.float16)
        )
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    @abstractmethod
    def digest(self, folder: Path) -> str:
        """A digest of the model in a folder and of the settings of its encodings."""

    @abstractmethod
    def add_missing(self, captions: Sequence[str]) -> None:
        """Encode captions, at least one, that neither the checkpoint nor the cache has.

        Raises:
            UserError: they cannot be encoded.
        """

    def tokenize(self, captions: Sequence[str], *, cut: bool = False) -> Tensor:
        """Caption numbers [B, 1] int64; captions that are not in the cache are encoded now."""
        captions = [caption.strip() for caption in captions]
        new = [c for c in dict.fromkeys(captions) if c not in self._rows]
        uncarried = [c for c in new if c not in self.lengths]
        if missing := self.store.missing(uncarried) if uncarried else []:
            self.add_missing(missing)
        for caption in new:
            self._rows[caption] = len(self._captions)
            self._captions.append(caption)
        return torch.tensor([[1 + self._rows[caption]] for caption in captions])  # 0 is padding

    def folder(self, what: str) -> Path:
        """The folder of the model, which must be the one used in training.

        Args:
            what: is to be encoded, for messages.
        """
        start = f"{what} was never encoded, and"
        try:
            folder = model_folder(self.model)
        except UserError as error:
            raise UserError(f"{start} {error}") from None
        if self.digest(folder) != self.mark:
            raise UserError(
                f"{start} the {self.reader} in {folder} is another than the one that this model "
                f"was trained with; {self.instead}"
            )
        return folder

    def _encodings(self, numbers: Sequence[int]) -> list[Tensor]:
        """Encodings of captions by their numbers, [1 + L, D] float16 each, on the CPU."""
        absent = [n for n in dict.fromkeys(numbers) if n not in self._memory]
        carried = [n for n in absent if self._captions[n] in self.lengths]
        cached = [n for n in absent if self._captions[n] not in self.lengths]
        rows = [self._carried(self._captions[n]) for n in carried]
        if cached:
            rows += self.store.get([self._captions[n] for n in cached])
        self._memory.update(zip([*carried, *cached], rows, strict=True))
        self._held += sum(row.nbytes for row in rows)
        found = [self._memory[n] for n in numbers]
        while self._held > _IN_MEMORY:  # what was read first goes first
            self._held -= self._memory.pop(next(iter(self._memory))).nbytes
        return found

    def _carried(self, caption: str) -> Tensor:
        row = self.carried[self._number[caption], : self.lengths[caption]]
        return row.half().cpu()

    def forward(self, ids: Tensor) -> Cond:
        rows = self._encodings((ids[:, 0] - 1).tolist())  # [1 + L, D] each
        lengths = torch.tensor([len(row) - 1 for row in rows])  # [B]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [B, 1 + longest, D]
        padded = padded.to(self.anchor.device).float()
        mask = torch.arange(padded.shape[1] - 1) < lengths[:, None]  # [B, longest]
        vector = padded[:, 0]  # [B, D]
        if not self.pooled:
            vector = torch.zeros_like(vector)
        return Cond(vector, padded[:, 1:], mask.to(padded.device))
