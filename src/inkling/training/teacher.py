"""The teacher of a distillation: it samples trajectories, and batches of them are kept."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from inkling.config.sample import Sample, ScheduleConfig
from inkling.contracts import Cond
from inkling.core import guidance
from inkling.core.samplers import SAMPLERS
from inkling.models.build import sampling_levels
from inkling.models.text_denoiser import TextDenoiser
from inkling.text.base import trimmed
from inkling.training.objective import Autocast


class Trajectories(NamedTuple):
    """What the teacher's sampler went through, in its S steps."""

    states: Tensor
    """[N, S + 1, C, H, W] float32."""
    estimates: Tensor
    """[N, S, C, H, W] of the clean images, those of the denoiser."""


class Teacher:
    """A trained model with the way in which it samples; it learns no more.

    Args:
        model: in eval mode.
        settings: how it samples: a deterministic solver.
        training: `diffusion.noise` of its training.
        autocast: the precision of its network.
    """

    def __init__(
        self,
        model: TextDenoiser,
        settings: Sample,
        training: ScheduleConfig,
        autocast: Autocast,
    ):
        self.model = model.eval().requires_grad_(False)
        self.settings = settings
        self.sigmas = sampling_levels(settings, training)
        self._autocast = autocast
        self._null = model.text.tokenize([settings.negative_prompt])

    @torch.no_grad()
    def sample(self, noise: Tensor, ids: Tensor, rows: Tensor) -> Trajectories:
        """Trajectories from noise [N, C, H, W], standard normal.

        Args:
            noise: where they start.
            ids: [M, L] of distinct captions.
            rows: [N] the caption of each image.
        """
        text = self.model.text
        null = text(trimmed(self._null).to(ids.device)).take(torch.zeros_like(rows))
        cond = text(ids).take(rows)
        with self._autocast():
            return followed(self.model, self.settings, self.sigmas, noise, cond, null)


def followed(
    model: TextDenoiser, settings: Sample, sigmas: Tensor, noise: Tensor, cond: Cond, null: Cond
) -> Trajectories:
    """The trajectories of a deterministic sampler, every step of them.

    Args:
        model: in eval mode.
        settings: its sampler, guidance and clamping.
        sigmas: [S + 1] levels, falling to 0.
        noise: [N, C, H, W] standard normal.
        cond: the condition of each image.
        null: from which guidance leads away; not read without guidance.
    """
    low, high = settings.interval
    denoise = guidance.cfg(model, cond, null, settings.scale, low, high)
    if settings.clamp and model.codec.is_pixels:
        denoise = guidance.clamp(denoise)
    x = noise * sigmas[0].float()
    steps = [*SAMPLERS[settings.sampler](denoise, x, sigmas)]
    states = torch.stack([x, *(step.x for step in steps)], 1)
    return Trajectories(states, torch.stack([step.x0 for step in steps], 1))


Rows = TypeVar("Rows")


class Pool(Generic[Rows]):
    """The latest batches of trajectories, each made when it is first asked for.

    A batch follows from its number alone, so a resumed run makes those again that it needs.

    Args:
        make: some rows of a batch, from its number.
        reuse: steps for each batch.
        most: batches that are kept.
    """

    def __init__(self, make: Callable[[int, slice], Rows], reuse: int, most: int):
        self._make, self._reuse, self._most = make, reuse, most
        self._kept: dict[tuple[int, int, int], Rows] = {}

    def batch_of(self, step: int, generator: torch.Generator) -> int:
        """The batch for a step: every `reuse` steps a new one, else any of those that are kept."""
        newest = step // self._reuse
        if step % self._reuse == 0:
            return newest
        oldest = max(0, newest - self._most + 1)
        return int(torch.randint(oldest, newest + 1, (), generator=generator))

    def rows(self, batch: int, rows: slice) -> Rows:
        """These rows of a batch; threads ask for rows of their own."""
        key = (batch, rows.start, rows.stop)
        if key not in self._kept:
            self._kept[key] = self._make(batch, rows)
            self._kept.pop((batch - self._most, rows.start, rows.stop), None)
        return self._kept[key]
