"""How a model is sampled, as values: solver, noise levels, guidance; and what a student learns of
its teacher's samples.
"""

from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from inkling.errors import UserError
from inkling.settings import Count, Fraction, NotNegative, Positive, Precision, Settings


class ScheduleConfig(Settings, frozen=True):
    """Noise levels by name; options are the fields of that schedule in `inkling.core.noise`."""

    name: str = "lognormal"
    """A key of `inkling.core.SCHEDULES`."""
    options: dict[str, float] = {}
    """Its parameters by name; those left out have the schedule's defaults."""


class ClipGuidance(Settings, frozen=True):
    """How a CLIP guides samples towards a prompt that the model itself cannot read."""

    model: str = ""
    """A CLIP that inkling trained, a hub id or a folder; empty: none."""
    form: Literal["auto", "noisy", "network", "inner", "mean"] = "auto"
    """The gradient at the noisy picture, through the network, or in inner steps on the estimate of
    the clean picture or on the mean of the next noisy one; auto: noisy for a CLIP that was trained
    on noise, else network."""
    strength: NotNegative = 80.0
    """Factor of the gradient; 0: off. It is of the log-likelihood, so that 1 is right for a
    calibrated CLIP; in the form mean, of the cosine."""
    interval: Annotated[tuple[float, ...], Meta(min_length=2, max_length=2)] = (0.3, 1e9)
    """Guide only where `low < sigma <= high`; at low noise the gradient adds adversarial detail."""
    inner_steps: Count = 5
    """Gradient steps on each estimate or mean, in the forms inner and mean."""
    step_size: Positive = 0.15
    """Length of one of these; in the form mean, for each of 1000 timesteps."""
    sampler: str = "ddpm"
    """A key of `inkling.core.SAMPLERS`; ancestral noise corrects errors of the gradient."""
    steps: Count = 40
    """Solver steps with a CLIP, which needs more of them than a model that reads its prompts."""

    def __post_init__(self) -> None:
        _check_interval("sample.clip.interval", self.interval)


def _check_interval(name: str, interval: tuple[float, ...]) -> None:
    """Refuse noise levels between which nothing lies."""
    low, high = interval
    if not low < high:
        raise UserError(
            f"{name}={low:g},{high:g} has no noise level in it; give the lower one first"
        )


def check_falling(name: str, sigmas: tuple[float, ...]) -> None:
    """Refuse noise levels that a sampler could not go through from the first to the last.

    Raises:
        UserError: they do not fall.
    """
    if any(after >= before for before, after in pairwise(sigmas)):
        listed = ",".join(f"{level:g}" for level in sigmas)
        raise UserError(f"{name}={listed} does not fall; give the highest noise level first")


class Sample(Settings, frozen=True):
    """How a model is sampled: one value from the command line to the solver."""

    sampler: str = "dpmpp_2m"
    """A key of `inkling.core.SAMPLERS`."""
    steps: Count = 18
    """Solver steps. A step is one network call, two with heun and dpmpp_2s, and twice that where
    guidance is on; `inkling tune` finds how many a run needs."""
    eta: Fraction = 0.0
    """Fresh noise in the steps of ddim, from 0 (none) to 1 (as much as ddpm); others take none."""
    grid: ScheduleConfig = ScheduleConfig(name="karras")
    """The noise levels of the steps; without a name, the schedule of training. Without
    `sigma_min` and `sigma_max` among its options, over the range of training."""
    sigmas: tuple[Positive, ...] = ()
    """The noise levels of the steps one by one, falling, in place of a grid; after the last of them
    comes 0."""
    scale: NotNegative = 1.5
    """Scale of classifier-free guidance; 1: off, below 1: towards samples without a prompt. More
    follows the prompt better and varies less."""
    interval: Annotated[tuple[float, ...], Meta(min_length=2, max_length=2)] = (0.0, 1e9)
    """Noise levels between which classifier-free guidance is on, `low < sigma <= high`, in units of
    pixels in [-1, 1]. Below the lower one it changes little and costs a call a step; above the
    upper one it narrows the choice of layouts (Kynkaanniemi et al. 2024)."""
    negative_prompt: str = ""
    """Guidance leads away from this caption instead of the empty one."""
    size: tuple[Count, Count] | None = None
    """Height and width of the pictures; null: as in training."""
    clamp: bool = True
    """Keep estimates of the clean picture in [-1, 1]; latents have no such limits."""
    precision: Precision = "auto"
    """Of the network's arithmetic; auto: bfloat16 on hardware that has it, else float16 on CUDA and
    float32 elsewhere."""
    clip: ClipGuidance = ClipGuidance()
    """For `inkling sample --clip`, and `inkling.sampling.clip_guidance.load_guide`."""

    def __post_init__(self) -> None:
        _check_interval("sample.interval", self.interval)
        if self.sigmas:
            check_falling("sample.sigmas", self.sigmas)
            if self.steps != len(self.sigmas):
                raise UserError(
                    f"sample.sigmas has {len(self.sigmas)} noise levels and sample.steps is "
                    f"{self.steps}; a step begins at each level, so give as many steps"
                )
        # `negative + scale (prompt - negative)`: up to 1 it lies between the two.
        if self.negative_prompt and self.scale <= 1:
            raise UserError(
                f"at scale {self.scale:g} guidance does not lead away from the negative prompt "
                f"{self.negative_prompt!r} but towards it; give a scale above 1, such as 2"
            )


class Distil(Settings, frozen=True):
    """What a student learns from a teacher: to sample as it does in a few calls of the network."""

    teacher: str
    """The finished run whose samples are learned."""
    digest: str = ""
    """Of its weights; empty: not read yet."""
    sample: Sample = Sample()
    """How the teacher samples; its guidance becomes part of the student."""
    calls: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1, 2, 4)
    """Numbers of network calls a picture in which the student can sample, fewest first."""
    sigmas: tuple[tuple[Positive, ...], ...] = ()
    """The noise levels of these calls, for each number of them; empty: chosen on trajectories of
    the teacher."""
    reuse: Count = 8
    """Optimiser steps for each batch of trajectories that the teacher samples."""

    def __post_init__(self) -> None:
        if list(self.calls) != sorted(set(self.calls)):
            listed = ",".join(map(str, self.calls))
            raise UserError(f"distil.calls={listed} should rise, each number once, such as 1,2,4")
        if self.sigmas and tuple(map(len, self.sigmas)) != self.calls:
            raise UserError("distil.sigmas needs as many noise levels for each number as calls")
        for levels in self.sigmas:
            check_falling("distil.sigmas", levels)
        every = [level for levels in self.sigmas for level in levels]
        if len(set(every)) < len(every):
            raise UserError(
                "distil.sigmas has a noise level twice, from which a network could jump only once"
            )

    @property
    def choices(self) -> str:
        """The numbers of calls in words: "1, 2 or 4"."""
        *most, last = map(str, self.calls)
        return f"{', '.join(most)} or {last}" if most else last

    def student(self, number: int) -> Sample:
        """How the student samples in the calls at this place in `calls`."""
        levels = self.sigmas[number]
        return Sample(
            sampler="euler", steps=len(levels), sigmas=levels, scale=1.0, clamp=self.sample.clamp
        )
