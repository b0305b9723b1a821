"""The objective of a student: from a level of its teacher's trajectories, jump to the next of its
own few levels in one call of the network.

Zhou et al. 2024, "Simple and Fast Distillation of Diffusion Models", with the teacher's own states
as starts: the student's own, as in the paper, gained nothing here and cost more.
"""

import copy
from pathlib import Path
from typing import Self

import msgspec
import torch
from torch import Tensor, nn

from inkling.config.recipe import Recipe, RunRecipe
from inkling.config.sample import Distil
from inkling.core import guidance
from inkling.core.jumps import apart, best_path, jump_errors, jump_target, state_at
from inkling.core.rng import row_noise, stream
from inkling.core.samplers import SAMPLERS
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.build import load_weights
from inkling.models.card import CallSettings
from inkling.models.text_denoiser import TextDenoiser
from inkling.system.device import autocast
from inkling.text.base import trimmed
from inkling.training.denoising import DenoisingObjective
from inkling.training.objective import Autocast, BuildInputs, GradientStep, Validation
from inkling.training.teacher import Kept, Pool, Teacher, Trajectories

_BYTES = 2e9
"""Memory for trajectories at most."""
_PILOTS = 256
"""Trajectories on which noise levels are chosen, and as many others to validate on."""
_BATCH = 128


class DistillationObjective(DenoisingObjective):
    """Trains a `TextDenoiser` that samples in a few calls of the network."""

    can_be_sharded = False
    teacher: Teacher
    _distil: Distil

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, Recipe), "a student is trained by the recipe of a denoiser"
        if recipe.distil is None:
            raise UserError(
                "a distillation needs a teacher: run `inkling distil RUN` on a finished run"
            )
        steps, calls = recipe.distil.sample.steps, recipe.distil.calls
        if calls[-1] > steps:
            raise UserError(
                f"a student of {calls[-1]} calls needs a teacher of as many steps, and this one "
                f"takes {steps}; give fewer --calls, or --set distil.sample.steps={3 * calls[-1]}"
            )
        stored = checkpoint.read(checkpoint.locate(Path(recipe.distil.teacher)))
        built = super().build(recipe, given._replace(stored=stored))
        load_weights(built.model, stored)
        built._learn_from(copy.deepcopy(built.model), recipe.distil)
        return built

    def _learn_from(self, teacher: TextDenoiser, distil: Distil) -> None:
        """Take a model as the teacher, and choose levels on its trajectories unless they are set.

        Raises:
            UserError: it cannot teach so many numbers of calls at once.
        """
        recipe, model = self.recipe, self.model
        precision = autocast(distil.sample.precision, model.device)
        self.teacher = Teacher(teacher, distil.sample, recipe.diffusion.noise, precision)
        if not distil.sigmas:
            levels = self._chosen_levels(distil)
            distil = msgspec.structs.replace(distil, sigmas=levels)
        self._distil = distil
        self.recipe = msgspec.structs.replace(
            recipe, distil=distil, sample=distil.student(len(distil.calls) - 1)
        )
        jumps = [
            (levels[i], levels[i + 1] if i + 1 < len(levels) else 0.0, i == 0)
            for levels in distil.sigmas
            for i in range(len(levels))
        ]
        self._ends = sorted(
            {end for _, end, _ in jumps} | {a for a, _, first in jumps if not first}
        )
        self._from = torch.tensor([start for start, _, _ in jumps])
        self._to = torch.tensor([end for _, end, _ in jumps])
        column = self._ends.index
        self._from_column = torch.tensor([-1 if f else column(start) for start, _, f in jumps])
        self._to_column = torch.tensor([column(end) for _, end, _ in jumps])
        # Each number of calls is learnt equally often, whatever its jumps.
        share = [1 / len(levels) for levels in distil.sigmas for _ in levels]
        self._frequency = torch.tensor(share).cumsum(0) / len(distil.calls)
        size = 2 * (1 + len(self._ends)) * self._shape.numel() * recipe.train.batch
        self._pool = Pool(self._made, distil.reuse, max(1, int(_BYTES / size)))
        self._held_out: tuple[Tensor, Kept] | None = None

    @property
    def _shape(self) -> torch.Size:
        """(c, h, w) of what the denoiser works on."""
        return torch.Size(self.model.codec.encoded_shape(self.pictures.shape))  # type: ignore[arg-type]

    def _chosen_levels(self, distil: Distil) -> tuple[tuple[float, ...], ...]:
        """For each number of calls, the levels at which the teacher's path bends least between.

        Raises:
            UserError: there are too many.
        """
        device, sigmas = self.model.device, self.teacher.sigmas
        noise = row_noise(self._shape, slice(0, _PILOTS), self.recipe.train.seed, "pilot")
        captions, _ = self._feed.captions(0, torch.zeros(_PILOTS))
        found = self._trajectories(noise.to(device), self._ids, captions)
        errors = jump_errors(
            found.states,
            found.estimates,
            sigmas.to(device).float(),
            self.recipe.diffusion.sigma_data,
        )
        paths = {c: [sigmas[i].item() for i in best_path(errors, c)] for c in distil.calls}
        levels = apart(paths)
        if levels is None:
            listed = ",".join(map(str, distil.calls))
            raise UserError(
                f"the noise levels of --calls {listed} cannot be told apart in one student of a "
                f"teacher of {distil.sample.steps} steps; give fewer numbers, such as 1,2,4"
            )
        return tuple(tuple(round(level, 6) for level in each) for each in levels.values())

    def _made(self, batch: int, rows: slice) -> Kept:
        """Rows of a batch of trajectories: noise and captions from (seed, batch, row)."""
        train = self.recipe.train
        generator = stream(train.seed, "trajectories", batch)
        wording, drop = torch.rand(2, train.batch, generator=generator)
        first = batch * train.batch + rows.start
        captions, _ = self._feed.captions(first, wording[rows])
        captions = torch.where(drop[rows] < train.caption_drop, 0, captions)
        device = self.model.device
        noise = row_noise(self._shape, rows, train.seed, "trajectory", batch, device=device)
        return self._kept(noise, self._trajectories(noise, self._ids, captions), captions)

    def _trajectories(self, noise: Tensor, ids: Tensor, captions: Tensor) -> Trajectories:
        """The teacher's, from noise [N, c, h, w] for captions [N], rows in ids [M, L]."""
        needed, rows = torch.unique(captions, return_inverse=True)
        some, device = trimmed(ids[needed]), self.model.device
        pairs = zip(torch.split(noise, _BATCH), torch.split(rows, _BATCH), strict=True)
        parts = [self.teacher.sample(x, some.to(device), which.to(device)) for x, which in pairs]
        return Trajectories(*map(torch.cat, zip(*parts, strict=True)))

    def _kept(self, noise: Tensor, found: Trajectories, captions: Tensor) -> Kept:
        """What a student needs of trajectories."""
        sigmas = self.teacher.sigmas.to(found.states)
        ends = torch.stack([state_at(found.states, sigmas, end) for end in self._ends], 1)
        return Kept(noise.half(), ends.half(), captions)

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(noisy, target [b, c, h, w], sigma [b], ids [M, L], rows [b]) of distinct captions."""
        generator = stream(self.recipe.train.seed, "jumps", step.step)
        batch = self._pool.batch_of(step.step, generator)
        kept = self._pool.rows(batch, step.rows)
        u = (torch.randperm(step.batch, generator=generator) + 0.5) / step.batch
        jump = torch.searchsorted(self._frequency, u[step.rows]).clamp(max=len(self._from) - 1)
        needed, rows = torch.unique(kept.captions, return_inverse=True)
        device = self.model.device
        ids = trimmed(self._ids[needed]).to(device)
        return *self._jumps(kept, jump), ids, rows.to(device)

    def _jumps(self, kept: Kept, jump: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(noisy, target, sigma) of jumps [b], one from each trajectory."""
        device = kept.noise.device
        sigma, after = self._from[jump].to(device), self._to[jump].to(device)
        row = torch.arange(len(jump), device=device)
        column = self._from_column[jump].to(device)
        start = sigma.view(-1, 1, 1, 1) * kept.noise
        inner = kept.states[row, column.clamp(min=0)].float()
        noisy = torch.where((column < 0).view(-1, 1, 1, 1), start, inner)
        landed = kept.states[row, self._to_column[jump].to(device)].float()
        return noisy, jump_target(noisy, landed, sigma, after), sigma

    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss of each jump [b]; each distinct caption is encoded once."""
        noisy, target, sigma, ids, rows = inputs
        cond = self.model.text(ids).take(rows)
        diffusion = self.recipe.diffusion
        return self.model.denoiser.error(
            noisy, target, sigma, cond, diffusion.loss, diffusion.weighting
        )

    @torch.no_grad()
    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        """How far the student is from its teacher on noise that neither learnt from.

        The loss is of jumps from the teacher's states; the root mean squared distances between
        pictures are of whole samples, so they have the student's errors of all its calls in them.
        """
        assert isinstance(model, TextDenoiser), "a copy of the model is of its kind"
        ids, kept = self._held_out = self._held_out or self._taught(pictures)
        levels: dict[str, float] = {}
        with autocast():
            cond = model.text(ids).take(kept.captions.to(ids.device))
            for jump, sigma in enumerate(self._from.tolist()):
                every = torch.full((len(kept.captions),), jump)
                noisy, target, sigmas = self._jumps(kept, every)
                error = model.denoiser.error(noisy, target, sigmas, cond)
                levels[f"{sigma:.3g}"] = error.mean().item()
        scores = {}
        for number, calls in enumerate(self._distil.calls):
            with autocast():
                settings = self._distil.student(number)
                denoise = guidance.bind(model, cond)
                if settings.clamp and model.codec.is_pixels:
                    denoise = guidance.clamp(denoise)
                sigmas = torch.tensor([*settings.sigmas, 0.0], dtype=torch.float64)
                start = kept.noise.float() * settings.sigmas[0]
                *_, last = SAMPLERS[settings.sampler](denoise, start, sigmas)
            missed = last.x - kept.states[:, self._ends.index(0.0)].float()
            scores[f"distance_{calls}_calls"] = missed.square().mean().sqrt().item()
        listed = ", ".join(f"{d:.3f}" for d in scores.values())
        numbers = ", ".join(map(str, self._distil.calls))
        text = f"distance to the teacher's pictures {listed} in {numbers} calls"
        return Validation(sum(levels.values()) / len(levels), scores, levels, text)

    def _taught(self, pictures: Pictures) -> tuple[Tensor, Kept]:
        """(ids [M, L], trajectories) for captions of held-out pictures, which are rows in ids."""
        device = self.model.device
        said, which = pictures.distinct_captions()
        which = which.repeat(-(-_PILOTS // len(which)))[:_PILOTS]
        needed, rows = torch.unique(which, return_inverse=True)
        ids = trimmed(self.model.text.tokenize([said[row] for row in needed.tolist()], cut=True))
        noise = row_noise(self._shape, slice(0, _PILOTS), self.recipe.train.seed, "validation")
        noise = noise.to(device)
        return ids.to(device), self._kept(noise, self._trajectories(noise, ids, rows), rows)

    def by_calls(self) -> tuple[CallSettings, ...]:
        return tuple(
            CallSettings(calls=calls, settings=self._distil.student(number))
            for number, calls in enumerate(self._distil.calls)
        )
