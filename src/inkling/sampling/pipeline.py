"""`TextToImage`: captions in, images out, as a generator of steps or all at once."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from inkling.config.recipe import Recipe, Sample
from inkling.contracts import Cond, Step
from inkling.core import guidance
from inkling.core.noise import grid
from inkling.core.rng import ImageNoise, Seed
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserError, UserNote, nearest
from inkling.models import checkpoint
from inkling.models.build import TextDenoiser, schedule
from inkling.models.clip import Guide
from inkling.system.device import choose

Prompt = str | Mapping[str, float]
"""A caption, or captions with their weights: their conditions are summed."""


def between(first: str, last: str, count: int) -> list[Prompt]:
    """Prompts on the way from one caption to another, both ends included.

    Args:
        first: where to begin.
        last: where to end.
        count: how many, at least 2.
    """
    if first == last:
        return [first] * count
    shares = [number / (count - 1) for number in range(count)]
    return [{first: 1 - share, last: share} for share in shares]


def _parts(prompt: Prompt) -> dict[str, float]:
    """The captions of a prompt and their weights; those without weight left out."""
    if isinstance(prompt, str):
        return {prompt: 1.0}
    return {caption: weight for caption, weight in prompt.items() if weight} or {"": 1.0}


def to_bytes(images: Tensor) -> Tensor:
    """[-1, 1] float [...] to uint8 [...] on the CPU, rounded; what lies outside is clipped."""
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).cpu()


class TextToImage:
    """A trained model that draws what captions say."""

    def __init__(self, model: TextDenoiser, recipe: Recipe, facts: dict[str, Any]):
        self.model = model
        self.recipe = recipe
        self.facts = facts
        self.shape = (int(facts["channels"]), *map(int, facts["size"]))
        """C, H, W of the pictures it was trained on."""

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", weights: str = "ema") -> Self:
        """Read a finished run: its folder or the `model.safetensors` in it.

        Args:
            path: the run.
            device: "auto", "cuda", "mps" or "cpu".
            weights: "ema" for the averaged weights, "raw" for the last ones.

        Raises:
            UserError: no checkpoint, a damaged one, one that is not ours, or no such device.
        """
        return cls(*checkpoint.load(Path(path), weights, choose(device)))

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    @property
    def classes(self) -> tuple[str, ...]:
        """The prompts that name the classes of the training set, if it had classes."""
        return tuple(self.facts.get("classes", ()))

    def check(self, captions: Sequence[Prompt]) -> None:
        """Refuse captions that cannot be read; warn of words that training never had.

        Raises:
            UserError: a caption is too long, or no label of a label model.
        """
        distinct = list(dict.fromkeys(part for caption in captions for part in _parts(caption)))
        self.model.text.tokenize(distinct)
        unknown = sorted({word for c in distinct for word in self.model.text.unknown_words(c)})
        if unknown:
            warnings.warn(
                f"this model never saw {', '.join(map(repr, unknown))} in training and cannot know "
                "what that looks like; it draws what the rest of the prompt suggests",
                UserNote,
                stacklevel=2,
            )

    @torch.no_grad()
    def steps(
        self,
        captions: Sequence[Prompt],
        *,
        seeds: Sequence[Seed],
        sampler: str | None = None,
        steps: int | None = None,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        avoid: str = "",
        guide: Guide | None = None,
    ) -> Iterator[Step]:
        """Every solver step for one batch, from noise to picture.

        Args:
            captions: one for each image; "" draws without a prompt, `{"zero": 0.5, "eight": 0.5}`
                mixes.
            seeds: one for each image; image i depends on its own seed, not on its batch. Also
                `(3, 4, 0.5)`: noise halfway from seed 3 to seed 4.
            sampler: a key of `SAMPLERS`; like the rest, what the checkpoint recommends if None.
            steps: solver steps.
            scale: classifier-free guidance, 1 is off.
            size: (H, W) if another than in training.
            avoid: a negative prompt, away from which guidance leads.
            guide: a CLIP that reads the captions instead; the model draws without a prompt.

        Raises:
            UserError: an unknown sampler, a caption that cannot be read, unequal lengths.
        """
        settings = self.settings(sampler, steps, scale, guide is not None)
        if avoid and settings.scale == 1:
            raise UserError(
                f"at scale 1 there is no guidance that could lead away from {avoid!r}; give a "
                "scale such as 2"
            )
        if len(captions) != len(seeds):
            raise UserError(f"{len(captions)} captions for {len(seeds)} seeds; give one an image")
        noise = ImageNoise(seeds)
        shape = (self.shape[0], *(size or self.shape[1:]))
        sigmas = grid(schedule(settings.grid), settings.steps)
        x = (noise.draw(shape) * sigmas[0]).to(self.device, torch.float32)
        asked = [""] * len(captions) if guide else captions
        cond, null = (self._conditions(each) for each in (asked, [avoid] * len(captions)))
        low, high = settings.interval
        # Without a prompt there is nothing to extrapolate from: one call does.
        scale = 1.0 if all(each == avoid for each in asked) else settings.scale
        denoise = guidance.cfg(self.model.denoiser, cond, null, scale, low, high)
        if guide:
            prompts = [" ".join(_parts(caption)) for caption in captions]
            denoise = guide.wrap(denoise, prompts, self.recipe.diffusion.sigma_data)
        if settings.clamp:
            denoise = guidance.clamp(denoise)
        yield from SAMPLERS[settings.sampler](denoise, x, sigmas, randn_like=noise)

    def __call__(
        self,
        captions: Sequence[Prompt],
        *,
        seeds: Sequence[Seed],
        sampler: str | None = None,
        steps: int | None = None,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        avoid: str = "",
        guide: Guide | None = None,
        batch: int = 250,
    ) -> Tensor:
        """The pictures, uint8 [B, C, H, W] on the CPU; arguments as in `steps`, in batches."""
        return torch.cat(
            list(
                self.batches(
                    captions,
                    seeds=seeds,
                    sampler=sampler,
                    steps=steps,
                    scale=scale,
                    size=size,
                    avoid=avoid,
                    guide=guide,
                    batch=batch,
                )
            )
        )

    def batches(
        self, captions: Sequence[Prompt], *, seeds: Sequence[Seed], batch: int = 250, **options: Any
    ) -> Iterator[Tensor]:
        """The pictures batch by batch, uint8 [batch, C, H, W]; arguments as in `steps`."""
        self.check([options.get("avoid", ""), *(() if options.get("guide") else captions)])
        for first in range(0, len(captions), batch):
            rows = slice(first, first + batch)
            *_, last = self.steps(captions[rows], seeds=seeds[rows], **options)
            yield to_bytes(last.x)

    def settings(
        self,
        sampler: str | None = None,
        steps: int | None = None,
        scale: float | None = None,
        guided: bool = False,
    ) -> Sample:
        """The checkpoint's recommended sampling with these settings instead.

        Args:
            sampler: a key of `SAMPLERS`.
            steps: solver steps.
            scale: classifier-free guidance, 1 is off.
            guided: whether a CLIP guides, for which another sampler is recommended.

        Raises:
            UserError: an unknown sampler, no steps, a negative scale.
        """
        if sampler is not None and sampler not in SAMPLERS:
            raise UserError(nearest(sampler, SAMPLERS, "sampler"))
        if steps is not None and steps < 1:
            raise UserError(f"steps is {steps}; a sampling run takes at least 1")
        if scale is not None and not scale >= 0:
            raise UserError(f"scale is {scale}; it is 0 or more, and 1 is no guidance")
        given = {"sampler": sampler, "steps": steps, "scale": scale}
        fields = {name: getattr(self.recipe.sample, name) for name in Sample.__struct_fields__}
        if guided:
            clip = self.recipe.sample.clip
            fields |= {"sampler": clip.sampler, "steps": clip.steps, "scale": 1.0}
        return Sample(**fields | {k: v for k, v in given.items() if v is not None})

    def _conditions(self, captions: Sequence[Prompt]) -> Cond:
        """Conditions row by row; each distinct caption is read once and alone.

        Alone, because padding to a longer neighbour must not change a picture even by rounding.
        """
        wanted = [tuple(sorted(_parts(caption).items())) for caption in captions]
        distinct = list(dict.fromkeys(wanted))
        read = {part: self.model.condition([part]) for prompt in distinct for part, _ in prompt}
        each = [
            Cond.mixed([read[part] for part, _ in prompt], [weight for _, weight in prompt])
            if len(prompt) > 1 or prompt[0][1] != 1
            else read[prompt[0][0]]
            for prompt in distinct
        ]
        rows = torch.tensor([distinct.index(prompt) for prompt in wanted])
        return Cond.joined(each).take(rows)
