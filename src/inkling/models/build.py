"""A recipe becomes modules: where names in a recipe meet what they name."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from inkling.config.codec_recipe import CodecRecipe
from inkling.config.judge_recipe import JudgeRecipe
from inkling.config.overrides import from_json, to_json
from inkling.config.recipe import Diffusion, Recipe, RunRecipe
from inkling.config.registries import check_names
from inkling.config.sample import Sample, ScheduleConfig
from inkling.core import noise
from inkling.core.denoiser import Denoiser
from inkling.data import Pictures
from inkling.errors import UserError, unknown_name
from inkling.models import checkpoint
from inkling.models.card import Card
from inkling.models.checkpoint import Checkpoint
from inkling.models.codec import Codec, LatentCodec, PixelCodec
from inkling.models.text_denoiser import TextDenoiser
from inkling.nets.autoencoder import Autoencoder
from inkling.nets.classifier import Classifier
from inkling.text import ENCODERS, TextEncoder

_BEYOND = 1.05
"""Factor by which sampling may leave the range of training without a word."""
_LEFT, _LAST = 0.1, 0.3
"""Largest fraction of signal where sampling starts, and of noise where it ends, likewise; relative
to the data."""


def noise_schedule(settings: ScheduleConfig) -> noise.Schedule:
    """The noise schedule that the settings name.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    return noise.make_schedule(settings.name, settings.options)


def sampling_schedule(grid: ScheduleConfig, training: ScheduleConfig) -> noise.Schedule:
    """The schedule of the steps of a sampler, over the range of training unless it has its own.

    Args:
        grid: `sample.grid`; without a name, the schedule of training.
        training: `diffusion.noise`.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    if not grid.name:
        return noise_schedule(training)
    ends = dict(
        zip(("sigma_min", "sigma_max"), noise.ends_of(noise_schedule(training)), strict=True)
    )
    fields = noise.SCHEDULES[grid.name].__dataclass_fields__ if grid.name in noise.SCHEDULES else {}
    followed = {name: end for name, end in ends.items() if name in fields}
    return noise.make_schedule(grid.name, followed | grid.options)


def sampling_levels(settings: Sample, training: ScheduleConfig) -> Tensor:
    """The noise levels of a sampling run: [steps + 1] float64, strictly falling, ending in 0.

    Args:
        settings: how to sample.
        training: `diffusion.noise`.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    if settings.sigmas:
        return torch.tensor([*settings.sigmas, 0.0], dtype=torch.float64)
    return noise.grid(sampling_schedule(settings.grid, training), settings.steps)


class SamplingStart(NamedTuple):
    """The noise levels of training and of sampling."""

    trained: tuple[float, float]
    """Smallest and largest sigma of training."""
    sampled: tuple[float, float]
    """Smallest and largest sigma of the sampler's steps."""
    signal: float
    """Fraction of the data's standard deviation that is left at the level that sampling starts
    from, as far as training reached: 0 is pure noise."""
    sigma_data: float
    """Standard deviation of the data."""

    @property
    def problem(self) -> str:
        """How sampling does not fit training, in one line; empty if it does."""
        (low, high), (bottom, top) = self.trained, self.sampled
        ranges = f"training has noise levels {low:.3g} to {high:.3g}, sampling {bottom:.3g} to "
        ranges += f"{top:.3g}"
        if top > _BEYOND * high:
            return f"{ranges}: it starts at {top / high:,.3g} times the noisiest level of training"
        if bottom * _BEYOND < low:
            return f"{ranges}: it ends at {low / bottom:,.3g} times less than training ever had"
        if self.signal > _LEFT:
            return f"{ranges}: it starts as if from pure noise, where {self.signal:.0%} is signal"
        if bottom > _LAST * self.sigma_data:
            return f"{ranges}: its last step removes all noise from {bottom:.3g} at once"
        return ""


def sampling_start(diffusion: Diffusion, grid: ScheduleConfig) -> SamplingStart:
    """How the noise levels of sampling fit those of training. `sigma_data` is resolved by now.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    trained = noise.ends_of(noise_schedule(diffusion.noise))
    sampled = noise.ends_of(sampling_schedule(grid, diffusion.noise))
    top = min(trained[1], sampled[1])
    sigma_data = diffusion.sigma_data
    signal = sigma_data / math.hypot(sigma_data, top)
    return SamplingStart(trained, sampled, signal, sigma_data)


def text_encoder(
    recipe: Recipe, *, sentences: Sequence[str] = (), vocabulary: str | None = None
) -> TextEncoder:
    """The text encoder, its vocabulary learned from sentences; or taken from a checkpoint, and
    extended by them.
    """
    kind = ENCODERS[recipe.text.encoder]
    offered = msgspec.structs.asdict(recipe.text) | {"tokens": recipe.net.reads_tokens}
    settings: dict[str, Any] = {name: offered[name] for name in kind.settings}
    if vocabulary is not None:
        known = kind.from_vocabulary(vocabulary, **settings)
        known.extend(sentences)
        return known
    return kind.fit(sentences, **settings)


def described(recipe: RunRecipe, pictures: Pictures) -> Pictures:
    """The pictures as a run of this recipe describes them: by their captions, or by themselves."""
    by_itself = isinstance(recipe, Recipe) and ENCODERS[recipe.text.encoder].reads_pictures
    return pictures.as_conditions() if by_itself else pictures


def text_denoiser(
    recipe: Recipe, text: TextEncoder, shape: tuple[int, int, int], codec: Codec | None = None
) -> TextDenoiser:
    """The model of a recipe with fresh weights. `diffusion.sigma_data` is resolved by now.

    Args:
        recipe: of a denoiser.
        text: what reads captions.
        shape: (C, H, W) of the pictures.
        codec: between them and what the denoiser works on; pixels if None.
    """
    codec = codec or PixelCodec()
    channels, _, _ = codec.encoded_shape(shape)
    net = recipe.net.build(channels, text.width)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for unit in net.units():
        unit.recompute = recipe.train.recompute
    diffusion = recipe.diffusion
    return TextDenoiser(text, Denoiser(net, diffusion.prediction, diffusion.sigma_data), codec)


class Trained(NamedTuple):
    """A trained denoiser and what is known about it."""

    model: TextDenoiser
    recipe: Recipe
    card: Card


WEIGHTS = ("ema", "raw")
"""The averaged weights, and the last ones."""


def load_denoiser(path: Path, weights: str = "ema", device: torch.device | str = "cpu") -> Trained:
    """Read a denoiser back.

    Args:
        path: a run folder or the file in it.
        weights: "ema" for the averaged weights, "raw" for the last ones.
        device: where the model shall live.

    Raises:
        UserError: no file, a truncated or damaged one, or one that holds no denoiser.
    """
    if weights not in WEIGHTS:
        raise UserError(unknown_name(weights, WEIGHTS, "kind of weights"))
    stored = checkpoint.read(checkpoint.locate(path))
    recipe = stored.recipe
    if not isinstance(recipe, Recipe):
        raise UserError(
            f"{path} holds a {recipe.objective} model, not a model that samples pictures"
        )
    check_names(recipe, below=("diffusion.prediction", "sample", "text"))
    text = text_encoder(recipe, vocabulary=stored.vocabulary)
    codec = codec_of(stored.card)
    model = text_denoiser(recipe, text, stored.card.shape, codec)
    load_weights(model, stored, weights)
    return Trained(model.to(device).eval(), recipe, stored.card)


def load_weights(model: nn.Module, stored: Checkpoint, weights: str = "ema") -> None:
    """Put the weights of a checkpoint into a model; what is never averaged comes from the raw."""
    model.load_state_dict(stored.part("raw") | stored.part(weights))


def codec_of(card: Card) -> Codec:
    """The codec that a denoiser's card describes; its weights come with the denoiser's."""
    if not card.codec:
        return PixelCodec()
    recipe = from_json(card.codec)
    assert isinstance(recipe, CodecRecipe), "a card holds the recipe of a codec"
    return LatentCodec(autoencoder(recipe, card.channels))


class LoadedCodec(NamedTuple):
    """A codec read from its run."""

    codec: LatentCodec
    recipe: str
    """As JSON, for the card of a denoiser."""


def load_codec(path: Path, device: torch.device | str = "cpu") -> LoadedCodec:
    """A codec of its own run; its latents are not measured yet.

    Raises:
        UserError: no run, or one of something else.
    """
    stored = checkpoint.read(checkpoint.locate(path))
    if not isinstance(stored.recipe, CodecRecipe):
        raise UserError(
            f"{path} holds a {stored.recipe.objective} model, not a codec; train one with "
            f"`inkling train codec-NAME`"
        )
    net = autoencoder(stored.recipe, stored.card.channels)
    load_weights(net, stored)
    return LoadedCodec(LatentCodec(net).to(device), to_json(stored.recipe))


def autoencoder(recipe: CodecRecipe, channels: int) -> Autoencoder:
    """An autoencoder with fresh weights for pictures of so many channels."""
    net = Autoencoder(channels, recipe.autoencoder)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def classifier(recipe: JudgeRecipe, shape: tuple[int, int, int], classes: int) -> Classifier:
    """A classifier with fresh weights for pictures (C, H, W)."""
    channels, *size = shape
    net = Classifier(channels, classes, (size[0], size[1]), recipe.classifier)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
