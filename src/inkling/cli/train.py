"""`inkling train` and `inkling recipes`."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.cli.options import DEVICE, PATH, SEED, Duration, Verb
from inkling.config.overrides import to_json
from inkling.errors import UserError, unknown_name
from inkling.system.shell import command

if TYPE_CHECKING:
    from inkling.config.recipe import RunRecipe
    from inkling.runs.resume import Asked, Begun
    from inkling.runs.session import StopFlag, Update


@click.command(cls=Verb)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, without where values come from.")
@click.option("--small", is_flag=True, help="As a two-minute trial.")
def recipes(name: str | None, as_json: bool, small: bool) -> None:
    """List the recipes, or print one whole, with where each value comes from."""
    from inkling.config.recipes import DIFFERENCES, RECIPES, explained
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
    if differences := DIFFERENCES.get(name):
        click.echo("\nwhere it differs from the source:")
        for sentence in differences:
            click.echo(f"- {sentence}")


@click.command(cls=Verb)
@click.argument("recipe")
@click.option("--out", type=PATH, help="Run folder; default runs/RECIPE.")
@click.option("--data", type=PATH, help="Folder with the data set's files.")
@click.option("--budget", type=Duration(), help="Time to train for, such as 90s, 5m or 1h30m.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, instead of a budget.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the pictures, instead.")
@click.option("--seed", type=SEED, help="Of weights, order and noise; default 0.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting.")
@click.option("--small", is_flag=True, help="A two-minute trial of any recipe.")
@click.option("--from", "start_from", type=PATH, help="Start from this run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out where it stopped.")
@DEVICE
def train(
    recipe: str,
    out: Path | None,
    data: Path | None,
    budget: float | None,
    steps: int | None,
    epochs: int | None,
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
    from inkling.runs import console, session
    from inkling.runs.resume import Asked
    from inkling.system.distributed import is_main_process

    given = _assignments(assignments, data, seed, steps=steps, epochs=epochs, budget=budget)
    flag = session.StopFlag()
    asked = Asked(recipe, given, small, start_from)
    with _signals(flag) as received, ExitStack() as held:
        try:
            begun = _resumed(out, asked, held) if resume else _fresh(out, asked)
            if begun is None:
                return 0
            out = begun.out
            updates = session.run(
                begun.recipe,
                out,
                device_name=device,
                start_from=start_from,
                resume=begun.stored,
                started=started,
                flag=flag,
                again=begun.again,
            )
            learned = start_from is not None or begun.stored is not None
            last = console.follow(updates, out, learned=learned)
        except KeyboardInterrupt:
            console.say("stopped" if flag.heeded else "stopped before the first step")
            return 128 + received[-1] if received else 130
    if last.stopped:
        console.say(
            f"stopped at step {last.progress.step}, the checkpoint is saved; go on with\n"
            f"{command('train', recipe, '--out', out, '--resume')}"
        )
        return 128 + (received or [signal.SIGTERM])[0]  # which only another process may have got
    if is_main_process():
        click.echo(_ending(last, out))
    return 0


def _fresh(out: Path | None, asked: "Asked") -> "Begun":
    """What a new run begins with; its folder is free, and made if none was named."""
    from inkling.models import checkpoint
    from inkling.runs import auto_recipe, console, run_folder
    from inkling.runs.lock import check_folder, free_folder
    from inkling.runs.resume import Begun
    from inkling.system.distributed import is_main_process

    name, first = auto_recipe.name_of(asked.target), is_main_process()
    if out is not None and first:
        check_folder(out)
        run_folder.check_free(out)
    before = None
    if asked.start_from is not None:
        before = checkpoint.read_recipe(checkpoint.locate(asked.start_from))
        console.say(f"from {asked.start_from}, with its {', '.join(before.structure)}")
    chosen = auto_recipe.resolve(asked.target, asked.assignments, asked.small, before)
    if auto_recipe.is_chosen(asked.target):
        console.say(f"chosen from the pictures: {_choices_of(chosen)}")
    if out is not None:
        run_folder.check_apart(out, chosen)
    usual = Path("runs", name)
    return Begun(out or (free_folder(usual.parent, name) if first else usual), chosen)


def _resumed(out: Path | None, asked: "Asked", held: ExitStack) -> "Begun | None":
    """What a run goes on from, its folder held; None if it is finished."""
    from inkling.runs import auto_recipe, console, run_folder
    from inkling.runs.lock import check_folder, locked
    from inkling.runs.resume import Begun, agreed, to_restart, to_resume
    from inkling.system.distributed import is_main_process

    out = out or Path("runs", auto_recipe.name_of(asked.target))
    if is_main_process():
        check_folder(out)
    if run_folder.finished(out):
        agreed(out, run_folder.recipe_of(out), asked)
        again = command("train", asked.target, "--from", out)
        click.echo(f"the run in {out} is finished; to train on from its weights: {again}")
        return None
    held.enter_context(locked(out))
    stored = to_resume(out, asked)
    if stored is not None:
        console.say(f"{out}: step {stored.progress['step']}")
        return Begun(out, stored.recipe, stored)
    recipe = to_restart(out, asked)
    if recipe is None:
        console.say(f"{out}: no checkpoint: starting afresh")
        return _fresh(out, asked)
    console.say(f"{out}: no checkpoint yet: starting again with the settings of this run")
    return Begun(out, recipe, None, again=True)


@contextmanager
def _signals(flag: "StopFlag") -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise the flag. Yields what came.

    Before the first step, and at a second Ctrl-C, they stop at once.
    """
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        again = bool(received) and number == signal.SIGINT
        received.append(number)
        if again or not flag.heeded:
            raise KeyboardInterrupt
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


_ENDS = ("steps", "epochs", "budget")
"""What may end a run; each counts where those before it are 0."""


def _assignments(
    assignments: tuple[str, ...], data: Path | None, seed: int | None, **ends: float | None
) -> list[str]:
    """Settings as they were typed, by `--set` or as options of their own.

    Args:
        assignments: of `--set`.
        data: folder of the pictures.
        seed: of the run.
        ends: by names of `_ENDS`.

    Raises:
        UserError: two ends of a run, of which one would be passed over.
    """
    named: dict[str, object] = {"data.path": data, "train.seed": seed}
    named |= {f"train.{name}": end for name, end in ends.items()}
    given = [*assignments, *(f"{n}={value}" for n, value in named.items() if value is not None)]
    last = dict(each.split("=", 1) for each in given if "=" in each)
    typed = {name: last.get(f"train.{name}", "0").strip() for name in _ENDS}
    several = [name for name in _ENDS if typed[name] not in ("0", "0.0", "")]
    if len(several) > 1:
        both = " and ".join(f"train.{name}={typed[name]}" for name in several)
        raise UserError(f"{both} both end the run; give one of them")
    # What the recipe has in their place counts no more.
    before = _ENDS[: _ENDS.index(several[0])] if several else ()
    return given + [f"train.{name}=0" for name in before if f"train.{name}" not in last]


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
    seconds = state.seconds + state.budget.last_preview_seconds
    lines = [
        f"{state.step} steps, {state.step * state.recipe.train.batch:,} pictures, "
        f"{seconds:.0f} s, {state.previewed / seconds:.0%} of it previews and validations",
        f"model   {out / 'model.safetensors'}",
    ]
    if isinstance(state.recipe, Recipe):
        lines.append(f"samples {last.preview or out / 'samples'}")
        prompt = prompts_for(state)[-1]
        end = ["--"] if prompt.startswith("-") else []  # of the options
        asked = ["--like", "PICTURE"] if state.pictures.own_conditions else [*end, prompt]
        lines.append(f"sample  {command('sample', out, *asked)}")
    elif state.card.summary:
        lines.append(f"scores  {state.card.summary}")
    return "\n".join(lines)
