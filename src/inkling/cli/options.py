"""Options that several verbs share."""

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
from msgspec import to_builtins

from inkling.config.cadence import seconds_of
from inkling.config.recipe import Recipe
from inkling.config.registries import leaves
from inkling.config.sample import ClipGuidance
from inkling.config.unknown import settings_named
from inkling.errors import UserError
from inkling.settings import LARGEST_SEED

_ELSEWHERE = {
    "negative": "--not",
    "negative-prompt": "--not",
    "n": "--count",
    "num": "--count",
    "num-images": "--count",
    "num-images-per-prompt": "--count",
    "cfg": "--scale",
    "cfg-scale": "--scale",
    "guidance": "--scale",
    "output": "--out",
    "nfe": "--calls",
    "time": "--budget",
    "num-samples": "--n",
    "samples": "--n",
}
"""Our options by names that others have for them."""


class Verb(click.Command):
    """A command of inkling: an option that takes one value is given once, and one that there is
    not is answered with the setting of that name.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it; of an option given twice click would take the last in silence."""
        try:
            *_, order = self.make_parser(ctx).parse_args(args=[*args])
        except click.NoSuchOption as error:
            if meant := self._meant(error.option_name):
                said = f"No such option '{error.option_name}'; did you mean {' or '.join(meant)}?"
                raise click.UsageError(said, ctx) from None
            raise
        for option, times in Counter(order).items():
            if times > 1 and isinstance(option, click.Option) and not _repeatable(option):
                raise UserError(f"{option.opts[0]} is given {times} times; give one of them")
        return super().parse_args(ctx, args)

    def _meant(self, typed: str) -> list[str]:
        """The options for a setting of this name, or of this name in another library."""
        paths = (path for path, _ in leaves(to_builtins(Recipe(name="", source=""))))
        found = settings_named(typed.lstrip("-"), paths)
        own = {name for option in self.params for name in option.opts}
        if (usual := _ELSEWHERE.get(typed.lstrip("-").replace("_", "-"))) in own:
            return [str(usual)]
        short = [f"--{path.rpartition('.')[2].replace('_', '-')}" for path in found]
        return [name for name in short if name in own] or [
            f"--set {path}=..." for path in found if "--set" in own
        ]


def _repeatable(option: click.Option) -> bool:
    """Whether nothing is lost where an option is given twice; a flag's opposite would be."""
    return option.multiple or option.count or (option.is_flag and not option.secondary_opts)


DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")


WEIGHTS = click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged or last weights.",
)
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


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers from 1, such as network calls, separated by commas."""

    name = "n,n,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """The distinct numbers, fewest first; refuses what are none."""
        try:
            numbers = sorted({int(part) for part in value.split(",")})
        except ValueError:
            numbers = [0]
        if numbers[0] < 1:
            self.fail(f"{value!r} is not whole numbers from 1; write 4,10,20", param, ctx)
        return tuple(numbers)


class Interval(click.ParamType):  # type: ignore[type-arg]
    """Two numbers LOW,HIGH."""

    name = "low,high"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float]:
        """Both numbers; refuses what are not two."""
        try:
            low, high = map(float, value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not two noise levels; write 0.3,80", param, ctx)
        return low, high


_GUIDANCE = {
    "model": click.option("--clip", "model", metavar="CLIP",
                          help="A CLIP that reads the prompts: a folder or a hub id."),
    "form": click.option("--form", help="Form of its guidance: "
                         + ", ".join(get_args(get_type_hints(ClipGuidance)["form"])) + "."),
    "strength": click.option("--strength", type=click.FloatRange(min=0),
                             help="Strength of its guidance; 0: off."),
    "inner_steps": click.option("--inner-steps", type=click.IntRange(min=1),
                                help="Gradient steps, in the forms inner and mean."),
    "step_size": click.option("--step-size", type=click.FloatRange(min=0, min_open=True),
                              help="Length of one of these."),
    "interval": click.option("--clip-interval", "interval", type=Interval(), metavar="LOW,HIGH",
                             help="The CLIP guides where LOW < sigma <= HIGH."),
}  # fmt: skip
"""The option of each setting of CLIP guidance that has one."""


def clip_guidance(command: Callable[..., None]) -> Callable[..., None]:
    """Options of CLIP guidance; the command gets those that were typed, by the name of their
    setting, as `guidance`.
    """

    @wraps(command)
    def gathered(**arguments: Any) -> None:
        typed = {name: arguments.pop(name) for name in _GUIDANCE}
        given = {name: value for name, value in typed.items() if value is not None}
        command(guidance=given, **arguments)

    for option in reversed(_GUIDANCE.values()):
        gathered = option(gathered)
    return gathered
