"""The objective of a codec: pictures through a narrow bottleneck and back."""

import math
from typing import Self

import torch
from torch import Tensor, nn

from inkling.config.codec_recipe import CodecRecipe
from inkling.config.recipe import RunRecipe
from inkling.core.rng import row_noise, stream
from inkling.data import Pictures
from inkling.data.pictures import Feed
from inkling.errors import UserError
from inkling.models.build import autoencoder
from inkling.nets.autoencoder import Autoencoder
from inkling.pixels import from_bytes
from inkling.training.objective import (
    Autocast,
    BuildInputs,
    GradientStep,
    Objective,
    Validation,
)

_BATCH = 250


class CodecObjective(Objective):
    """Trains an `Autoencoder`: the squared error of the picture, and the KL divergence."""

    recipe_type = CodecRecipe
    recipe: CodecRecipe
    model: Autoencoder

    def __init__(self, recipe: CodecRecipe, pictures: Pictures, model: Autoencoder):
        super().__init__()
        self.recipe, self.pictures, self.model = recipe, pictures, model
        self._feed = Feed(pictures, recipe.train.seed)

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, CodecRecipe), "a codec is trained by its own kind of recipe"
        torch.manual_seed(recipe.train.seed)  # for the fresh weights
        pictures = given.pictures
        channels, height, width = pictures.shape
        model = autoencoder(recipe, channels)
        if height % model.factor or width % model.factor:
            raise UserError(
                f"a codec of {len(recipe.autoencoder.widths)} levels makes one latent of "
                f"{model.factor}x{model.factor} pixels, which does not divide pictures of "
                f"{width}x{height}; give autoencoder.widths fewer levels, or set data.size"
            )
        return cls(recipe, pictures, model.to(given.device))

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(pictures [b, C, H, W] in [-1, 1], noise [b, c, h, w])."""
        device = next(self.model.parameters()).device
        rows, seed = step.rows, self.recipe.train.seed
        mirrored = torch.rand(step.batch, generator=stream(seed, "mirror", step.step)) < 0.5
        taken = self._feed.batch(
            step.first + rows.start,
            torch.zeros(rows.stop - rows.start),
            mirrored[rows] if self.pictures.mirror else None,
        )
        x = from_bytes(taken.images.to(device))
        _, height, width = self.pictures.shape
        factor = self.model.factor
        shape = (self.model.latent_channels, height // factor, width // factor)
        return x, row_noise(shape, rows, seed, "noise", step.step, device=device)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss of each picture [b]."""
        x, noise = inputs
        back, divergence = self.model(x.contiguous(memory_format=torch.channels_last), noise)
        error = (back.float() - x).square().flatten(1).mean(1)  # [b]
        loss: Tensor = error + self.recipe.autoencoder.kl_weight * divergence.float()
        return loss

    @torch.no_grad()
    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        assert isinstance(model, Autoencoder), "a copy of the model is of its kind"
        errors = []
        device = next(model.parameters()).device
        for rows in torch.split(torch.arange(len(pictures)), _BATCH):
            x = from_bytes(pictures.at(rows).to(device))
            errors.append((model.decode(model.encode(x)) - x).square().flatten(1).mean(1))
        error = torch.cat(errors).mean().item()
        # The range of [-1, 1] is 2, so the peak is 4 in squares.
        psnr = 10 * math.log10(4 / max(error, 1e-12))
        return Validation(
            loss=error,
            scores={"psnr": psnr, "reconstruction_rmse": math.sqrt(error) / 2},
            text=f"reconstruction {psnr:.1f} dB",
        )

    def blank_model(self) -> nn.Module:
        device = next(self.model.parameters()).device
        return autoencoder(self.recipe, self.model.channels).to(device)

    @property
    def conditional(self) -> bool:
        return False

    def hidden_matrices(self) -> list[nn.Parameter]:
        return self.model.hidden_matrices()
