"""Scores that need a model of their own: the denoiser's likelihood, a classifier that is trained on
samples, a CLIP that reads the prompts.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inkling.core.likelihood import bits_per_dimension
from inkling.core.noise import ends_of
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.evaluate.intervals import of_a_share
from inkling.evaluate.judge import train_judge
from inkling.evaluate.measures import Measure
from inkling.evaluate.samples import Plan
from inkling.evaluate.scores import Score
from inkling.models.build import described, noise_schedule
from inkling.models.clip import Clip
from inkling.pixels import from_bytes
from inkling.sampling.pipeline import TextToImage

_BITS = 500
"""Reference images on which bits per dimension are measured."""
_EPOCHS = 10
"""Of the classifier that is trained on samples."""


def bits(pipeline: TextToImage, reference: Pictures, captioned: bool, seed: int) -> Score:
    """Bits per dimension of reference images, an upper bound.

    Args:
        pipeline: a model of pixels.
        reference: images that it never saw.
        captioned: given their captions, or without.
        seed: of noise levels and noise.
    """
    model, recipe = pipeline.model, pipeline.recipe
    some = described(recipe, reference.take(torch.arange(min(_BITS, len(reference)))))
    model.see(some)
    captions = [some.distinctive[int(group)] if captioned else "" for group in some.group]
    with torch.no_grad():
        distinct = list(dict.fromkeys(captions))
        number = torch.tensor([distinct.index(caption) for caption in captions])
        conds = model.encode_text(distinct, cut=True).take(number.to(model.device))
        found = bits_per_dimension(
            lambda x, sigma, rows: model(x, sigma, conds.take(rows)),
            model.codec.encode(some.pixels().to(model.device)),
            ends_of(noise_schedule(recipe.diffusion.noise)),
            recipe.diffusion.sigma_data,
            stream(seed, "bits"),
        )
    margin = 1.96 * found.error
    return Score(
        name="bits per dimension",
        value=found.mean,
        low=found.mean - margin,
        high=found.mean + margin,
        n=len(some),
        better="lower",
        method="bound, stratified noise levels",
    )


def cas(
    images: Tensor,
    prompted: Sequence[int],
    train: Pictures,
    real: Pictures | None,
    reference: Pictures,
) -> Score:
    """Classification accuracy score (Ravuri & Vinyals 2019): accuracy on real test images of a
    classifier that was trained on samples alone.

    Args:
        images: the samples, uint8 [N, C, H, W].
        prompted: the class of each sample's prompt, N.
        train: the training set, for the form of its images and its classes.
        real: as many training images, of the same classes, for the noise floor; None: without it.
        reference: the real test images.
    """
    count = len(images)
    samples = replace(
        train,
        images=images,
        rows=None,
        labels=torch.as_tensor(prompted),
        group=torch.zeros(count, dtype=torch.int64),
    )
    found = train_judge(samples, _EPOCHS)[0].accuracy(reference)
    floor = None if real is None else train_judge(real, _EPOCHS)[0].accuracy(reference)
    test = int((reference.labels >= 0).sum())
    interval = of_a_share(round(found * test), test)
    return Score(
        name="CAS",
        value=found,
        low=interval.low,
        high=interval.high,
        n=count,
        better="higher",
        method=f"fraction of {test:,} real pictures, Wilson",
        floor=floor,
    )


def clip_for(plan: Plan, where: str, device: torch.device) -> Clip:
    """A CLIP that scores how well samples fit their prompts, by folder or hub id.

    Raises:
        UserError: there is none, or the prompts are pictures.
    """
    if plan.pictures:
        raise UserError(
            "a CLIP score compares samples with texts, and the prompts of this model are pictures; "
            f"leave --clip out, or use --features clip:{where}"
        )
    return Clip.load(where, device)


def clip_scores(images: Tensor, prompts: Sequence[str], clip: Clip) -> list[Measure]:
    """100 x cosine similarity of each sample to its prompt, and to the prompt of another one.

    Args:
        images: uint8 [N, C, H, W].
        prompts: N of them; where all are the same there is no other.
        clip: reads both.
    """
    distinct = list(dict.fromkeys(prompts))
    numbers = {prompt: number for number, prompt in enumerate(distinct)}
    which = torch.tensor([numbers[prompt] for prompt in prompts])
    with torch.no_grad():
        texts = clip.encode_text(distinct).cpu()
        parts = [
            clip.encode_images(from_bytes(part.to(clip.device))).cpu()
            for part in torch.split(images, 250)
        ]
    embeddings = torch.cat(parts)
    own = 100 * (embeddings * texts[which]).sum(1)
    found = [Measure("CLIP score", "higher", own.double().numpy())]
    if len(distinct) > 1:
        further = torch.randint(1, len(distinct), which.shape, generator=stream("shuffled"))
        others = texts[(which + further) % len(distinct)]
        shuffled = 100 * (embeddings * others).sum(1)
        found.append(Measure("CLIP score, shuffled", "lower", shuffled.double().numpy()))
    return found
