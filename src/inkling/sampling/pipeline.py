"""`TextToImage`: captions or pictures in, images out, as a generator of steps or all at once."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from msgspec.structs import replace
from PIL import Image
from torch import Tensor

from inkling.config.other_names import in_our_names
from inkling.config.recipe import Recipe
from inkling.config.sample import Sample
from inkling.contracts import Step
from inkling.core.rng import Seed
from inkling.core.samplers import SAMPLERS, check_sampler
from inkling.errors import UserError, UserNote
from inkling.models.build import load_denoiser, sampling_start
from inkling.models.card import Card
from inkling.models.text_denoiser import TextDenoiser
from inkling.pixels import to_pil
from inkling.sampling.asked import Prompts, asked
from inkling.sampling.clip_guidance import Guide
from inkling.sampling.conditions import Encoded, words_never_seen
from inkling.sampling.picture_prompts import PicturePrompts, in_form
from inkling.sampling.prompts import Caption, Picture, Prompt, caption_of, weights_of, with_names
from inkling.sampling.recommended import changed, check_student, given_alone, recommended
from inkling.sampling.solve import Batch, solver_steps
from inkling.system import device as devices
from inkling.system.threads import LEAST_ROWS, in_threads, slices

BATCH = 250
"""Pictures that are sampled at once."""


class TextToImage:
    """A trained model that samples pictures for captions, or for pictures like them.

    Args:
        model: in eval mode.
        recipe: of its training; recommends how to sample.
        card: what is known of it.
    """

    def __init__(self, model: TextDenoiser, recipe: Recipe, card: Card):
        self.model = model
        self.recipe = recipe
        self.card = card

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
        if not isinstance(path, str | Path):
            raise UserError(f"{path!r} names no run; give its folder, such as 'runs/mnist'")
        return cls(*load_denoiser(Path(path), weights, devices.choose(device)))

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures it was trained on."""
        return self.card.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """The prompts that name the classes of the training set, if it had classes."""
        return self.card.classes

    def settings(
        self,
        *,
        guided: bool = False,
        calls: int | None = None,
        best: bool = False,
        **changes: Any,
    ) -> Sample:
        """The checkpoint's recommended sampling, with changes.

        Args:
            guided: whether a CLIP guides, for which other steps are recommended.
            calls: begin with what `inkling tune` found, or a student learnt, for at most so many
                network calls a picture.
            best: begin with the best of these.
            changes: fields of `inkling.config.sample.Sample` by name; None leaves one as it is.
                `sampler` may also be a function. `guidance_scale` and `num_inference_steps` are
                understood as `scale` and `steps`.

        Raises:
            UserError: no such field, one under two names, or a value that it cannot have; calls
                for which nothing was tuned.
        """
        usual = recommended(self.recipe.sample, self.card, guided=guided, calls=calls, best=best)
        typed = {name: value for name, value in changes.items() if value is not None}
        given = in_our_names(typed, "sample")
        if callable(own := given.get("sampler")):
            given["sampler"] = SAMPLERS.name_of(own)
        settings = changed(usual, given, self.card)
        negative = str(caption_of(settings.negative_prompt, self.classes, self.model.text))
        settings = replace(settings, negative_prompt=negative)
        if "clip" in given and not guided:
            raise UserError(
                "settings of CLIP guidance need the CLIP itself: guide=load_guide(settings, ...)"
            )
        if guided and settings.scale != 1 and not settings.negative_prompt:
            raise UserError(
                f"a CLIP reads the prompt, so scale {settings.scale:g} has none to lead towards; "
                "give the strength of its guidance instead"
            )
        if settings.scale != 1 and not settings.negative_prompt:
            self._warn_of_untrained_null("guidance leads away from it")
        check_student(settings, self.recipe.distil)
        measured = (calls is not None or best) and "grid" not in given
        problem = sampling_start(self.recipe.diffusion, settings.grid).problem
        if problem and not (measured or settings.sigmas):
            warnings.warn(problem, UserNote, stacklevel=2)
        check_sampler(settings.sampler, settings.eta)
        return settings

    def steps(
        self,
        captions: Prompts | Tensor,
        *,
        seeds: Sequence[Seed] | None = None,
        seed: int | None = None,
        count: int | None = None,
        settings: Sample | None = None,
        guide: Guide | None = None,
        **changes: Any,
    ) -> Iterator[Step]:
        """Every solver step for one batch, from noise to picture.

        Noisy pictures and estimates are what the model works on: pixels in [-1, 1], or latents
        that `model.codec` decodes.

        Args:
            captions: one, or some; "" samples without a prompt, 7 asks for a class by its index,
                `{"zero": 0.5, "eight": 0.5}` mixes. Or labels [B] int64. A model that reads
                pictures takes a `Path` or uint8 [C, H, W] in the place of a caption, or all of them
                as uint8 [B, C, H, W].
            seeds: one for each image; image i depends on its own seed, not on its batch. Also
                `(3, 4, 0.5)`: noise halfway from seed 3 to seed 4.
            seed: of the first image, in place of `seeds`; the next ones count on. 0 if not given.
            count: images of each caption; 1 if not given.
            settings: how to sample; what the checkpoint recommends, with `changes`, if None.
            guide: a CLIP that reads the captions instead; the model samples without a prompt.
            changes: as in `settings`.

        Raises:
            UserError: a setting or a caption that cannot be used, unequal lengths.
        """
        settings = self._settings(settings, guide, changes)
        rows, numbers = asked(captions, seeds, seed, count)
        read = self._captions(rows, guide)
        yield from self._steps(read, numbers, settings, guide, self._encode(read, settings, guide))

    def __call__(self, captions: Prompts | Tensor, **options: Any) -> Tensor:
        """The pictures, uint8 [B, C, H, W] on the CPU; options as in `batches`.

        `images` gives them as PIL images.
        """
        return torch.cat(list(self.batches(captions, **options)))

    def images(self, captions: Prompts | Tensor, **options: Any) -> list[Image.Image]:
        """The pictures as PIL images; options as in `batches`."""
        return to_pil(self(captions, **options))

    def batches(
        self,
        captions: Prompts | Tensor,
        *,
        seeds: Sequence[Seed] | None = None,
        seed: int | None = None,
        count: int | None = None,
        settings: Sample | None = None,
        guide: Guide | None = None,
        batch: int = BATCH,
        **changes: Any,
    ) -> Iterator[Tensor]:
        """Pictures uint8 [batch, C, H, W] on the CPU, batch by batch; the rest as in `steps`."""
        if batch < 1:
            raise UserError(f"batch={batch} pictures at once: give a whole number >= 1")
        settings = self._settings(settings, guide, changes)
        rows, numbers = asked(captions, seeds, seed, count)
        read = self._captions(rows, guide)
        encoded = self._encode(read, settings, guide)

        def sampled(part: slice) -> Tensor:
            *_, end = self._steps(read[part], numbers[part], settings, guide, encoded)
            return self.decode(end.x)

        for first in range(0, len(read), batch):
            last = min(first + batch, len(read))
            parts = slices(slice(first, last), self._threads(last - first, guide))
            yield torch.cat(in_threads(sampled, parts))

    def _threads(self, count: int, guide: Guide | None) -> int:
        """CPU threads that each sample a part of so many pictures; see `system.threads`."""
        if self.device.type != "cpu" or guide:
            return 1
        return max(1, min(torch.get_num_threads(), count // LEAST_ROWS))

    def _settings(
        self, settings: Sample | None, guide: Guide | None, changes: Mapping[str, Any]
    ) -> Sample:
        """How to sample: as given, or as recommended with changes.

        Raises:
            UserError: both are given, or as `settings`.
        """
        if settings is None:
            return self.settings(guided=guide is not None, **changes)
        return given_alone(settings, changes, self.recipe.distil)

    def _captions(self, prompts: Iterable[Prompt], guide: Guide | None) -> list[Caption]:
        """A caption for each image, in place of labels.

        Raises:
            UserError: an index without a class, or something that is no prompt.
        """
        named = self.named(prompts, guide)
        if guide:
            return [caption_of(prompt, guide.clip.known.classes) for prompt in named]
        return [caption_of(prompt, self.classes, self.model.text) for prompt in named]

    def picture(self, picture: Picture) -> Tensor:
        """A picture in the form of the training pictures, uint8 [C, H, W]; see `in_form`."""
        return in_form(picture, self.recipe.data, self.shape)

    def named(self, prompts: Iterable[Prompt], guide: Guide | None = None) -> list[Prompt]:
        """The prompts with each picture replaced by its name, which the model can then read.

        Args:
            prompts: any.
            guide: a CLIP that reads them instead.

        Raises:
            UserError: a picture that cannot be read, or one for a model that reads text.
        """
        read = PicturePrompts(self.picture, None if guide else self.model.text)
        named = with_names(prompts, read.name)
        read.show()
        return named

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """Pictures uint8 [B, C, H, W] on the CPU of what the model works on."""
        return self.model.codec.decode_to_bytes(x)

    def _steps(
        self,
        captions: Sequence[Caption],
        seeds: Sequence[Seed],
        settings: Sample,
        guide: Guide | None,
        encoded: Encoded,
    ) -> Iterator[Step]:
        batch = Batch(captions, seeds, encoded, self.shape, guide)
        return solver_steps(self.model, self.recipe, batch, settings)

    @torch.no_grad()
    def _encode(
        self, captions: Sequence[Caption], settings: Sample, guide: Guide | None
    ) -> Encoded:
        """The condition of each distinct caption of a call, each read once and alone.

        Alone, because padding to a longer neighbour must not change a picture even by rounding.

        Raises:
            UserError: a caption that cannot be read, or a guide that cannot see what is sampled.
        """
        if guide and not self.model.codec.is_pixels:
            raise UserError(
                "a CLIP sees pixels, and this model works on latents; use a model without "
                "data.codec"
            )
        if guide or "" in captions:
            self._warn_of_untrained_null("samples without a prompt are arbitrary")
        read: Sequence[Caption] = [settings.negative_prompt, *([""] if guide else captions)]
        distinct = list(dict.fromkeys(part for caption in read for part in weights_of(caption)))
        encoded = {caption: self.model.encode_text([caption]) for caption in distinct}
        if unknown := words_never_seen(self.model.text, distinct):
            warnings.warn(
                f"this model never saw {', '.join(unknown)} in training and cannot know what that "
                "looks like; it samples what else is in the prompt, or anything",
                UserNote,
                stacklevel=3,
            )
        return encoded

    def _warn_of_untrained_null(self, effect: str) -> None:
        """Say it where the empty caption is needed and was never trained."""
        if self.card.conditional and not self.recipe.train.caption_drop:
            warnings.warn(
                "this model was trained with train.caption_drop=0 and never saw the empty caption; "
                f"{effect}",
                UserNote,
                stacklevel=3,
            )
