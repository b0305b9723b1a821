"""Every setting there is, on one page: a recipe is a frozen value that JSON holds both ways.

No torch here, so that the command line reads recipes in an instant. Types and ranges are checked
where a value comes in; msgspec does the checking.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from inkling.errors import UserError

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]

ScheduleName = Literal["linear", "cosine", "karras", "lognormal", "flow"]
PredictionName = Literal["eps", "x0", "v", "flow", "edm"]
SamplerName = Literal["ddim", "ddpm", "heun", "dpmpp_2m", "dpmpp_2s", "unipc"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every settings group."""


class Data(Settings, frozen=True):
    """Which pictures."""

    name: str = "mnist"
    """A key of `inkling.data.DATASETS`."""
    path: str = ""
    """A folder to read from; empty: the embedded set, the cache or a download."""
    size: Count | None = None
    """Height and width in pixels; null, here and below: as the data set says, or as fits what is
    there."""
    resize: Literal["crop", "pad", "fit"] = "crop"
    """Cut what sticks out of the square; keep pixels and surround them; scale and surround."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour."""
    background: Annotated[int, Meta(ge=0, le=255)] | None = None
    """Grey value behind transparency and around pictures."""
    captions: bool = True
    """False: an unconditional model."""
    classes: tuple[str, ...] = ()
    """Only these classes; empty: the data set's own choice."""
    limit: Count | None = None
    """Pictures at most, of each class where there are classes."""
    caption: Annotated[str, Meta(pattern=r"^$|\{\}")] = ""
    """One sentence for every class, such as "Drawing of {}"; empty: the set's own phrasings."""
    hold_out: Share = 0.0
    """Share of the combinations kept from training, in a set that has combinations."""
    unreadable: Share = 0.01
    """Share of pictures that may be unreadable."""
    mirror: bool | None = None
    """Mirror half of the pictures; never where left and right mean something."""
    validation: Whole | None = None
    """Pictures held out of the training split (never of the test split); null: 500, or a tenth of
    a small set."""


class Net(Settings, frozen=True):
    """The U-Net."""

    widths: Annotated[tuple[Count, ...], Meta(min_length=1)] = (32, 96)
    """Channels of each level, finest first; every level after the first halves height and width."""
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1, 1)
    """Residual blocks of each level, on the way down and again on the way up."""
    attention: tuple[bool, ...] = (False, False)
    """Whether each level has self-attention after every residual block."""
    middle: Whole = 1
    """Residual blocks at the coarsest level between the two ways."""
    middle_attention: bool = True
    """Whether attention follows the first of these."""
    head_width: Count = 32
    """Channels of one attention head."""
    cross_attention: bool = False
    """Whether attention also reads the caption's tokens."""
    feedforward: Whole = 0
    """Width, in multiples of the channels, of the MLP after each attention, which makes it a
    transformer block; 0: none."""
    condition: Literal["film", "add"] = "film"
    """How noise level and caption enter a block: scale and shift, or an added bias."""
    embedding: Count = 256
    """Width of the joint embedding of noise level and caption."""
    activation: Literal["silu", "gelu"] = "silu"
    """Of the MLP that reads the noise level."""
    standardised: bool = False
    """Weight-standardised convolutions in the residual blocks (Qiao et al. 2019)."""
    down: Literal["shuffle", "conv", "average"] = "shuffle"
    """How a level is left downwards: space to depth, strided convolution or average pooling."""
    up: Literal["shuffle", "nearest", "bilinear", "transposed"] = "shuffle"
    """How a level is left upwards: depth to space, stretched pixels, or transposed convolution."""
    skips: Literal["join", "concat"] = "join"
    """What the way up gets from the way down: the end of each level, or every block its twin."""
    patch: Count = 1
    """Pixel-unshuffle of the input: 2 makes a quarter of the positions, four times as deep."""
    positions: Whole = 0
    """Side of a learned map added at every level, stretched to the picture; 0: none."""
    template: Whole = 0
    """Channels of a coarse map drawn from the embedding and added at every level; 0: none."""
    dropout: BelowOne = 0.0


class Text(Settings, frozen=True):
    """How captions are read."""

    encoder: Literal["transformer", "label", "frozen"] = "transformer"
    """Learnt from scratch, one vector a label, or a pretrained one that stays as it is."""
    model: str = "openai/clip-vit-base-patch32"
    """Of the frozen encoder: a hub id, or a folder in the format of transformers."""
    pooled: bool = True
    """Whether the whole caption's vector modulates every block; the tokens are read where
    net.cross_attention is on."""
    width: Count = 128
    layers: Count = 2
    heads: Count = 4
    max_tokens: Count = 32
    vocabulary_size: Annotated[int, Meta(ge=258)] = 4096
    """Byte-level BPE tokens at most; 256 bytes and two marks come first."""


class Schedule(Settings, frozen=True):
    """Noise levels by name; options are the fields of that schedule in `inkling.core.noise`."""

    name: ScheduleName = "lognormal"
    options: dict[str, float] = {}


class Diffusion(Settings, frozen=True):
    """What is learnt, and from which noise levels."""

    prediction: PredictionName = "edm"
    sigma_data: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation of the pixels in [-1, 1]; 0: measured on the training pictures."""
    noise: Schedule = Schedule()
    stratified: bool = True
    """One noise level from each of B equal shares of the law, instead of B independent draws."""
    loss: Literal["mse", "l1", "huber"] = "mse"
    weighting: Literal["uniform", "edm", "min_snr"] = "uniform"


class Train(Settings, frozen=True):
    """The optimisation."""

    steps: Whole = 0
    """Optimiser steps; 0: as many as fit the budget."""
    budget: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds that training with its previews may take, when steps is 0."""
    seed: Whole = 0
    batch: Count = 64
    """Pictures an optimiser step, over all processes and accumulation."""
    accumulation: Count = 1
    """Parts in which a process works through its share of the batch."""
    optimiser: Literal["muon", "adamw"] = "adamw"
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""
    lr: Positive = 1e-3
    """AdamW's peak learning rate."""
    muon_lr: Positive = 0.02
    """Muon's peak learning rate."""
    betas: Annotated[tuple[BelowOne, ...], Meta(min_length=2, max_length=2)] = (0.9, 0.99)
    weight_decay: Annotated[float, Meta(ge=0)] = 0.01
    warmup: Whole = 50
    """Steps in which the learning rates rise from zero."""
    decay: Share = 0.8
    """Last share of the run in which the learning rates fall to zero."""
    curve: Literal["linear", "cosine"] = "linear"
    """How they fall."""
    clip: Annotated[float, Meta(ge=0)] = 1.0
    """Largest gradient norm of the AdamW parameters; 0: no clipping."""
    widen: Share = 0.0
    """First share of the run in which noise levels are drawn from a growing window around the
    middle of their law: few levels first, then all."""
    sizes: tuple[Count, ...] = ()
    """Picture sizes to train at in turn, an equal share of the time each, such as 16,32,64."""
    caption_drop: Share = 0.1
    """Probability, image by image, of training on the empty caption instead."""
    ema_width: Annotated[float, Meta(gt=0, lt=0.28)] = 0.05
    """Width of the power-function average of the weights, as a share of training so far."""
    snapshots: Whole = 0
    """Moments at which two short averages are kept, to choose a length afterwards; 0: none."""
    ema_decay: BelowOne = 0.0
    """A constant decay instead, such as 0.9999; 0: the power function."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network's arithmetic; noise, targets and loss are float32 always."""
    shard: bool = False
    """Share weights, averages and optimiser states out over all processes (FSDP), for models that
    one device cannot hold."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    previews: Whole = 6
    """Sample grids and validations during the run, evenly spread, the last at its end."""
    checkpoint_every: Annotated[str, Meta(pattern=r"^(\d+|(?=\d)(\d+h)?(\d+m)?(\d+s)?)$")] = "1m"
    """Steps ("40") or time ("2m") from one saved training state to the next."""
    keep: Count = 2
    """Training states that are kept, the latest ones."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where metrics go beside metrics.jsonl."""
    most_skipped: Count = 20
    """Steps in a row whose loss or gradient is not finite, after which the run stops."""


class Clip(Settings, frozen=True):
    """How a CLIP pulls samples towards a prompt that the model itself cannot read."""

    model: str = ""
    """A CLIP that inkling trained, a hub id or a folder; empty: none."""
    form: Literal["auto", "noisy", "network", "inner"] = "auto"
    """The gradient at the noisy picture, through the network, or inner steps on the estimate;
    auto: noisy for a CLIP that was trained on noise, else network."""
    strength: Annotated[float, Meta(ge=0)] = 80.0
    """How hard; 0: off. 1 would be right for a CLIP that is as sure as it is right."""
    interval: Annotated[tuple[float, ...], Meta(min_length=2, max_length=2)] = (0.3, 1e9)
    """Pull only where `low < sigma <= high`: near the end it would paint what fools the CLIP."""
    inner_steps: Count = 5
    """Gradient steps on each estimate, in the inner form."""
    step_size: Positive = 0.15
    """Length of one of these."""
    sampler: SamplerName = "ddpm"
    """Fresh noise at every step mends what the pull has bent."""
    steps: Count = 40


class Sample(Settings, frozen=True):
    """How the finished model should be sampled."""

    sampler: SamplerName = "dpmpp_2m"
    steps: Count = 18
    grid: Schedule = Schedule(name="karras")
    scale: Annotated[float, Meta(ge=0)] = 1.5
    """Classifier-free guidance; 1: off."""
    interval: Annotated[tuple[float, ...], Meta(min_length=2, max_length=2)] = (0.0, 1e9)
    """Guide only where `low < sigma <= high`."""
    clamp: bool = True
    """Keep estimates of the clean picture in [-1, 1]."""
    clip: Clip = Clip()


class Recipe(Settings, frozen=True):
    """A whole training run as a value."""

    name: str
    source: str
    """Where the settings come from."""
    expected: str = ""
    """Time and score, with the machine they were measured on."""
    data: Data = Data()
    net: Net = Net()
    text: Text = Text()
    diffusion: Diffusion = Diffusion()
    train: Train = Train()
    sample: Sample = Sample()

    def __post_init__(self) -> None:
        levels = len(self.net.widths)
        for field in ("blocks", "attention"):
            given = getattr(self.net, field)
            if len(given) != levels:
                raise UserError(
                    f"net.{field} has {len(given)} entries ({given}) for {levels} levels in "
                    f"net.widths; give one entry a level"
                )
        central = self.net.middle > 0 and self.net.middle_attention
        attends = [*self.net.attention[:-1], self.net.attention[-1] or central]
        for width, attended in zip(self.net.widths, attends, strict=True):
            if attended and width % min(width, self.net.head_width):
                raise UserError(
                    f"net.widths has {width}, which net.head_width {self.net.head_width} does not "
                    "divide; choose multiples of it"
                )
        if self.net.cross_attention and self.text.encoder == "label":
            raise UserError(
                "labels have no tokens for net.cross_attention=true to read; use "
                "text.encoder=transformer, or leave cross_attention off"
            )
        reads_tokens = self.net.cross_attention and any(attends)
        if not self.text.pooled and (self.text.encoder != "frozen" or not reads_tokens):
            raise UserError(
                "text.pooled=false leaves only the tokens of a frozen encoder to read; it needs "
                "text.encoder=frozen, net.cross_attention=true and attention on some level"
            )
        if self.text.width % self.text.heads:
            raise UserError(
                f"text.width {self.text.width} is not a multiple of text.heads {self.text.heads}"
            )
