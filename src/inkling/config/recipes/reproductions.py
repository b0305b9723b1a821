"""Recipes that follow five public descriptions; `origins` has the source of each value.

A description is a fact sheet, not a program: what it leaves open is chosen here and said so there.
"""

from typing import Any

from msgspec.structs import replace

from inkling.config.recipe import Diffusion, Recipe, Text
from inkling.config.sample import ClipGuidance, Sample, ScheduleConfig
from inkling.config.train import Train
from inkling.data.settings import Data
from inkling.nets.configs import UNetConfig

TEXT_POOLED = "text-conditioned diffusion on MNIST and Quick, Draw!, pooled CLIP"
DDPM_AND_CLIP = "DDPM, class-conditional and CLIP-guided MNIST"
CROSS_ATTENTION = "conditional diffusion on COCO captions, cross-attention"
CLASS_AT_32 = "class-conditional DDPM on MNIST at 32x32"
SCALABLE_UNET = "scalable diffusion model on CIFAR-10 and CelebA"

_CLIP = "openai/clip-vit-base-patch32"
_HO_LINEAR = ScheduleConfig(name="linear", options={"beta_start": 1e-4, "beta_end": 0.02})
_COSINE = ScheduleConfig(name="cosine")
_OF_TRAINING = ScheduleConfig(name="")
_UNCONDITIONAL = Text(encoder="label", width=16, heads=1)
_LABELS = Text(encoder="label", width=128)


def _eps(noise: ScheduleConfig, loss: Any = "mse") -> Diffusion:
    return Diffusion(prediction="eps", noise=noise, stratified=False, loss=loss)


def _adam(**settings: Any) -> Train:
    """Adam as the sources use it: a constant rate from the first step, no decay of weights."""
    plain: dict[str, Any] = {
        "betas": (0.9, 0.999),
        "weight_decay": 0.0,
        "warmup": 0,
        "decay": 0.0,
        "clip": 0.0,
        "caption_drop": 0.0,
    }
    return Train(**plain | settings)


def _ancestral(scale: float = 1.0, **settings: Any) -> Sample:
    return Sample(sampler="ddpm", steps=1000, grid=_OF_TRAINING, scale=scale, **settings)


MNIST_TEXT = Recipe(
    name="mnist-text",
    source=TEXT_POOLED,
    expected="100 epochs; the source takes about 30 s an epoch on an H100 for Quick, Draw!",
    data=Data(name="mnist", size=32, resize="pad", caption="Drawing of {}"),
    net=UNetConfig(
        widths=(64, 128, 256, 512),
        blocks=(2,),
        attention=(False, True, True, False),
        middle=2,
        condition="add",
        embedding=256,
        dropout=0.1,
        down="conv",
        up="transposed",
        skips="concat",
    ),
    text=Text(encoder="frozen", model=_CLIP),
    diffusion=_eps(_HO_LINEAR),
    train=_adam(steps=93_750, batch=64, lr=2e-6, ema_decay=0.9999),
    sample=_ancestral(),
)

QUICKDRAW_TEXT = replace(
    MNIST_TEXT,
    name="quickdraw-text",
    expected="250 epochs, about 30 s each on an H100 by the source: loss 0.02, 0.09 for t < 100",
    data=Data(name="quickdraw", size=32, resize="pad", caption="Drawing of {}"),
    train=replace(MNIST_TEXT.train, steps=386_718),
)

_DDPM_NET = UNetConfig(
    widths=(128, 256, 512),
    up_widths=(128, 128, 512),
    width_change="block",
    downsample_last=True,
    blocks=(2,),
    attention=(False,),
    middle=2,
    embedding=128,
    frequencies=64,
    down="conv",
    up="nearest",
    skips="level",
)

MNIST_DDPM = Recipe(
    name="mnist-ddpm",
    source=DDPM_AND_CLIP,
    expected="15 epochs; mean squared error about 0.010 by the source",
    data=Data(name="mnist", captions=False),
    net=_DDPM_NET,
    text=_UNCONDITIONAL,
    diffusion=_eps(_COSINE),
    train=_adam(
        steps=14_062,
        batch=64,
        lr=2e-4,
        ema_decay=0.999,
    ),
    sample=_ancestral(),
)

MNIST_CLASS = replace(
    MNIST_DDPM,
    name="mnist-class",
    expected="5 epochs; every digit on request by the source",
    data=Data(name="mnist", caption="{}"),
    net=replace(_DDPM_NET, widths=(64, 128, 256), up_widths=(64, 64, 256)),
    text=_LABELS,
    train=replace(MNIST_DDPM.train, steps=4_687),
)

MNIST_CLIP = replace(
    MNIST_DDPM,
    name="mnist-clip",
    expected='15 epochs; by the source, CLIP guidance gets "two" right in 80 %, "five" '
    'in 70 %, "nine" in 75 %',
    sample=replace(
        MNIST_DDPM.sample,
        clip=ClipGuidance(
            model=_CLIP,
            form="mean",
            strength=2.0,
            inner_steps=5,
            step_size=0.15,
            interval=(0.0, 1e9),
            steps=1000,
        ),
    ),
)

_SCENES = (
    "a red kite high in a cloudy blue sky",
    "a sailboat on a calm ocean",
    "a man under an umbrella in the rain",
    "a mountain range in the snow on a sunny day",
    "a plate of food on a wooden table",
)
"""Five prompts, as many as the source's previews have."""

COCO_TEXT = Recipe(
    name="coco-text",
    source=CROSS_ATTENTION,
    expected="200,000 steps of 128; by the source, evidence of learning",
    data=Data(name="coco", size=128),
    net=UNetConfig(
        widths=(128, 256, 512, 512),
        blocks=(2,),
        attention=(False, False, True, True),
        middle=2,
        head_width=64,
        cross_attention=True,
        feedforward=4,
        embedding=256,
        down="conv",
        up="nearest",
        skips="concat",
    ),
    text=Text(encoder="frozen", model=_CLIP, pooled=False, max_tokens=77),
    diffusion=_eps(_HO_LINEAR),
    train=Train(
        steps=200_000,
        batch=128,
        accumulation=2,
        lr=1e-4,
        betas=(0.9, 0.999),
        warmup=2000,
        decay=1.0,
        curve="cosine",
        ema_decay=0.9999,
        keep=2,
        previews="500steps",
        preview_prompts=_SCENES,
        preview_count=3,
        milestones=(),
    ),
    sample=_ancestral(scale=4.0),
)

MNIST_CLASS_L1 = Recipe(
    name="mnist-class-l1",
    source=CLASS_AT_32,
    expected="1000 epochs, hours on a GPU by the source",
    data=Data(name="mnist", size=32, caption="{}"),
    net=UNetConfig(
        widths=(64, 128, 256, 512),
        downsample_last=True,
        blocks=(2,),
        attention=(True, False, True, False),
        up_attention=(True,),
        attention_after="last",
        middle=2,
        condition="add",
        embedding=128,
        frequencies=64,
        embedding_factor=4,
        activation="gelu",
        standardised=True,
        down="shuffle",
        up="transposed",
        skips="level",
    ),
    text=_LABELS,
    diffusion=_eps(_HO_LINEAR, "l1"),
    train=_adam(
        steps=937_500,
        batch=64,
        lr=1e-4,
        clip=1.0,
        caption_drop=0.1,
        ema_decay=0.999,
        previews="1000steps",
    ),
    sample=_ancestral(),
)

_SCALABLE_NET = UNetConfig(
    widths=(128, 256, 256, 256),
    width_change="block",
    blocks=(2,),
    attention=(False, True, False, False),
    attention_after="last",
    middle=2,
    middle_attention=False,
    condition="add",
    embedding=64,
    down="conv",
    up="plain_bilinear",
    skips="level",
)

CIFAR10 = Recipe(
    name="cifar10",
    source=SCALABLE_UNET,
    expected="350,000 steps; by the source, sharper with steps up to the last",
    data=Data(name="cifar10", captions=False),
    net=_SCALABLE_NET,
    text=_UNCONDITIONAL,
    diffusion=_eps(_COSINE),
    train=_adam(
        steps=350_000,
        batch=100,
        lr=2e-4,
        clip=1.0,
        ema_decay=0.9999,
        milestones=("50k", "100k", "250k", "300k", "350k"),
    ),
    sample=_ancestral(),
)

CELEBA = replace(
    CIFAR10,
    name="celeba",
    data=Data(name="celeba", size=64, captions=False),
    net=replace(_SCALABLE_NET, attention=(False, False, True, False)),
)

REPRODUCTIONS = (
    MNIST_TEXT,
    QUICKDRAW_TEXT,
    MNIST_DDPM,
    MNIST_CLASS,
    MNIST_CLIP,
    COCO_TEXT,
    MNIST_CLASS_L1,
    CIFAR10,
    CELEBA,
)
