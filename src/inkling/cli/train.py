"""`inkling train` and `inkling recipes`."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.cli.clip import PREFIX, train_clip
from inkling.cli.options import DEVICE, Duration
from inkling.config.overrides import to_json
from inkling.errors import UserError, nearest

if TYPE_CHECKING:
    from inkling.config.recipe import Recipe
    from inkling.models.checkpoint import Stored
    from inkling.runs.session import Brake, Report


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, without where values come from.")
@click.option("--small", is_flag=True, help="As a two-minute trial.")
def recipes(name: str | None, as_json: bool, small: bool) -> None:
    """List the recipes, or print one whole, with where each value comes from."""
    from inkling.config.recipes import RECIPES, explained
    from inkling.config.recipes import small as shrunk

    if name is None:
        for recipe in RECIPES.values():
            click.echo(f"{recipe.name:15} {recipe.source}\n{'':15} {recipe.expected}")
        return
    if name not in RECIPES:
        raise UserError(nearest(name, RECIPES, "recipe"))
    recipe = shrunk(RECIPES[name]) if small else RECIPES[name]
    if as_json:
        click.echo(to_json(recipe))
        return
    click.echo(f"{recipe.name}: {recipe.source}\n{recipe.expected}\n")
    for setting, value, origin in explained(recipe, RECIPES[name]):
        click.echo(f"{setting:32} {value:28} {origin}")


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/RECIPE.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the data set's files.")
@click.option("--budget", type=Duration(), help="Time to train for, such as 90s, 5m or 1h30m.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, instead of a budget.")
@click.option("--seed", type=click.IntRange(min=0), help="Of weights, order and noise; default 0.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting.")
@click.option("--small", is_flag=True, help="A two-minute trial of any recipe.")
@click.option("--from", "start_from", type=click.Path(path_type=Path), help="Start from this run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out where it stopped.")
@DEVICE
def train(
    recipe: str,
    out: Path | None,
    data: Path | None,
    budget: float | None,
    steps: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    small: bool,
    start_from: Path | None,
    resume: bool,
    device: str,
) -> int:
    """Train RECIPE and write the model, its metrics and its previews into a run folder.

    RECIPE is a recipe, a data set, a folder of your own pictures, or hub:OWNER/NAME; without a
    recipe of that name, settings are chosen from the pictures. clip-RECIPE trains a small CLIP on
    the same pictures and captions instead.

    \b
    inkling train digits --budget 1m
    inkling train ./photographs
    inkling train mnist --budget 5m --out runs/five-minutes
    inkling train mnist --out runs/five-minutes --resume
    inkling train cifar10 --small
    inkling train mnist --steps 2000 --set train.lr=1e-3 --set net.widths=32,128
    """
    started = time.monotonic() - time.process_time()  # the imports count too
    given = _assignments(data, budget, steps, seed)
    if recipe.startswith(PREFIX):
        if resume or start_from:
            raise UserError("a CLIP trains in minutes and is not resumed; leave that option out")
        trial = ["train.budget=120"] if small else []
        return train_clip(recipe, out, [*trial, *assignments, *given], device, started)
    from inkling.config.recipes import RECIPES
    from inkling.runs import auto_recipe as suit
    from inkling.runs import console
    from inkling.runs import run_folder as folder
    from inkling.runs import session as driver

    name, _ = suit.located(recipe)
    usual = out or Path("runs", name)
    if resume and folder.finished(usual):
        click.echo(f"the run in {usual} is finished; draw with it: inkling sample {usual}")
        return 0
    out, stored = _place(out, name, [*assignments, *given], resume)
    chosen = stored.recipe if stored else suit.resolve(recipe, [*assignments, *given], small)
    if recipe not in RECIPES and not stored:
        console.say(f"chosen from the pictures: {_choices_of(chosen)}")
    brake = driver.Brake()
    reports = driver.run(
        chosen,
        out,
        device_name=device,
        start_from=start_from,
        resume=stored,
        started=started,
        brake=brake,
    )
    with _signals(brake) as received:
        last = console.watch(reports, out)
    progress = last.progress
    if last.stopped:
        console.say(
            f"stopped at step {progress.step}, the state is saved; go on with\n"
            f"inkling train {recipe} --out {out} --resume"
        )
        return 128 + received[0]
    if not console.speaks():
        return 0
    click.echo(_ending(last, out))
    return 0


def _place(
    out: Path | None, name: str, settings: list[str], resume: bool
) -> "tuple[Path, Stored | None]":
    """(the run folder, the state to go on from): a free folder for a new run."""
    from inkling.runs import console
    from inkling.runs import run_folder as folder

    if resume:
        out = out or Path("runs", name)
        stored = folder.to_resume(out, settings)
        said = f"step {stored.progress['step']}" if stored else "no saved state: starting afresh"
        console.say(f"{out}: {said}")
        return out, stored
    if console.speaks():
        out = out or _free_folder(Path("runs"), name)
        folder.check_free(out)
    return out or Path("runs", name), None


@contextmanager
def _signals(brake: "Brake") -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM pull the brake; a second Ctrl-C stops at once. Yields what came."""
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        brake.pull()

    kinds = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return
    before = [signal.signal(kind, handle) for kind in kinds]
    try:
        yield received
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _assignments(
    data: Path | None, budget: float | None, steps: int | None, seed: int | None
) -> list[str]:
    """Options of their own as settings.

    Raises:
        UserError: both a budget and a step count were given.
    """
    if budget is not None and steps is not None:
        raise UserError(f"--budget {budget:g}s and --steps {steps} both end the run; give one")
    named = {
        "data.path": data,
        "train.seed": seed,
        "train.budget": budget,
        "train.steps": steps if budget is None else 0,
    }
    return [f"{name}={value}" for name, value in named.items() if value is not None]


def _choices_of(recipe: "Recipe") -> str:
    """What was chosen for pictures that have no recipe of their own."""
    net = recipe.net
    return (
        f"size {recipe.data.size or 'theirs'}, net.widths={','.join(map(str, net.widths))} "
        f"net.patch={net.patch} net.cross_attention={str(net.cross_attention).lower()} "
        f"text.encoder={recipe.text.encoder} sample.scale={recipe.sample.scale:g}"
    )


def _ending(last: "Report", out: Path) -> str:
    """What a finished run has to say."""
    from inkling.runs.session import prompts_for

    learner = last.progress.learner
    return (
        f"{learner.step} steps, {learner.step * learner.recipe.train.batch:,} pictures, "
        f"{learner.seconds:.0f} s\n"
        f"model   {out / 'model.safetensors'}\n"
        f"samples {last.preview or out / 'samples'}\n"
        f'draw    inkling sample {out} "{prompts_for(learner)[-1]}"'
    )


def _free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or with the first free number behind it."""
    number, candidate = 2, parent / name
    while candidate.exists():
        number, candidate = number + 1, parent / f"{name}-{number}"
    return candidate
