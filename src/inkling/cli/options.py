"""Options that several verbs share."""

import os
from pathlib import Path
from typing import Any

import click

from inkling.config.cadence import seconds_of
from inkling.settings import LARGEST_SEED

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")


SEED = click.IntRange(min=0, max=LARGEST_SEED)


class NamedPath(click.ParamType):  # type: ignore[type-arg]
    """A path; an empty one, which would be the current folder, is refused."""

    name = "path"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """The path, whether or not something is there."""
        if not str(value).strip():
            self.fail("the name is empty; name a file or a folder (. is this one)", param, ctx)
        try:
            os.fsdecode(value).encode()  # checkpoints name their files in UTF-8
            os.lstat(value)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            pass  # nothing there, or not for us; whoever opens it says so
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.fail(f"{value} cannot be a path: {reason}", param, ctx)
        return Path(value)


PATH = NamedPath()


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
