"""How often sampling settings call the network for a picture."""

import torch
from torch import Tensor

from inkling.config.sample import Sample, ScheduleConfig
from inkling.core.samplers import SAMPLERS
from inkling.models.build import sampling_levels


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


def network_calls(settings: Sample, training: ScheduleConfig, *, prompted: bool = True) -> int:
    """Evaluations of the network for a picture; arguments and errors as in `calls_of_each`."""
    return sum(calls for _, calls in calls_of_each(settings, training, prompted=prompted))
