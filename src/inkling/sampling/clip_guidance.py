"""Guidance by what a CLIP sees, for models that read no text."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from inkling.config.overrides import replaced
from inkling.config.sample import ClipGuidance
from inkling.contracts import Denoise
from inkling.core import guidance
from inkling.errors import UserError, UserNote
from inkling.models.clip import Clip

_TIMESTEPS = 1000
"""For which the step size of the form mean is: fewer steps go further each."""
_IN_STEPS = ("inner", "mean")
"""Forms that read `inner_steps` and `step_size`."""
_OF_COSINES = {"strength": 2.0}
"""Where the form mean is asked for: the strengths of the others are of likelihoods."""


class Guide:
    """Guides samples towards prompts that only a CLIP can read."""

    def __init__(self, clip: Clip, settings: ClipGuidance):
        self.clip = clip
        self.settings = settings
        form = settings.form
        if form == "auto":
            form = "noisy" if clip.known.noisy else "network"
        if form == "noisy" and not clip.known.noisy:
            raise UserError(
                "this CLIP reads clean pictures only and cannot guide in the form 'noisy'; use "
                "network, inner or mean, or train one with contrast.noisy=0.7"
            )
        self.form = form

    def wrap(
        self,
        denoise: Denoise,
        prompts: Sequence[str],
        *,
        sigmas: Tensor,
        sampler: str,
        sigma_data: float,
        clamp: bool,
    ) -> Denoise:
        """The denoiser, guided towards one prompt a picture.

        Args:
            denoise: to be guided.
            prompts: one for each picture.
            sigmas: levels of the solver's steps.
            sampler: name of the solver.
            sigma_data: standard deviation of the data.
            clamp: whether estimates are kept in [-1, 1]; of the form mean the unguided ones.

        Raises:
            UserError: a solver without the steps whose means are to be guided.
        """
        settings = self.settings
        low, high = settings.interval
        limited = guidance.clamp if clamp else _as_it_is
        if settings.strength == 0:
            return limited(denoise)
        if self.form == "mean":
            if sampler != "ddpm":
                raise UserError(
                    f"the form 'mean' guides the means of ancestral steps, and {sampler!r} has "
                    "none; sample with ddpm, or choose another form"
                )
            denoise = limited(denoise)
            guided = guidance.mean_guidance(
                denoise,
                self.clip.similarity(prompts),
                sigmas,
                settings.strength * settings.step_size * _TIMESTEPS / (len(sigmas) - 1),
                settings.inner_steps,
            )
        else:
            guided = limited(self._by_likelihood(denoise, prompts, sigma_data))
            denoise = limited(denoise)
        return lambda x, sigma: (guided if low < sigma <= high else denoise)(x, sigma)

    def _by_likelihood(
        self, denoise: Denoise, prompts: Sequence[str], sigma_data: float
    ) -> Denoise:
        log_likelihood, settings = self.clip.log_likelihood(prompts), self.settings
        strength = settings.strength
        if self.form == "noisy":
            return guidance.classifier_guidance(denoise, log_likelihood, strength)
        if self.form == "network":
            return guidance.dps_guidance(denoise, log_likelihood, strength)
        return guidance.estimate_guidance(
            denoise,
            log_likelihood,
            strength,
            sigma_data,
            settings.inner_steps,
            settings.step_size,
        )


def _as_it_is(denoise: Denoise) -> Denoise:
    return denoise


def load_guide(settings: ClipGuidance, prompts: Sequence[str], device: torch.device) -> Guide:
    """The CLIP that the settings name, ready to guide towards prompts.

    Warns of prompts that mean nothing to it.

    Raises:
        UserError: no CLIP there, or one that cannot guide in this form.
    """
    clip = Clip.load(settings.model, device)
    for prompt in filter(clip.is_unknown, prompts):
        known = ", ".join(map(repr, clip.known.classes[:10]))
        warnings.warn(
            f"{prompt!r} has no meaning for the pictures that this CLIP was trained on, so samples "
            f"of it have none either; it knows {known or 'other words'}",
            UserNote,
            stacklevel=2,
        )
    return Guide(clip, settings)


def guide_for(
    recommended: ClipGuidance,
    changes: Mapping[str, Any],
    prompts: Sequence[str] | None,
    device: torch.device,
) -> Guide | None:
    """The CLIP that a recipe recommends, or another one; None where no CLIP shall guide.

    Args:
        recommended: `sample.clip` of the recipe; its CLIP guides if there are prompts.
        changes: settings that were asked for in its place, by name.
        prompts: to guide towards; None: those that the CLIP knows, if it was asked for.
        device: where the CLIP shall live.

    Raises:
        UserError: settings of guidance and no CLIP, no prompt or no effect, or as
            `load_guide`.
    """
    if changes and not changes.get("model", recommended.model):
        raise UserError(
            f"without a CLIP there is nothing that {' and '.join(changes)} could change; name one "
            "with --clip"
        )
    usual = _OF_COSINES if changes.get("form") == "mean" != recommended.form else {}
    settings = replaced(recommended, {**usual, **changes}, "setting of CLIP guidance")
    if changes and prompts is not None and not any(prompts):
        raise UserError("a CLIP guides towards a prompt; name one")
    if not settings.model or not (changes or any(prompts or ())):
        return None
    guide = load_guide(settings, prompts or (), device)
    unused = " and ".join(name for name in ("inner_steps", "step_size") if name in changes)
    if unused and guide.form not in _IN_STEPS:
        raise UserError(
            f"{unused} would change nothing in the form {guide.form!r} of this guidance; choose "
            f"the form inner or mean, or leave {unused} out"
        )
    return guide


def with_strength(guide: Guide, strength: float) -> Guide:
    """The same CLIP, guiding with another strength."""
    return Guide(guide.clip, replace(guide.settings, strength=strength))
