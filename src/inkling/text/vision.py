"""Pictures as conditions: a frozen vision model (CLIP, DINOv2, ViT and similar) reads a picture in
the place of a caption.

A caption is the name of a picture here. Every picture is encoded once, ever; a checkpoint needs no
picture of its training, only the vision model, and that only for pictures it has not encoded yet.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from inkling.errors import UserError, UserNote
from inkling.system.progress import bar
from inkling.text.pretrained import model_digest, model_folder, parameter_count
from inkling.text.pretrained_vision import PretrainedVision
from inkling.text.store import Store
from inkling.text.stored import StoredEncoder

_BATCH = 64
_LARGE = 1 << 31
"""Bytes of encodings in the cache above which a note says so."""


class VisionEncoder(StoredEncoder):
    """A frozen vision model; the null condition is zero."""

    settings = ("model", "pooled", "tokens")
    reads_pictures = True
    reader = "vision model"
    instead = "restore that one"

    def __init__(self, model: str, mark: str, width: int, *, tokens: bool = False, **stored: Any):
        super().__init__(model, mark, width, carrying=[("", 1 + tokens)], **stored)
        self.tokens = tokens
        """Whether patch tokens are encoded too, for cross-attention; they are large."""

    @classmethod
    def fit(
        cls,
        sentences: Sequence[str],
        *,
        width: int = 0,
        model: str = "",
        pooled: bool = True,
        tokens: bool = False,
        **settings: Any,
    ) -> Self:
        folder = model_folder(model)
        mark = _digest(folder, tokens)
        store = Store(mark)
        if store.missing([""]):
            found = PretrainedVision(folder).width(tokens)
            store.add([("", torch.zeros(1 + tokens, found))])
        (null,) = store.get([""])
        return cls(
            model,
            mark,
            null.shape[1],
            pooled=pooled,
            tokens=tokens,
            frozen_parameters=parameter_count(folder, vision=True),
        )

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
            tokens=stored["tokens"],
            frozen_parameters=stored["frozen_parameters"],
        )

    def vocabulary(self) -> str:
        names = ("model", "mark", "width", "tokens", "frozen_parameters")
        return json.dumps({name: getattr(self, name) for name in names})

    def see(self, names: Sequence[str], pixels: Callable[[Tensor], Tensor]) -> None:
        index = {name: row for row, name in enumerate(names)}
        missing = self.store.missing(list(index))
        if not missing:
            return
        model = PretrainedVision(self.folder("a picture"), self.anchor.device)
        self._note_size(len(missing), model)
        with bar("encoding pictures", len(missing)) as advance:

            def encoded() -> Iterator[tuple[str, Tensor]]:
                for first in range(0, len(missing), _BATCH):
                    part = missing[first : first + _BATCH]
                    images = pixels(torch.tensor([index[name] for name in part]))
                    yield from zip(part, model.read(images, self.tokens), strict=True)
                    advance(len(part))

            self.store.add(encoded())

    def _note_size(self, count: int, model: PretrainedVision) -> None:
        if not self.tokens or count <= _BATCH:
            return
        size = 2 * count * self.width * (1 + model.tokens)
        if size > _LARGE:
            warnings.warn(
                f"the patch tokens of {count:,} pictures take {size / 1e9:,.1f} GB in "
                f"{self.store.path}; net.cross_attention=false needs one vector a picture",
                UserNote,
                stacklevel=3,
            )

    def digest(self, folder: Path) -> str:
        return _digest(folder, self.tokens)

    def add_missing(self, captions: Sequence[str]) -> None:
        raise UserError(
            f"this model reads pictures, and {captions[0][:60]!r} is a text; sample with a picture "
            "(--like FILE, or in Python Path(FILE)), and train without train.preview_prompts"
        )

    def unknown_words(self, caption: str) -> list[str]:
        return []


def _digest(folder: Path, tokens: bool) -> str:
    return model_digest(folder, "pictures", tokens)
