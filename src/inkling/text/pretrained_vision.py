"""Pretrained vision models of `transformers`, loaded to encode pictures and freed afterwards."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.errors import UserError
from inkling.text.pretrained import VISION, read_config, read_model, reading


class PretrainedVision:
    """A vision model in memory."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu"):
        with reading(folder, "vision model"):
            config, name = read_config(folder, VISION)
            self.model = read_model(name, folder).to(device).eval()
            if self.model.main_input_name != "pixel_values":
                raise UserError(
                    f"the model in {folder} ({config.model_type}) reads no pictures; name a vision "
                    "model, such as a CLIP or DINOv2"
                )
            form = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            self.size = _size(form) or (self.model.config.image_size,) * 2
            self.channels = int(getattr(self.model.config, "num_channels", 3))
            normalised = form.get("do_normalize", True)
            mean, std = (form["image_mean"], form["image_std"]) if normalised else ([0.0], [1.0])
        self.device = device
        self.mean, self.std = (
            torch.tensor(each, device=device)[:, None, None] for each in (mean, std)
        )
        """[C, 1, 1] or [1, 1, 1] of pixels in [0, 1]."""
        vector, tokens = self._outputs(torch.zeros(1, self.channels, *self.size))
        self.tokens = tokens.shape[1]
        """L of its encodings with tokens."""
        self._widths = vector.shape[1], tokens.shape[2]

    def width(self, tokens: bool) -> int:
        """D of its encodings, with tokens or without."""
        return self._widths[tokens]

    def read(self, images: Tensor, tokens: bool) -> Tensor:
        """Encodings [B, 1 + L, D] float32 on the CPU: the pooled vector, then the tokens.

        Every row has unit root mean square. No border is cropped away.

        Args:
            images: uint8 [B, C, H, W]; grey ones are repeated, and colour is averaged for a model
                of one channel.
            tokens: whether the patch tokens are wanted; without them L is 0.
        """
        x = images.float() / 255
        if x.shape[1] != self.channels:
            x = x.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bicubic", align_corners=False, antialias=True)
        vector, patches = self._outputs(x.clamp(0, 1))
        if tokens:
            # In the space of the tokens, where the projected vector has another width.
            vector = vector if vector.shape[1] == patches.shape[2] else patches[:, 0]
            both = torch.cat([vector[:, None], patches], dim=1)
        else:
            both = vector[:, None]
        return F.rms_norm(both, both.shape[-1:]).cpu()

    @torch.no_grad()
    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(pooled vectors [B, D], tokens [B, L, D']) of pictures [B, C, H, W] in [0, 1]."""
        found = self.model(pixel_values=(x.to(self.device) - self.mean) / self.std)
        tokens = found.last_hidden_state
        if tokens.ndim == 4:  # of a convolutional network
            tokens = tokens.flatten(2).mT
        vector = getattr(found, "image_embeds", None)
        if vector is None:
            vector = getattr(found, "pooler_output", None)
        return (tokens[:, 0] if vector is None else vector.flatten(1)), tokens


def _size(form: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) in which a model sees pictures, by its preprocessor's settings."""
    size = form.get("crop_size") if form.get("do_center_crop") else form.get("size")
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        height, width = size.get("height", side), size.get("width", side)
        return (int(height), int(width)) if height and width else None
    return (int(size), int(size)) if size else None
