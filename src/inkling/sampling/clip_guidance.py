"""Guidance by what a CLIP sees, for models that read no text."""

import warnings
from collections.abc import Sequence

import torch

from inkling.config.recipe import ClipGuidance
from inkling.contracts import Denoise
from inkling.core import guidance
from inkling.errors import UserError, UserNote
from inkling.models.clip import Clip


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
                "network or inner, or train one with contrast.noisy=0.7"
            )
        self.form = form

    def wrap(self, denoise: Denoise, prompts: Sequence[str], sigma_data: float) -> Denoise:
        """The denoiser, guided towards one prompt a picture."""
        log_likelihood, settings = self.clip.log_likelihood(prompts), self.settings
        low, high = settings.interval
        if settings.strength == 0:
            return denoise
        if self.form == "noisy":
            guided = guidance.classifier_guidance(denoise, log_likelihood, settings.strength)
        elif self.form == "network":
            guided = guidance.dps_guidance(denoise, log_likelihood, settings.strength)
        else:
            guided = guidance.estimate_guidance(
                denoise,
                log_likelihood,
                settings.strength,
                sigma_data,
                settings.inner_steps,
                settings.step_size,
            )
        return lambda x, sigma: (guided if low < sigma <= high else denoise)(x, sigma)


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
