"""Pictures as prompts: files or pixels, brought to the form of the training pictures and named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inkling.data import Data, read_picture
from inkling.data.pictures import picture_name
from inkling.errors import UserError
from inkling.sampling.prompts import Picture
from inkling.text import TextEncoder


def in_form(picture: Picture, data: Data, shape: tuple[int, int, int]) -> Tensor:
    """A picture in the form of the training pictures, uint8 [C, H, W] on the CPU.

    Args:
        picture: a file, or uint8 [C, H, W] of any size.
        data: settings of the training set.
        shape: (C, H, W) of its pictures.

    Raises:
        UserError: there is no picture that can be read.
    """
    return read_picture(_content(picture), data, shape)


def _content(picture: Picture) -> Path | np.ndarray:
    """The file, or the pixels as [H, W] or [H, W, C].

    Raises:
        UserError: other arrays than uint8 [C, H, W].
    """
    if isinstance(picture, Path):
        return picture
    pixels = picture.cpu().numpy() if isinstance(picture, Tensor) else picture
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) not in (1, 3):
        raise UserError(
            "a picture as a prompt is uint8 [C, H, W] with 1 or 3 channels, and this one is "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


class PicturePrompts:
    """The pictures of one call, each read once.

    Args:
        pixels: brings a picture to the form of the training pictures.
        text: the encoder that shall read them; None: a CLIP that reads text reads the prompts.
    """

    def __init__(self, pixels: Callable[[Picture], Tensor], text: TextEncoder | None):
        self.pixels, self.text = pixels, text
        self._files: dict[Path, str] = {}
        self._images: dict[str, Tensor] = {}

    def name(self, picture: Picture) -> str:
        """The name of a picture, which the encoder can read after `show`.

        Raises:
            UserError: it cannot be read, or text is wanted.
        """
        if isinstance(picture, Path) and picture in self._files:
            return self._files[picture]
        if self.text is None or not self.text.reads_pictures:
            what = picture if isinstance(picture, Path) else "an array of pixels"
            reader = "a CLIP guides towards" if self.text is None else "this model reads"
            raise UserError(
                f"{reader} text, and {what} is a picture; give the prompt as text, or train a "
                "model with --set text.encoder=vision"
            )
        pixels = self.pixels(picture)
        name = picture_name(pixels)
        self._images[name] = pixels
        if isinstance(picture, Path):
            self._files[picture] = name
        return name

    def show(self) -> None:
        """Let the encoder see the pictures.

        Raises:
            UserError: as `TextEncoder.see`.
        """
        if self._images and self.text is not None:
            images = torch.stack(list(self._images.values()))
            self.text.see(list(self._images), images.__getitem__)
