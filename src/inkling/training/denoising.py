"""The objective of a denoiser: under noise of a random level, predict what the network predicts."""

import copy
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.config.recipe import Recipe, RunRecipe
from inkling.core.noise import Schedule
from inkling.core.rng import row_noise, stream
from inkling.data import Pictures
from inkling.data.pictures import Feed
from inkling.data.spectrum import some
from inkling.errors import UserError, UserNote
from inkling.models.build import (
    codec_of,
    load_codec,
    noise_schedule,
    sampling_start,
    text_denoiser,
    text_encoder,
)
from inkling.models.codec import Codec, PixelCodec
from inkling.models.text_denoiser import TextDenoiser
from inkling.nets.network import Unit
from inkling.text.base import trimmed
from inkling.training.measured import measured
from inkling.training.objective import (
    Autocast,
    BuildInputs,
    GradientStep,
    Objective,
    Validation,
)
from inkling.training.progressive import size_at
from inkling.training.validation import LOW, validate_denoiser

_FIRST_LEVELS = 0.1
"""Fraction of the noise levels that a run with widening levels begins with."""


class StepRandomness(NamedTuple):
    """The randomness of the rows at hand, b of a batch of B; all on the CPU but the noise."""

    wording: Tensor
    """[b] uniform: which sentence each picture gets."""
    dropped: Tensor
    """[b] bool: which pictures are trained on the empty caption."""
    sigma: Tensor
    """[b] noise levels."""
    noise: Tensor
    """[b, C, H, W] standard normal."""
    mirrored: Tensor
    """[b] bool: which pictures are mirrored, in a set that allows it."""


def step_randomness(
    recipe: Recipe,
    schedule: Schedule,
    step: GradientStep,
    shape: tuple[int, ...],
    device: torch.device | str,
) -> StepRandomness:
    """The randomness of some rows of a step, from (seed, step, row).

    The same for each row, whatever the number of processes and parts.
    """
    seed, number, batch = recipe.train.seed, step.step, step.batch
    generator = stream(seed, "step", number)
    wording, drop, u = torch.rand(3, batch, generator=generator)
    if recipe.diffusion.stratified:
        u = (torch.randperm(batch, generator=generator) + u) / batch
    widen = recipe.train.widen
    if step.run_fraction < widen:
        window = _FIRST_LEVELS + (1 - _FIRST_LEVELS) * step.run_fraction / widen
        u = 0.5 + (u - 0.5) * window
    mirrored = torch.rand(batch, generator=stream(seed, "mirror", number)) < 0.5
    rows = step.rows
    return StepRandomness(
        wording[rows],
        drop[rows] < recipe.train.caption_drop,
        schedule.sigma(u)[rows],
        row_noise(shape, rows, seed, "noise", number, device=device),
        mirrored[rows],
    )


def resized(clean: Tensor, size: int | None) -> Tensor:
    """Pictures [B, C, H, W] whose longer side is `size`, averaged over areas; None: as they are."""
    longer = max(clean.shape[-2:])
    if size is None or size == longer:
        return clean
    height, width = (max(1, round(side * size / longer)) for side in clean.shape[-2:])
    return F.interpolate(clean, (height, width), mode="area")


class DenoisingObjective(Objective):
    """Trains a `TextDenoiser`."""

    recipe_type = Recipe
    recipe: Recipe
    model: TextDenoiser

    def __init__(self, recipe: Recipe, pictures: Pictures, model: TextDenoiser, codec: str):
        super().__init__()
        self.recipe, self.pictures, self.model = recipe, pictures, model
        self._codec = codec
        self._feed = Feed(pictures, recipe.train.seed, recipe.train.first_wording)
        self._schedule = noise_schedule(recipe.diffusion.noise)
        self._low = self._schedule.sigma(torch.tensor(LOW)).item()
        self._ids = model.text.tokenize(pictures.sentences, cut=True)

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, Recipe), "a denoiser is trained by its own kind of recipe"
        pictures, device, stored, held_out = given
        channels, height, width = pictures.shape
        check_sizes(recipe, max(height, width))
        codec, codec_recipe = _codec(recipe, given)
        diffusion = measured(recipe.diffusion, pictures, codec, device)
        recipe = msgspec.structs.replace(recipe, diffusion=diffusion)
        if pictures.conditional and not recipe.train.caption_drop and recipe.sample.scale != 1:
            warnings.warn(
                "train.caption_drop=0 never trains the empty caption, from which guidance at "
                f"sample.scale={recipe.sample.scale:g} leads away; set sample.scale=1, or drop "
                "some captions",
                UserNote,
                stacklevel=2,
            )
        if problem := sampling_start(recipe.diffusion, recipe.sample.grid).problem:
            warnings.warn(problem, UserNote, stacklevel=2)
        torch.manual_seed(recipe.train.seed)  # for the fresh weights
        vocabulary = None if stored is None else stored.vocabulary
        text = text_encoder(recipe, sentences=pictures.sentences, vocabulary=vocabulary)
        model = text_denoiser(recipe, text, (channels, height, width), codec)
        model = model.to(device)
        for each in (pictures, held_out):
            if each is not None:
                model.see(each)
        return cls(recipe, pictures, model, codec_recipe)

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(noisy, clean [b, c, h, w], sigma [b], ids [M, L], rows [b]) of distinct captions."""
        device, recipe = self.model.device, self.recipe
        shape = self.model.codec.encoded_shape(self.pictures.shape)  # type: ignore[arg-type]
        random = step_randomness(recipe, self._schedule, step, shape, device)
        mirrored = random.mirrored if self.pictures.mirror else None
        batch = self._feed.batch(step.first + step.rows.start, random.wording, mirrored)
        captions = torch.where(random.dropped, 0, batch.captions)
        needed, rows = torch.unique(captions, return_inverse=True)
        clean = self.model.codec.encode(batch.images.to(device))
        clean = resized(clean, size_at(recipe.train.sizes, step.run_fraction))
        height, width = clean.shape[-2:]
        # Averaging pixels averages their noise: the same level is a lower one on fewer pixels.
        sigma = random.sigma.to(device) * (height / shape[1])
        noise = random.noise[..., :height, :width]
        return (
            clean + sigma.view(-1, 1, 1, 1) * noise,
            clean,
            sigma,
            trimmed(self._ids[needed]).to(device),
            rows.to(device),
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss of each picture [b]; each distinct caption is encoded once."""
        noisy, target, sigma, ids, rows = inputs
        cond = self.model.text(ids).take(rows)
        diffusion = self.recipe.diffusion
        return self.model.denoiser.error(
            noisy, target, sigma, cond, diffusion.loss, diffusion.weighting
        )

    def low_noise(self, inputs: tuple[Tensor, ...]) -> Tensor:
        noisy, _, sigma, *_ = inputs
        finer = noisy.shape[-2] / self.model.codec.encoded_shape(self.pictures.shape)[1]  # type: ignore[arg-type]
        return (sigma < self._low * finer).float()

    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        assert isinstance(model, TextDenoiser), "a copy of the model is of its kind"
        diffusion, seed = self.recipe.diffusion, self.recipe.train.seed
        return validate_denoiser(model, pictures, diffusion, seed=seed, autocast=autocast)

    def blank_model(self) -> nn.Module:
        shape: Any = tuple(self.pictures.shape)
        text = text_encoder(self.recipe, vocabulary=self.vocabulary())
        codec = copy.deepcopy(self.model.codec)
        return text_denoiser(self.recipe, text, shape, codec).to(self.model.device)

    @property
    def dropout(self) -> float:
        return self.recipe.net.dropout

    def hidden_matrices(self) -> list[nn.Parameter]:
        return self.model.hidden_matrices()

    def frozen_parts(self) -> dict[str, int]:
        text = self.model.text
        name = "vision encoder" if text.reads_pictures else "text encoder"
        own = {name: text.frozen_parameters}  # which are in memory only now and then
        return {part: count for part, count in own.items() if count} | super().frozen_parts()

    def units(self) -> list[Unit]:
        return [*self.model.network.units()]

    def vocabulary(self) -> str:
        return self.model.text.vocabulary()

    def codec(self) -> str:
        return self._codec

    def completed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        prefix = "text."
        text = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        added = self.model.text.completed(text)
        return weights | {prefix + name: weight for name, weight in added.items()}


def check_sizes(recipe: Recipe, side: int) -> None:
    """Refuse picture sizes that do not grow up to the pictures' own.

    Raises:
        UserError: it gives the sizes that do.
    """
    sizes = recipe.train.sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != side):
        raise UserError(
            f"train.sizes is {list(sizes)}; the sizes rise, and the last is the pictures' own, "
            f"{side}: for example [{max(1, side // 2)}, {side}]"
        )


def _codec(recipe: Recipe, given: BuildInputs) -> tuple[Codec, str]:
    """The codec of a run and its recipe as JSON: from a checkpoint, from its own run, or pixels."""
    pictures, device, stored, _ = given
    if not recipe.data.codec:
        return PixelCodec(), ""
    if stored is not None and stored.card.codec:
        codec = codec_of(stored.card)
        weights = stored.part("raw.codec")
        if weights:
            codec.load_state_dict(weights)
        return codec.to(device), stored.card.codec
    loaded = load_codec(Path(recipe.data.codec).expanduser(), device)
    loaded.codec.encoded_shape(pictures.shape)  # type: ignore[arg-type]  # refuses what does not fit
    loaded.codec.measure(some(pictures).to(device))
    return loaded.codec, loaded.recipe
