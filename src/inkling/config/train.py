"""The settings of an optimisation."""

from typing import Annotated, Literal

from msgspec import Meta

from inkling.config.cadence import cadence, milestone
from inkling.errors import UserError
from inkling.settings import (
    BelowOne,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Precision,
    Seed,
    Settings,
    Whole,
)


class Train(Settings, frozen=True):
    """The optimisation."""

    objective: str = ""
    """A key of `inkling.training.objectives.OBJECTIVES`; empty: that of the kind of recipe."""
    steps: Whole = 0
    """Optimiser steps; 0: as many as `epochs` or `budget` give."""
    epochs: Whole = 0
    """Passes over the training pictures, when steps is 0."""
    budget: NotNegative = 0.0
    """Seconds that training with its previews may take, when steps and epochs are 0."""
    fit_budget: bool = False
    """Choose net.widths, train.batch and the learning rates for the budget and the speed of this
    machine. Off once any of these is set by hand; a finished run has what was chosen."""
    seed: Seed = 0
    """Of weights, order, noise and caption drops; another one shows how far a result is chance."""
    batch: Count = 64
    """Pictures an optimiser step, over all processes and accumulation. Short runs learn more from
    small batches, since they take more steps; long ones and GPUs from large ones."""
    accumulation: Count = 1
    """Parts in which a process works through its rows of the batch."""
    threads: Whole = 0
    """CPU threads that each compute a part of the batch: faster than threads inside each operation,
    and hardly slower beside other programs; 0: as many as torch may use, with 16 pictures each at
    least; 1: the whole batch at once."""
    optimiser: Literal["muon", "adamw"] = "adamw"
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""
    lr: Positive = 1e-3
    """AdamW's peak learning rate. Lower it when the loss jumps; with a batch k times as large,
    raise it by the square root of k."""
    muon_lr: Positive = 0.02
    """Muon's peak learning rate, of the hidden matrices; the rule is that of `lr`."""
    betas: Annotated[tuple[BelowOne, ...], Meta(min_length=2, max_length=2)] = (0.9, 0.99)
    """AdamW's memory of gradients and of their squares (Kingma & Ba 2015); 0.999 for long runs."""
    weight_decay: NotNegative = 0.01
    """AdamW's decoupled weight decay (Loshchilov & Hutter 2019), times the learning rate."""
    warmup: Whole = 50
    """Steps in which the learning rates rise from zero."""
    decay: Fraction = 0.8
    """Last fraction of the run in which the learning rates fall to zero: 0.8 is level for a fifth
    of the run, then falls; 0 keeps them level, for a run that you may want to go on with."""
    curve: Literal["linear", "cosine"] = "linear"
    """How the learning rates fall in that last part."""
    clip: NotNegative = 1.0
    """Largest gradient norm of the AdamW parameters; 0: no clipping."""
    widen: Fraction = 0.0
    """First fraction of the run in which noise levels come from a growing window around the
    middle of their distribution: few levels first, then all."""
    sizes: tuple[Count, ...] = ()
    """Progressive resizing: picture sizes to train at in turn, for the same time each, such as
    16,32,64."""
    caption_drop: Fraction = 0.1
    """Probability, image by image, of training on the empty caption instead, which
    classifier-free guidance needs; 0: the model cannot be guided."""
    first_wording: Fraction = 0.0
    """Probability of the first of the sentences that describe a picture, where there are several;
    0: all are equally likely. Two equally frequent ways to say a relation ("a above b", "b below
    a") are a parity, which a network finds late: neither word nor order tells anything alone."""
    ema_width: Annotated[float, Meta(gt=0, lt=0.28)] = 0.05
    """EMA length: width of the power-function average of the weights (Karras et al. 2024), as a
    fraction of the steps so far. `inkling ema` changes it after training, given `snapshots`."""
    snapshots: Whole = 0
    """Moments at which two short EMAs are stored, to choose a length after training; 0: none."""
    ema_decay: BelowOne = 0.0
    """A constant decay instead, such as 0.9999, reached after a warm-up; 0: the power function."""
    precision: Precision = "auto"
    """Of the network's arithmetic; noise, targets and loss are float32 always."""
    shard: bool = False
    """Shard weights, EMAs and optimiser states over all processes (FSDP), for models that one
    device cannot hold."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    previews: str = "6"
    """Previews and validations: how many, evenly spread, or from one to the next, such as
    "1000steps", "2epochs", "5m" or "30%" of the run. The last is at the end; 0: none."""
    preview_share: Fraction = 0.1
    """Fraction of a budget that previews and validations may take where `previews` is a number:
    fewer of them where each takes long."""
    preview_prompts: tuple[str, ...] = ()
    """Prompts of the previews; empty: the classes, or captions of the training pictures."""
    preview_count: Whole = 0
    """Pictures of a preview for each prompt; 0: eight of each class, four of each caption."""
    preview_files: bool = False
    """Write the pictures of previews also one by one, with and without a prompt apart."""
    checkpoint_every: str = "1m"
    """From one training checkpoint to the next: steps such as "40" or "10k", epochs such as
    "1epoch", or time such as "2m"."""
    keep: Count = 2
    """Training checkpoints that are kept, the latest ones."""
    milestones: tuple[str, ...] = ("10%", "30%", "60%")
    """Moments whose model is kept for good, in RUN/milestones: after so many steps ("50k"), epochs
    ("3epochs"), or a part of the run ("30%")."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where metrics and previews go in addition to the run folder."""
    most_skipped: Count = 20
    """Steps in a row whose loss or gradient is not finite, after which the run stops."""

    def __post_init__(self) -> None:
        cadence(self.previews, "train.previews")
        every = cadence(self.checkpoint_every, "train.checkpoint_every")
        if not every.number or every.unit == "%":
            why = "is no distance" if every.number else "would never end writing"
            raise UserError(
                f"train.checkpoint_every={self.checkpoint_every} {why}; give steps (40), epochs "
                "(1epoch) or a time (2m)"
            )
        for text in self.milestones:
            milestone(text)
