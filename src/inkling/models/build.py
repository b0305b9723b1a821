"""A recipe becomes modules: the one place where the names in a recipe meet classes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from inkling import data
from inkling.config.recipe import Data, Net, Recipe, Schedule
from inkling.contracts import Cond
from inkling.core import noise
from inkling.core.denoiser import Denoiser
from inkling.data import Options, Pictures
from inkling.errors import UserError, nearest
from inkling.nets.unet import Level, UNet
from inkling.text import ENCODERS, TextEncoder

_VALIDATION = 500
"""Pictures held out where the recipe does not say."""


class TextDenoiser(nn.Module):
    """All that learns: the text encoder and the denoiser that reads what it says."""

    def __init__(self, text: TextEncoder, denoiser: Denoiser):
        super().__init__()
        self.text = text
        self.denoiser = denoiser

    def forward(
        self,
        clean: Tensor,
        noise: Tensor,
        sigma: Tensor,
        ids: Tensor,
        rows: Tensor,
        penalty: str,
        weighting: str,
    ) -> Tensor:
        """The training loss of each image [B].

        Each distinct caption is encoded once: `ids` [M, L] holds them, `rows` [B] points to them.
        The other arguments are those of `Denoiser.loss`.
        """
        cond = self.text(ids).take(rows)
        return self.denoiser.loss(clean, noise, sigma, cond, penalty, weighting)

    def condition(self, captions: Sequence[str]) -> Cond:
        """The conditions of these captions, batch by batch of one."""
        device = next(self.parameters()).device
        encoded: Cond = self.text(self.text.tokenize(captions).to(device))
        return encoded


def read_pictures(settings: Data, split: str = "train") -> Pictures:
    """The pictures that the settings name.

    Raises:
        UserError: no such data set, or its files are missing or damaged.
    """
    options = {name: getattr(settings, name) for name in Options.__dataclass_fields__}
    found = data.read(settings.name, settings.path, split, Options(**options))
    if settings.caption:
        found = _captioned(found, settings)
    return found if settings.mirror is None else replace(found, mirror=settings.mirror)


def held_count(settings: Data, total: int) -> int:
    """How many of so many pictures are held out of training."""
    if settings.validation is not None:
        return settings.validation
    return min(_VALIDATION, total // 10)


def _captioned(pictures: Pictures, settings: Data) -> Pictures:
    """The pictures of a set with classes, one sentence for each class."""
    if not pictures.classes:
        raise UserError(
            f"data.caption={settings.caption!r} names classes, and {settings.name} has none; "
            "leave it empty"
        )
    said = tuple(settings.caption.replace("{}", name) for name in pictures.classes)
    return replace(
        pictures,
        groups=(*((sentence,) for sentence in said), ("",)),
        group=torch.where(pictures.labels < 0, len(said), pictures.labels),
        classes=said,
        held_out=(),
    )


def schedule(settings: Schedule) -> noise.Schedule:
    """The noise schedule that the settings name.

    Raises:
        UserError: an option that this schedule does not have.
    """
    kind = noise.SCHEDULES[settings.name]
    known = kind.__dataclass_fields__
    for option in settings.options:
        if option not in known:
            raise UserError(nearest(option, known, f"option of the schedule {settings.name!r}:"))
    typed = {
        option: int(value) if known[option].type is int else value
        for option, value in settings.options.items()
    }
    return kind(**typed)  # type: ignore[arg-type]


def network(settings: Net, channels: int, cond_width: int) -> UNet:
    """The raw network for pictures of so many channels."""
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return UNet(channels, cond_width, **fields)


def text_encoder(
    recipe: Recipe, *, sentences: Sequence[str] = (), vocabulary: str | None = None
) -> TextEncoder:
    """The text encoder, its vocabulary learnt from sentences or taken from a checkpoint."""
    kind = ENCODERS[recipe.text.encoder]
    settings: dict[str, Any] = {name: getattr(recipe.text, name) for name in kind.settings}
    if vocabulary is not None:
        return kind.from_vocabulary(vocabulary, **settings)
    return kind.fit(sentences, **settings)


def assemble(recipe: Recipe, text: TextEncoder, channels: int) -> TextDenoiser:
    """The model of a recipe with fresh weights. `diffusion.sigma_data` is resolved by now."""
    net = network(recipe.net, channels, text.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in net.modules():
        if isinstance(part, Level):
            part.recompute = recipe.train.recompute
    diffusion = recipe.diffusion
    return TextDenoiser(text, Denoiser(net, diffusion.prediction, diffusion.sigma_data))


_SMALL = re.compile(r"\.(stem|head|token|table|place|maps|template)\b|\.noise\.mlp\.0\.")


def hidden_matrices(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices for Muon, everything else): first and last layers and tables are not hidden."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim >= 2 and not _SMALL.search(f".{name}")
        (matrices if hidden else others).append(parameter)
    return matrices, others
