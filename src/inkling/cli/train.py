"""`inkling train` and `inkling recipes`."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.cli.options import DEVICE, Duration
from inkling.config.overrides import to_json
from inkling.errors import UserError, unknown_name

if TYPE_CHECKING:
    from inkling.config.recipe import RunRecipe
    from inkling.models.checkpoint import Checkpoint
    from inkling.runs.session import StopFlag, Update


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
            click.echo(f"{recipe.name:18} {recipe.source}\n{'':18} {recipe.expected}")
        return
    if name not in RECIPES:
        raise UserError(unknown_name(name, RECIPES, "recipe"))
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
    recipe of that name, settings are chosen from the pictures. On the same pictures, clip-RECIPE
    trains a small CLIP, judge-RECIPE a classifier that scores samples, and codec-RECIPE an
    autoencoder whose latents a denoiser can learn (--set data.codec=RUN).

    \b
    inkling train digits --budget 1m
    inkling train ./photographs
    inkling train mnist --budget 5m --out runs/five-minutes
    inkling train mnist --out runs/five-minutes --resume
    inkling train cifar10 --small
    inkling train judge-mnist
    inkling train mnist --steps 2000 --set train.lr=1e-3 --set net.widths=32,128
    """
    started = time.monotonic() - time.process_time()  # the imports count too
    from inkling.models import checkpoint
    from inkling.runs import auto_recipe, console, run_folder, session
    from inkling.system.distributed import is_main_process

    given = [*assignments, *_assignments(data, budget, steps, seed)]
    name = auto_recipe.name_of(recipe)
    usual = out or Path("runs", name)
    if resume and run_folder.finished(usual):
        run_folder.check_settings(usual, run_folder.recipe_of(usual), given)
        click.echo(f"the run in {usual} is finished; to train on from its weights: --from {usual}")
        return 0
    out, stored = _folder(out, name, given, resume)
    before = None
    if start_from and not stored:
        before = checkpoint.read(checkpoint.locate(start_from)).recipe
        console.say(f"from {start_from}, with its {', '.join(before.structure)}")
    chosen = stored.recipe if stored else auto_recipe.resolve(recipe, given, small, before)
    if not stored and auto_recipe.is_chosen(recipe):
        console.say(f"chosen from the pictures: {_choices_of(chosen)}")
    flag = session.StopFlag()
    updates = session.run(
        chosen,
        out,
        device_name=device,
        start_from=start_from,
        resume=stored,
        started=started,
        flag=flag,
    )
    with _signals(flag) as received:
        last = console.follow(updates, out)
    if last.stopped:
        console.say(
            f"stopped at step {last.progress.step}, the checkpoint is saved; go on with\n"
            f"inkling train {recipe} --out {out} --resume"
        )
        return 128 + received[0]
    if is_main_process():
        click.echo(_ending(last, out))
    return 0


def _folder(
    out: Path | None, name: str, settings: list[str], resume: bool
) -> "tuple[Path, Checkpoint | None]":
    """(the run folder, the checkpoint to go on from): a free folder for a new run."""
    from inkling.runs import console, run_folder
    from inkling.system.distributed import is_main_process

    if resume:
        out = out or Path("runs", name)
        stored = run_folder.to_resume(out, settings)
        said = f"step {stored.progress['step']}" if stored else "no checkpoint: starting afresh"
        console.say(f"{out}: {said}")
        return out, stored
    if is_main_process():
        out = out or _free_folder(Path("runs"), name)
        run_folder.check_free(out)
    return out or Path("runs", name), None


@contextmanager
def _signals(flag: "StopFlag") -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise the flag; a second Ctrl-C stops at once. Yields what came."""
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        flag.raise_flag()

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
        "train.epochs": None if budget is None else 0,
    }
    return [f"{name}={value}" for name, value in named.items() if value is not None]


def _choices_of(recipe: "RunRecipe") -> str:
    """What was chosen for pictures that have no recipe of their own."""
    from inkling.config.recipe import Recipe

    assert isinstance(recipe, Recipe), "only denoisers are chosen from the pictures"
    net = recipe.net
    named = ("widths", "patch", "cross_attention")
    return (
        f"size {recipe.data.size or 'theirs'}, "
        + " ".join(
            f"net.{name}={_said(getattr(net, name))}" for name in named if hasattr(net, name)
        )
        + f" text.encoder={recipe.text.encoder} sample.scale={recipe.sample.scale:g}"
    )


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ending(last: "Update", out: Path) -> str:
    """The summary of a finished run."""
    from inkling.config.recipe import Recipe
    from inkling.runs.preview import prompts_for

    state = last.progress.state
    lines = [
        f"{state.step} steps, {state.step * state.recipe.train.batch:,} pictures, "
        f"{state.seconds:.0f} s",
        f"model   {out / 'model.safetensors'}",
    ]
    if isinstance(state.recipe, Recipe):
        lines.append(f"samples {last.preview or out / 'samples'}")
        lines.append(f'sample  inkling sample {out} "{prompts_for(state)[-1]}"')
    elif state.card.summary:
        lines.append(f"scores  {state.card.summary}")
    return "\n".join(lines)


def _free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or with the first free number behind it."""
    number, candidate = 2, parent / name
    while candidate.exists():
        number, candidate = number + 1, parent / f"{name}-{number}"
    return candidate
