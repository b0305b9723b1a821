"""The command line: verbs that call the library. What is heavy is imported inside the verbs."""

import re
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from inkling import __version__
from inkling.errors import UserError, UserNote, nearest
from inkling.recipe import Recipe, SamplerName, choices, override, to_json

_DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cuda, mps or cpu."
)


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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="inkling")
def cli() -> None:
    """Train small text-conditioned diffusion models from scratch, and draw with them."""


@cli.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes, or print one whole."""
    if name is not None:
        click.echo(to_json(_recipe(name)))
        return
    from inkling.recipes import RECIPES

    for recipe in RECIPES.values():
        click.echo(f"{recipe.name:12} {recipe.source}\n{'':12} {recipe.expected}")


@cli.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/RECIPE.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the data set's files.")
@click.option("--budget", type=Duration(), help="Time to train for, such as 90s, 5m or 1h30m.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, instead of a budget.")
@click.option("--seed", type=click.IntRange(min=0), help="Of weights, order and noise; default 0.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting.")
@click.option("--from", "start_from", type=click.Path(path_type=Path), help="Start from this run.")
@_DEVICE
def train(
    recipe: str,
    out: Path | None,
    data: Path | None,
    budget: float | None,
    steps: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    start_from: Path | None,
    device: str,
) -> None:
    """Train RECIPE and write the model, its metrics and its previews into a run folder.

    \b
    inkling train digits --budget 1m
    inkling train mnist --budget 5m --out runs/five-minutes
    inkling train mnist --steps 2000 --set train.lr=1e-3 --set net.widths=32,128
    """
    started = time.monotonic() - time.process_time()  # the imports count too
    given = [
        f"{name}={value}"
        for name, value in (
            ("data.path", data),
            ("train.seed", seed),
            ("train.budget", budget if steps is None else None),
            ("train.steps", steps if budget is None else None),
        )
        if value is not None
    ]
    if budget is not None and steps is not None:
        raise UserError(f"--budget {budget:g}s and --steps {steps} both end the run; give one")
    if budget is not None:
        given.append("train.steps=0")
    chosen = override(_recipe(recipe), [*assignments, *given])
    out = out or _free_folder(Path("runs"), recipe)

    from inkling import console, driver

    driver.check_free(out)
    reports = driver.run(chosen, out, device_name=device, start_from=start_from, started=started)
    last = console.watch(reports, out)
    progress = last.progress
    click.echo(
        f"{progress.step} steps, {progress.step * progress.learner.recipe.train.batch:,} pictures, "
        f"{progress.learner.seconds:.0f} s\n"
        f"model   {out / 'model.safetensors'}\n"
        f"samples {last.preview or out / 'samples'}\n"
        f'draw    inkling sample {out} "{driver.prompts_for(progress.learner)[-1]}"'
    )


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("prompts", nargs=-1)
@click.option(
    "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures per prompt."
)
@click.option("--steps", type=click.IntRange(min=1), help="Solver steps.")
@click.option("--sampler", help=f"One of {', '.join(choices(SamplerName))}.")
@click.option("--scale", type=float, help="Classifier-free guidance; 1 is none.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the first picture; the next ones count on.",
)
@click.option("--prompts-file", type=click.Path(path_type=Path), help="More prompts, one a line.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="FILE.png or FILE.npz; default RUN/drawn.png."
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged or last weights.",
)
@_DEVICE
def sample(
    run: Path,
    prompts: tuple[str, ...],
    count: int,
    steps: int | None,
    sampler: str | None,
    scale: float | None,
    seed: int,
    prompts_file: Path | None,
    out: Path | None,
    weights: str,
    device: str,
) -> None:
    """Draw PROMPTS with the model in RUN; without a prompt, draw whatever comes.

    Sampler, steps and scale default to what the checkpoint recommends.

    \b
    inkling sample runs/mnist "a handwritten seven"
    inkling sample runs/mnist zero one two --count 200 --scale 1 --out digits.npz
    """
    out = out or (run if run.is_dir() else run.parent) / "drawn.png"
    if out.suffix not in (".png", ".npz"):
        raise UserError(f"--out {out} should end in .png (a sheet) or .npz (arrays)")
    wanted = [*prompts, *(_lines(prompts_file) if prompts_file else ())] or [""]

    from inkling import console
    from inkling.generate import TextToImage

    artist = TextToImage.load(run, device, weights)
    settings = artist.settings(sampler, steps, scale)
    captions = [prompt for prompt in wanted for _ in range(count)]
    seeds = list(range(seed, seed + len(captions)))
    calls = "one call" if settings.scale == 1 else "two calls"
    click.echo(
        f"{len(captions)} pictures on {artist.device}: {settings.sampler}, {settings.steps} steps, "
        f"scale {settings.scale:g} ({calls} a solver evaluation)",
        err=True,
    )
    batches = artist.batches(
        captions,
        seeds=seeds,
        sampler=settings.sampler,
        steps=settings.steps,
        scale=settings.scale,
    )
    images = console.collect(batches, len(captions))
    _write(out, images, wanted, captions, seeds, count)
    click.echo(out)


@cli.command()
@click.argument("dataset")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the data set's files.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors.")
@click.option("--epochs", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def judge(dataset: str, data: Path | None, out: Path, epochs: int, seed: int) -> None:
    """Train an independent classifier on the real pictures of DATASET, to score samples with."""
    from inkling.data import read
    from inkling.evaluate.judge import train_judge

    train_split, test_split = (read(dataset, data, split) for split in ("train", "test"))
    trained, accuracy = None, 0.0
    for epoch, trained, accuracy in train_judge(train_split, test_split, epochs, seed):  # noqa: B007
        click.echo(f"epoch {epoch}: {accuracy:.2%} of the test split right", err=True)
    assert trained is not None, "there is at least one epoch"
    trained.save(out, accuracy)
    click.echo(f"{out}: {accuracy:.2%} of {len(test_split):,} test pictures right")


def _recipe(name: str) -> Recipe:
    from inkling.recipes import RECIPES

    if name not in RECIPES:
        raise UserError(nearest(name, RECIPES, "recipe"))
    return RECIPES[name]


def _free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or with the first free number behind it."""
    number, candidate = 2, parent / name
    while candidate.exists():
        number, candidate = number + 1, parent / f"{name}-{number}"
    return candidate


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read prompts from {path}: {error}") from None


def _write(
    out: Path, images: Any, prompts: list[str], captions: list[str], seeds: list[int], count: int
) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npz":
            import numpy as np

            np.savez_compressed(
                out,
                images=images.transpose(0, 2, 3, 1),
                prompts=np.array(captions, dtype=np.str_),
                seeds=np.array(seeds, dtype=np.int64),
            )
        else:
            from inkling.visualize import grids

            rows = [(p, images[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
            grids.save(grids.sheet(rows), out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None


def _say_warning(message: Warning | str, *_place: Any) -> None:
    click.echo(f"warning: {message}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserNote)
            warnings.showwarning = _say_warning  # type: ignore[assignment]
            code = cli.main(arguments, standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        code = 130
    sys.exit(code or 0)
