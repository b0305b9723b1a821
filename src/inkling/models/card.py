"""The card in every checkpoint: what is known of a model beside its weights."""

import platform
import shlex
import sys
from pathlib import Path

import torch

from inkling.config.sample import Sample
from inkling.data import Pictures
from inkling.settings import Settings


class CallSettings(Settings, frozen=True):
    """How a model samples best in so many network calls: measured, or trained in."""

    calls: int
    """Evaluations of the network for a picture; a guided step takes two."""
    settings: Sample
    score: float = 0.0
    """What was measured on samples of these settings; lower is better."""
    measure: str = ""
    """What the score is, in words; empty: nothing was measured."""
    milliseconds: float = 0.0
    """A picture, on the machine that measured."""


class Card(Settings, frozen=True):
    """Facts about a model; JSON both ways."""

    channels: int
    size: tuple[int, int]
    """(H, W) of the pictures."""
    classes: tuple[str, ...] = ()
    """The prompt that names each class of the training set, if it had classes."""
    conditional: bool = False
    """Whether the training set had captions or classes."""
    pictures: int = 0
    """Trained on so many, held-out ones left out."""
    data: str = ""
    """The training set in words."""
    fingerprint: str = ""
    """Of the data set, see `Pictures.fingerprint`; empty: unknown."""
    problems: tuple[str, ...] = ()
    """What could not be read."""
    parameters: int = 0
    """That learn."""
    frozen: dict[str, int] = {}
    """Parameters that stay as they are, by the part of the model."""
    device: str = ""
    precision: str = ""
    processes: int = 1
    torch: str = ""
    python: str = ""
    command: str = ""
    """What was typed."""
    steps: int = 0
    """Optimiser steps, skipped ones included."""
    seconds: float = 0.0
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    ema_width: float = 0.0
    """Length of the EMA, if it was chosen after training."""
    scores: dict[str, float] = {}
    """Of the finished model on pictures that training never saw."""
    summary: str = ""
    """The scores in words."""
    codec: str = ""
    """The recipe of the codec whose latents were modelled, as JSON; empty: pixels."""
    by_calls: tuple[CallSettings, ...] = ()
    """How to sample in few calls or many, fewest first; empty: never measured."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""
        return (self.channels, *self.size)

    def parameters_in_words(self, exact: bool = False) -> str:
        """How many parameters learn, of how many, and what stays as it is."""

        def number(count: int) -> str:
            return f"{count:,}" if exact else f"{count / 1e6:.2f}M"

        if not self.frozen:
            return f"{number(self.parameters)} parameters"
        total = self.parameters + sum(self.frozen.values())
        parts = " and ".join(f"the {name}" for name in self.frozen)
        stay = "stays" if len(self.frozen) == 1 else "stay"
        return (
            f"{number(self.parameters)} trainable of {number(total)} parameters "
            f"({parts} {stay} frozen)"
        )


def card_of(
    pictures: Pictures,
    *,
    parameters: int,
    frozen: dict[str, int],
    device: str,
    precision: str,
    processes: int,
    codec: str = "",
    by_calls: tuple[CallSettings, ...] = (),
) -> Card:
    """What is known of a run before its first step."""
    channels, height, width = pictures.shape
    return Card(
        channels=channels,
        size=(height, width),
        classes=pictures.classes,
        conditional=pictures.conditional,
        pictures=len(pictures),
        data=pictures.describe(),
        fingerprint=pictures.fingerprint,
        problems=pictures.problems,
        parameters=parameters,
        frozen=frozen,
        device=device,
        precision=precision,
        processes=processes,
        torch=str(torch.__version__),
        python=platform.python_version(),
        command=_command(),
        codec=codec,
        by_calls=by_calls,
    )


def _command() -> str:
    """What was typed, as far as the interpreter knows."""
    file, *arguments = sys.argv
    path = Path(file)
    program = ["python", "-m", path.parent.name] if path.stem == "__main__" else [path.name]
    return shlex.join([*program, *arguments])
