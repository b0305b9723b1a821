"""The command line: verbs that call the library. What is heavy is imported inside the verbs."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from inkling import __version__
from inkling.cli.data import data
from inkling.cli.distil import distil
from inkling.cli.doctor import doctor
from inkling.cli.ema import ema
from inkling.cli.evaluate import evaluate
from inkling.cli.names import names
from inkling.cli.plot import plot
from inkling.cli.report import report
from inkling.cli.sample import sample
from inkling.cli.train import recipes, train
from inkling.cli.tune import tune
from inkling.cli.verify import verify
from inkling.cli.watch import watch
from inkling.errors import UserError, UserNote

_WHOLE = "is no whole number, such as 1000"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="inkling")
def cli() -> None:
    """Train small text-conditioned diffusion models from scratch, and sample from them."""


for verb in (
    recipes,
    data,
    doctor,
    train,
    distil,
    watch,
    ema,
    tune,
    sample,
    plot,
    evaluate,
    report,
    names,
    verify,
):
    cli.add_command(verb)


def _say_warning(message: Warning | str, *_place: Any) -> None:
    click.echo(f"warning: {message}", err=True)


def _sentence(error: click.ClickException) -> str:
    """What click says, as one sentence that begins like ours and ends with the help to read."""
    said = error.format_message().replace("is not a valid integer range", _WHOLE)
    said = said.replace("is not a valid integer", _WHOLE).replace(". Did you", "; did you")
    said = said.rstrip(".")
    context = getattr(error, "ctx", None)
    help_of = f" (see {context.command_path} --help)" if context else ""
    return f"{said[:1].lower()}{said[1:]}{help_of}"


def _leave_the_others() -> None:
    """End the process group, if there is one."""
    if "torch" in sys.modules:
        from inkling.system.distributed import leave

        leave()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserNote)
            warnings.showwarning = _say_warning  # type: ignore[assignment]
            code = cli.main(arguments, prog_name="inkling", standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        code = 2
    except click.ClickException as error:
        click.echo(f"error: {_sentence(error)}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        code = 130
    finally:
        _leave_the_others()
    sys.exit(code or 0)
