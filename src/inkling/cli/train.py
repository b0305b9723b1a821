"""`inkling train` and `inkling recipes`."""

import time
from contextlib import ExitStack
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import click

from inkling.cli.options import DEVICE, PATH, SEED, Duration, Verb
from inkling.cli.training import assignments_of, carry_out, resumed
from inkling.config.overrides import to_json
from inkling.errors import UserError, nearest, unknown_name
from inkling.system.shell import command

if TYPE_CHECKING:
    from inkling.config.recipe import RunRecipe
    from inkling.runs.resume import Asked, Begun


@click.command(cls=Verb)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, without where values come from.")
@click.option("--small", is_flag=True, help="As a two-minute trial.")
@click.option("--all", "every", is_flag=True, help="Settings that have their default value too.")
def recipes(name: str | None, as_json: bool, small: bool, every: bool) -> None:
    """List the recipes, or print the settings of one that differ from the defaults.

    Each with its value, where that comes from, and what the setting means. NAME may also be a
    setting, such as train.decay.

    \b
    inkling recipes
    inkling recipes mnist
    inkling recipes mnist --all
    inkling recipes train.decay
    """
    from inkling.config.meanings import settings_of
    from inkling.config.recipes import DIFFERENCES, RECIPES, explained
    from inkling.config.recipes import small as shrunk

    if name is None:
        for recipe in RECIPES.values():
            click.echo(f"{recipe.name:18} {recipe.source}\n{'':18} {recipe.expected}")
        return
    if "." in name:
        _print_setting(name)
        return
    if name not in RECIPES:
        raise UserError(unknown_name(name, RECIPES, "recipe"))
    recipe = shrunk(RECIPES[name]) if small else RECIPES[name]
    if as_json:
        click.echo(to_json(recipe))
        return
    click.echo(f"{recipe.name}: {recipe.source}\n{recipe.expected}\n")
    meanings = {each.path: each.meaning for each in settings_of(net=type(recipe.net))}
    usual = 0
    for each in explained(recipe, RECIPES[name]):
        if each.usual and each.origin == "inkling's default" and not every:
            usual += 1
            continue
        origin = "" if each.origin == recipe.source else each.origin
        click.echo(f"{each.setting:28} {each.value:28} {origin}".rstrip())
        if meaning := meanings.get(each.setting):
            click.echo(fill(meaning, 100, initial_indent="    ", subsequent_indent="    "))
    if usual:
        click.echo(f"\n{usual} other settings have their default value (--all shows them)")
    if differences := DIFFERENCES.get(name):
        click.echo("\nwhere it differs from the source:")
        for sentence in differences:
            click.echo(f"- {sentence}")


def _print_setting(path: str) -> None:
    """Print what one setting means, for each kind of recipe and network that has it.

    Raises:
        UserError: there is no such setting; the nearest is offered.
    """
    from inkling.config.kinds import KINDS
    from inkling.config.meanings import Setting, settings_of
    from inkling.nets.configs import NETWORKS

    known: dict[tuple[str, str], Setting] = {}
    for kind in KINDS.values():
        for net in NETWORKS.values():
            known |= {(each.path, each.meaning): each for each in settings_of(kind, net)}
    found = [each for each in known.values() if each.path == path]
    if not found:
        close = nearest(path, [each.path for each in known.values()])
        hint = f"; did you mean {close!r}?" if close else ""
        raise UserError(
            f"there is no setting {path!r}{hint} (inkling recipes NAME --all lists them)"
        )
    for each in found:
        click.echo(f"{each.path}: {each.values}; default {each.default}")
        click.echo(fill(each.meaning, 100, initial_indent="    ", subsequent_indent="    "))


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
    from inkling.runs import auto_recipe
    from inkling.runs.resume import Asked

    given = assignments_of(assignments, data, seed, steps=steps, epochs=epochs, budget=budget)
    asked = Asked(recipe, given, small, start_from)

    def begin(held: ExitStack) -> "Begun | None":
        if not resume:
            return _fresh(out, asked)
        folder = out or Path("runs", auto_recipe.name_of(recipe))
        return resumed(folder, asked, held, lambda: _fresh(folder, asked))

    return carry_out(
        begin,
        device=device,
        started=started,
        start_from=start_from,
        again=lambda folder: command("train", recipe, "--out", folder, "--resume"),
    )


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
    usual = Path("runs", name)
    return Begun(out or (free_folder(usual.parent, name) if first else usual), chosen)


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
