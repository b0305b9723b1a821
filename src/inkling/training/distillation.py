"""The objective of a student: from a level of its teacher's trajectories, jump to the next of its
own few levels in one call of the network.

Zhou et al. 2024, "Simple and Fast Distillation of Diffusion Models", with the teacher's own states
as starts: the student's own, as in the paper, gained nothing here and cost more.
"""

import copy
from pathlib import Path
from typing import Self

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from inkling.config.recipe import Recipe, RunRecipe
from inkling.config.sample import Distil
from inkling.core.jumps import apart, best_path, jump_errors
from inkling.core.rng import row_noise, stream
from inkling.core.samplers import SAMPLERS, check_sampler
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.build import sampling_levels
from inkling.models.card import CallSettings
from inkling.models.checkpoint import Checkpoint
from inkling.models.text_denoiser import TextDenoiser
from inkling.system.device import autocast
from inkling.text.base import trimmed
from inkling.training.denoising import DenoisingObjective
from inkling.training.jump_table import JumpTable, Kept
from inkling.training.objective import Autocast, BuildInputs, GradientStep, Validation
from inkling.training.teacher import Pool, Teacher, Trajectories, followed
from inkling.training.warm_start import load_source, read_source

_BYTES = 2e9
"""Memory for trajectories at most."""
_PILOTS = 128
"""Trajectories on which noise levels are chosen, and as many others to validate on."""
_BATCH = 128


class DistillationObjective(DenoisingObjective):
    """Trains a `TextDenoiser` that samples in a few calls of the network."""

    can_be_sharded = False
    teacher: Teacher

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, Recipe), "a student is trained by the recipe of a denoiser"
        if recipe.distil is None:
            raise UserError(
                "a distillation needs a teacher: run `inkling distil RUN` on a finished run"
            )
        _check(recipe.distil, sampling_levels(recipe.distil.sample, recipe.diffusion.noise))
        teacher = Path(recipe.distil.teacher)
        stored = read_source(recipe, teacher, given.pictures)
        recipe = replace(recipe, distil=_of_teacher(recipe.distil, stored))
        built = super().build(recipe, given._replace(stored=stored))
        load_source(built, stored, teacher)
        built._learn_from(_copy(built.model))
        return built

    @property
    def _distil(self) -> Distil:
        assert self.recipe.distil is not None, "a student has a teacher"
        return self.recipe.distil

    def _learn_from(self, teacher: TextDenoiser) -> None:
        """Take a model as the teacher, and choose levels on its trajectories unless they are set.

        Raises:
            UserError: it cannot teach so many numbers of calls at once.
        """
        recipe, model, distil = self.recipe, self.model, self._distil
        precision = autocast(distil.sample.precision, model.device)
        self.teacher = Teacher(teacher, distil.sample, recipe.diffusion.noise, precision)
        if not distil.sigmas:
            distil = replace(distil, sigmas=self._chosen_levels(distil))
        self.recipe = replace(recipe, distil=distil, sample=distil.student(len(distil.calls) - 1))
        self._jumps = JumpTable.between(distil.sigmas)
        size = 2 * (1 + len(self._jumps.levels)) * self._shape.numel() * recipe.train.batch
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
        found = self._trajectories(noise, self._ids, captions)
        return self._jumps.keep(found, noise, self.teacher.sigmas, captions)

    def _trajectories(self, noise: Tensor, ids: Tensor, captions: Tensor) -> Trajectories:
        """The teacher's, from noise [N, c, h, w] for captions [N], rows in ids [M, L]."""
        needed, rows = torch.unique(captions, return_inverse=True)
        some, device = trimmed(ids[needed]), self.model.device
        pairs = zip(torch.split(noise, _BATCH), torch.split(rows, _BATCH), strict=True)
        parts = [self.teacher.sample(x, some.to(device), which.to(device)) for x, which in pairs]
        return Trajectories(*map(torch.cat, zip(*parts, strict=True)))

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(noisy, target [b, c, h, w], sigma [b], ids [M, L], rows [b]) of distinct captions."""
        generator = stream(self.recipe.train.seed, "jumps", step.step)
        batch = self._pool.batch_of(step.step, generator)
        kept = self._pool.rows(batch, step.rows)
        u = (torch.randperm(step.batch, generator=generator) + 0.5) / step.batch
        needed, rows = torch.unique(kept.captions, return_inverse=True)
        device = self.model.device
        ids = trimmed(self._ids[needed]).to(device)
        examples = self._jumps.examples(kept, self._jumps.choose(u[step.rows]))
        return *examples, ids, rows.to(device)

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
            for jump, sigma in enumerate(self._jumps.sigma.tolist()):
                every = torch.full((len(kept.captions),), jump)
                noisy, target, level = self._jumps.examples(kept, every)
                error = model.denoiser.error(noisy, target, level, cond)
                levels[f"{sigma:.3g}"] = error.mean().item()
        scores = {}
        for number, calls in enumerate(self._distil.calls):
            settings = self._distil.student(number)
            sigmas = sampling_levels(settings, self.recipe.diffusion.noise)
            with autocast():
                found = followed(model, settings, sigmas, kept.noise.float(), cond, cond)
            missed = found.states[:, -1] - kept.states[:, 0].float()
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
        found = self._trajectories(noise, ids, rows)
        return ids.to(device), self._jumps.keep(found, noise, self.teacher.sigmas, rows)

    def by_calls(self) -> tuple[CallSettings, ...]:
        return tuple(
            CallSettings(calls=calls, settings=self._distil.student(number))
            for number, calls in enumerate(self._distil.calls)
        )


def _of_teacher(distil: Distil, stored: Checkpoint) -> Distil:
    """The settings with the digest of the teacher's weights.

    Raises:
        UserError: they name another teacher.
    """
    found = checkpoint.digest(stored.tensors, {})[:20]
    if distil.digest not in ("", found):
        raise UserError(
            f"{distil.teacher} is not the teacher that this student began with; name that one, or "
            "start another student"
        )
    return replace(distil, digest=found)


def _copy(model: TextDenoiser) -> TextDenoiser:
    """A copy that shares the parts that never learn: encoded captions, and the codec."""
    learns = any(parameter.requires_grad for parameter in model.text.parameters())
    shared = [model.codec] if learns else [model.codec, model.text]
    return copy.deepcopy(model, {id(part): part for part in shared})


def _check(distil: Distil, sigmas: Tensor) -> None:
    """Refuse a way of sampling that a student cannot learn.

    Args:
        distil: what is asked for.
        sigmas: [S + 1] levels of the teacher.

    Raises:
        UserError: it adds noise, has other levels or fewer steps than the student, or another size.
    """
    settings, most = distil.sample, distil.calls[-1]
    check_sampler(settings.sampler, settings.eta)
    if settings.size is not None:
        raise UserError(
            "a student samples pictures of the size of training; leave distil.sample.size out"
        )
    top = 1.0001 * sigmas[0].item()  # stored levels are rounded
    if any(level > top for way in distil.sigmas for level in way):
        raise UserError(
            f"distil.sigmas begins above the teacher, which begins at {sigmas[0]:g}; lower it, or "
            "raise sigma_max of distil.sample.grid"
        )
    if SAMPLERS[settings.sampler].with_eta(settings.eta).stochastic:
        raise UserError(
            f"a student cannot learn where the fresh noise of {settings.sampler} will lead; let "
            "the teacher sample without it: --set distil.sample.sampler=dpmpp_2m"
        )
    if most > settings.steps:
        raise UserError(
            f"a student of {most} calls needs a teacher of as many steps, and this one takes "
            f"{settings.steps}; give fewer --calls, or --set distil.sample.steps={3 * most}"
        )
