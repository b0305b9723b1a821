"""Options that several verbs share."""

from typing import Any

import click

from inkling.training.budget import seconds_of

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time such as 90s, 5m or 1h30m, as seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds; refuses what is no positive time."""
        if isinstance(value, float):
            return value
        seconds = seconds_of(value)
        if seconds <= 0:
            self.fail(f"{value!r} is no time; write 90s, 5m or 1h30m", param, ctx)
        return seconds
