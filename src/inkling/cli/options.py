"""Options that several verbs share."""

import re
from typing import Any

import click

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time such as 90s, 5m or 1h30m, as seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds; refuses what is no positive time."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip())
        seconds = 0.0
        if found and value.strip():
            hours, minutes, rest = (int(part or 0) for part in found.groups())
            seconds = 3600.0 * hours + 60.0 * minutes + rest
        if seconds <= 0:
            self.fail(f"{value!r} is no time; write 90s, 5m or 1h30m", param, ctx)
        return seconds
