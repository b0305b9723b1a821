"""`inkling plot`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inkling.cli.options import DEVICE, PATH, SEED, WEIGHTS, Numbers, Verb, clip_guidance
from inkling.errors import UserError, unknown_name

if TYPE_CHECKING:
    from inkling.inspect.request import PlotRequest

ALL = "all"


@click.command(cls=Verb)
@click.argument("kind", required=False)
@click.argument("runs", nargs=-1, type=PATH)
@click.option("--prompt", "prompts", multiple=True, help="Instead of the training set's own.")
@click.option("--like", multiple=True, type=PATH, help="A picture as prompt, for a model of "
              "text.encoder=vision.")  # fmt: skip
@click.option("--levels", help="Columns of a strip, such as 999,500,100,0.")
@click.option("--every", type=click.IntRange(1, 999), help="Columns of a strip: every so many of "
              "1000 timesteps.")  # fmt: skip
@click.option("--unit", default="t", show_default=True, help="Of --levels: t, sigma or logsnr.")
@click.option("--estimate", is_flag=True, help="Show estimates of the clean picture.")
@click.option("--sampler", "samplers", multiple=True, help="As in sample; several in sweep.")
@click.option("--steps", type=Numbers(), help="Solver steps; in sweep several: 5,10,50.")
@click.option("--calls", type=Numbers(), help="Of sweep: network calls a picture (NFE): 5,10,50.")
@click.option("--scale", "scales", type=float, multiple=True, help="Classifier-free guidance; 1 is "
              "none; several in sweep.")  # fmt: skip
@WEIGHTS
@click.option("--seed", type=SEED, default=0, show_default=True)
@clip_guidance
@click.option("--data", type=PATH, help="Folder with the data set's files.")
@click.option("--out", type=PATH, help="Default RUN/plots/KIND.png.")
@DEVICE
def plot(
    kind: str | None,
    runs: tuple[Path, ...],
    prompts: tuple[str, ...],
    like: tuple[Path, ...],
    levels: str | None,
    every: int | None,
    unit: str,
    estimate: bool,
    samplers: tuple[str, ...],
    steps: tuple[int, ...] | None,
    calls: tuple[int, ...] | None,
    scales: tuple[float, ...],
    weights: str,
    seed: int,
    guidance: dict[str, Any],
    data: Path | None,
    out: Path | None,
    device: str,
) -> None:
    """Draw the figure KIND of RUNS; without a kind, list them; `all` draws every one.

    \b
    inkling plot strip runs/mnist
    inkling plot strip runs/mnist --every 100
    inkling plot animation runs/mnist --prompt three --out three.webp
    inkling plot grid runs/ddpm --clip runs/clip-mnist
    inkling plot sweep runs/mnist --sampler euler --sampler heun --calls 5,10,50 --scale 1
    inkling plot compare runs/one runs/two
    inkling plot curves runs/one runs/two
    inkling plot all runs/mnist
    """
    from inkling.inspect.plots import PLOTS
    from inkling.inspect.plots import plot as save_plot
    from inkling.inspect.request import PlotRequest
    from inkling.visualize import strips

    if kind is None:
        for name, each in PLOTS.items():
            click.echo(f"{name:12} {each.what}")
        return
    if kind not in PLOTS and Path(kind).exists():
        raise UserError(f"the figure comes before the run: inkling plot strip {kind}")
    if kind != ALL and kind not in PLOTS:
        raise UserError(unknown_name(kind, [*PLOTS, ALL], "figure"))
    if not runs:
        raise UserError(f"name the run: inkling plot {kind} runs/...")
    if data is not None and not data.exists():
        raise UserError(f"there is no folder {data}; --data names the data set's files")
    if prompts and like:
        raise UserError("a model reads texts or pictures: give --prompt or --like, not both")
    if every and (levels or unit != "t"):
        raise UserError(
            "--every counts timesteps; give it alone, or name --levels and their --unit"
        )
    if kind == ALL and out is not None:
        raise UserError(f"--out {out} is one file, and all figures go into RUN/plots; leave it out")
    if calls and steps:
        raise UserError("--calls and --steps both count; give one of the two")
    swept: dict[str, Any] = {
        "sampler": [name for text in samplers for name in text.split(",")],
        "steps": steps,
        "calls": calls,
        "scale": scales,
    }
    swept = {name: values for name, values in swept.items() if values}
    request = PlotRequest(
        runs,
        prompts,
        like=like,
        seed=seed,
        device=device,
        data=data,
        options={name: each[0] for name, each in swept.items() if name != "calls"},
        swept=swept,
        levels=strips.every(every) if every else _numbers(levels),
        unit=unit,
        weights=weights,
        estimate=estimate,
        guidance=guidance,
    )
    if kind == ALL:
        _draw_all(request)
    else:
        PLOTS[kind].check_request(kind, request)
        click.echo(save_plot(kind, request, out))


def _draw_all(request: "PlotRequest") -> None:
    """Draw every figure; those that a run lacks something for say so."""
    from inkling.inspect.plots import PLOTS, plot

    unguided = request
    if request.guidance and request.guide:  # what is wrong with it is said before all figures
        unguided = replace(request, guidance={}, given=())  # the prompts are for the CLIP
    for name, each in PLOTS.items():
        try:
            click.echo(plot(name, request if each.guided else unguided))
        except UserError as error:
            click.echo(f"no {name}: {error}", err=True)


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        raise UserError(f"--levels takes numbers such as 999,500,100,0; got {text!r}") from None
