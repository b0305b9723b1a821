"""When something happens in a run: after so many steps, epochs, minutes, or a part of the run."""

import math
import re
from typing import NamedTuple

from inkling.errors import UserError

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(k?) ?(steps?|epochs?|%)?")
_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


class Cadence(NamedTuple):
    """An amount of training."""

    number: float
    unit: str
    """"steps", "epochs", "seconds", "%" of the run, or "" for a bare number."""

    def steps(self, pictures: int, batch: int, total: int | None = None) -> int | None:
        """The same amount in optimiser steps, at least one; None for a time, and for a part of a
        run whose length is not known.

        Args:
            pictures: of the training set, to count epochs.
            batch: pictures a step.
            total: steps of the run.
        """
        if self.unit == "seconds" or (self.unit == "%" and total is None):
            return None
        unit = {"epochs": pictures / batch, "%": (total or 0) / 100}.get(self.unit, 1.0)
        # 14 % of 300 steps are 42, whatever the rounding of 0.14.
        return max(1, math.ceil(self.number * unit - 1e-6))


def seconds_of(text: str) -> float:
    """A time such as 90s, 5m or 1h30m in seconds; 0 if it is none."""
    found = _TIME.fullmatch(text.strip())
    if not found or not text.strip():
        return 0.0
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + rest


def cadence(text: str, setting: str) -> Cadence:
    """What a setting means.

    Args:
        text: such as "6", "1000steps", "50k", "2epochs", "5m" or "30%".
        setting: its name, for the message.

    Raises:
        UserError: it means none of these.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found:
        number, thousand, unit = found.groups()
        amount = float(number) * (1000 if thousand else 1)
        if unit or amount == int(amount):
            unit = unit or ("steps" if thousand else "")
            return Cadence(amount, {"step": "steps", "epoch": "epochs"}.get(unit, unit))
    if text.strip() and _TIME.fullmatch(text.strip()):
        return Cadence(seconds_of(text), "seconds")
    raise UserError(
        f"{setting}={text} is no amount of training; write a number, steps (1000steps, 50k), "
        "epochs (2epochs) or a time (5m)"
    )


def milestone(text: str) -> Cadence:
    """What an entry of `train.milestones` means.

    Raises:
        UserError: it means nothing, or no moment that is the same on every machine.
    """
    found = cadence(text, "train.milestones")
    if found.unit == "seconds" or not found.number or (found.unit == "%" and found.number > 100):
        raise UserError(
            f"train.milestones={text} is no moment of a run; write steps (50k), epochs (3epochs) "
            "or a part of the run (30%)"
        )
    return found
