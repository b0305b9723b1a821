"""How often sampling settings call the network for a picture."""

import torch
from msgspec.structs import replace
from torch import Tensor

from inkling.config.sample import Sample, ScheduleConfig
from inkling.core.samplers import SAMPLERS
from inkling.models.build import sampling_levels

_ANCESTRAL, _TWICE = 10, 6
"""Steps below which samplers with fresh noise, and those of two calls a step, fail: docs/log.md."""


def levels(settings: Sample, training: ScheduleConfig) -> list[float]:
    """The noise levels at which the sampler asks the denoiser, in order.

    The sampler itself is run, on a denoiser that only takes notes, so this holds for any sampler.

    Args:
        settings: how to sample.
        training: `diffusion.noise` of the model.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    asked: list[float] = []

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        asked.append(float(sigma))
        return x

    sigmas = sampling_levels(settings, training)
    solver = SAMPLERS[settings.sampler].with_eta(settings.eta)
    for _ in solver(denoise, torch.zeros(1, 1, 1, 1), sigmas, randn_like=torch.zeros_like):
        pass
    return asked


def calls_of_each(
    settings: Sample, training: ScheduleConfig, *, prompted: bool = True
) -> list[tuple[float, int]]:
    """(noise level, network calls) of each evaluation of the denoiser: two calls where it is
    guided.

    Args:
        settings: how to sample.
        training: `diffusion.noise` of the model.
        prompted: whether there is a prompt; without one nothing guides.

    Raises:
        UserError: as `core.noise.make_schedule`.
    """
    low, high = settings.interval
    guided = prompted and settings.scale != 1
    asked = levels(settings, training)
    return [(level, 2 if guided and low < level <= high else 1) for level in asked]


def in_words(settings: Sample, training: ScheduleConfig, *, prompted: bool = True) -> str:
    """How samples are made, for figures: sampler, steps, network calls, guidance.

    Args:
        settings: how to sample.
        training: `diffusion.noise` of the model.
        prompted: whether there is a prompt.
    """
    calls = network_calls(settings, training, prompted=prompted)
    parts = [settings.sampler, f"{settings.steps} steps", f"{calls} network calls"]
    if prompted:
        parts.append(f"guidance {settings.scale:g}" if settings.scale != 1 else "no guidance")
    if settings.negative_prompt:
        parts.append(f'not "{settings.negative_prompt}"')
    return ", ".join(parts)


def advice(settings: Sample) -> str:
    """A sentence about a sampler that is used where it fails or flatters; empty if it is not.

    Args:
        settings: how to sample.
    """
    solver, name = SAMPLERS[settings.sampler].with_eta(settings.eta), settings.sampler
    if settings.sigmas or settings.steps == 1:
        return ""
    if solver.stochastic and settings.steps < _ANCESTRAL:
        return (
            f"{name} draws fresh noise in every step, and so few of them give blurred or wrong "
            f"pictures; take {_ANCESTRAL} steps or more, or --sampler dpmpp_2m"
        )
    if solver.calls_per_step > 1 and settings.steps < _TWICE:
        return (
            f"{name} calls the network twice a step and needs {_TWICE} steps or more; in "
            f"{solver.calls(settings.steps)} calls --sampler dpmpp_2m is better"
        )
    return ""


def most_steps(settings: Sample, training: ScheduleConfig, calls: int) -> Sample:
    """The settings with the most steps that so many network calls allow, at least one.

    Args:
        settings: how to sample.
        training: `diffusion.noise` of the model.
        calls: for a picture, guidance included.
    """
    steps = SAMPLERS[settings.sampler].steps(calls)
    while steps > 1:
        fewer = replace(settings, steps=steps)
        if network_calls(fewer, training) <= calls:
            return fewer
        steps -= 1
    return replace(settings, steps=1)


def network_calls(settings: Sample, training: ScheduleConfig, *, prompted: bool = True) -> int:
    """Evaluations of the network for a picture; arguments and errors as in `calls_of_each`."""
    return sum(calls for _, calls in calls_of_each(settings, training, prompted=prompted))
