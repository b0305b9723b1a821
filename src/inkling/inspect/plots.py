"""The figures of a run by name, for `inkling plot` and `inkling report`.

A figure is a function from a request to a file. A new one is one function and one entry in
`PLOTS`.
"""

from collections.abc import Callable, Iterator
from math import log10
from pathlib import Path
from typing import NamedTuple

import torch

from inkling.core.noise import SCHEDULES, ends_of
from inkling.errors import UserError
from inkling.evaluate.memory import nearest_images
from inkling.evaluate.reference import known_rows, parts_of
from inkling.evaluate.samples import home, model_of
from inkling.evaluate.scores import Report
from inkling.inspect import sample_figures
from inkling.inspect.request import PlotRequest
from inkling.inspect.sample_figures import saved_page
from inkling.models.build import described, noise_schedule
from inkling.runs.metrics import read_metrics
from inkling.runs.outputs import check_output
from inkling.system.disk import check_writable
from inkling.system.shell import command
from inkling.training.validation import caption_losses
from inkling.visualize import animations, curves, figures, grids, prompt_figures, strips
from inkling.visualize.neighbours import neighbours

_FEW = 4
_NEIGHBOURS = 240
_HELD_OUT, _LEVELS, _CLEANEST = 200, 24, 0.03
"""Pictures and noise levels at which captions are weighed, and the smallest of these levels."""


def _forward(request: PlotRequest, out: Path) -> Path:
    pictures = request.pictures
    labels = pictures.labels.tolist()
    rows = [labels.index(label) for label in sorted({*labels}) if label >= 0][:_FEW]
    rows = rows or list(range(min(_FEW, len(pictures))))
    shown = pictures.at(torch.tensor(rows)).cpu()
    captions = [pictures.groups[int(pictures.group[row])][0] for row in rows]
    values = [*request.levels][::-1] or strips.TIMES[::-1]
    schedule = strips.times_of(noise_schedule(request.pipeline.recipe.diffusion.noise))
    page = strips.noising(
        list(zip(captions, shown, strict=True)),
        values,
        request.unit,
        schedule=schedule,
        seed=request.seed,
    )
    return saved_page(page, out)


def _schedules(request: PlotRequest, out: Path) -> Path:
    return figures.save_schedules({name: kind() for name, kind in SCHEDULES.items()}, out)


def _levels(request: PlotRequest, out: Path) -> Path:
    pipeline, pictures = request.pipeline, request.pictures
    recipe = pipeline.recipe
    held = recipe.data.validation_count(len(pictures))
    unseen = held > 1
    pictures = pictures.split(held, recipe.train.seed)[1] if unseen else pictures
    pictures = described(recipe, pictures.take(pictures.examples(_HELD_OUT)))
    pipeline.model.see(pictures)
    if len(pictures.distinct_captions()[0]) < 2:
        raise UserError("these pictures do not have different captions, which could be exchanged")
    schedule = noise_schedule(recipe.diffusion.noise)
    low, high = ends_of(schedule)
    sigmas = torch.logspace(log10(max(low, _CLEANEST)), log10(high), _LEVELS)
    losses = caption_losses(pipeline.model, pictures, recipe.diffusion, sigmas, seed=request.seed)
    return figures.save_caption_levels(sigmas, losses, schedule, out, unseen=unseen)


def _curves(request: PlotRequest, out: Path) -> Path:
    runs = list(dict.fromkeys(request.runs))
    names = [run.name for run in runs]
    alone = len({*names}) == len(names)
    found = {run.name if alone else str(run): read_metrics(run) for run in runs}
    for name, records in found.items():
        if not records:
            raise UserError(f"{name} has no metrics.jsonl; name the folder of a run")
    return curves.save_curves(found, out)


def _attention(request: PlotRequest, out: Path) -> Path:
    return saved_page(
        prompt_figures.attention(
            request.pipeline, _sentences(request, _FEW), seed=request.seed, **request.options
        ),
        out,
    )


def _ablation(request: PlotRequest, out: Path) -> Path:
    page = prompt_figures.ablation(
        request.pipeline, _sentences(request, _FEW), seed=request.seed, **request.options
    )
    return saved_page(page, out)


def _sentences(request: PlotRequest, count: int) -> list[str]:
    """Prompts of several words: the given ones, or else the longest captions of some groups."""
    if request.given:
        return [*request.given][:count]
    groups = [group for group in request.pictures.groups if any(group)]
    takes = request.pipeline.model.text.takes
    some = [max(group, key=len) for group in groups[:: max(1, len(groups) // (2 * count))]]
    found = [each for each in some if takes(each)][:count]
    if not found or not request.pipeline.recipe.data.captions:
        raise UserError("this model reads no captions, so no word of a prompt has an effect")
    return found


def _nearest(request: PlotRequest, out: Path) -> Path:
    captions = [request.prompts[i % len(request.prompts)] for i in range(_NEIGHBOURS)]
    seeds = range(request.seed, request.seed + _NEIGHBOURS)
    samples = request.pipeline(captions, seeds=seeds, **request.options)
    pictures = request.pictures
    found = nearest_images(samples, parts_of(pictures), pictures.mirror)
    nearest = pictures.at(known_rows(pictures)[found.row]).cpu()
    return saved_page(neighbours(samples, found.distance, nearest), out)


def _confusion(request: PlotRequest, out: Path) -> Path:
    for report in reports_of(request.run):
        details = report.details
        if "confusion" in details:
            return figures.save_confusion(details["confusion"], details["classes"], out)
    make = command("evaluate", request.run)
    raise UserError(f"no scores by class in {home(request.run)}; make them: {make}")


def reports_of(run: Path) -> Iterator[Report]:
    """The score reports of a run's current model, the latest first; damaged ones are skipped."""
    files = sorted(home(run).glob("scores-*.json"), key=lambda file: file.stat().st_mtime)
    model = model_of(run)
    for file in reversed(files):
        try:
            report = Report.load(file)
        except UserError:
            continue
        if report.model == model:
            yield report


class Plot(NamedTuple):
    """A kind of figure."""

    what: str
    """A short description."""
    draw: Callable[[PlotRequest, Path], Path]
    suffix: str = ".png"
    axes: bool = False
    """Whether it has axes."""
    guided: bool = False
    """Whether a CLIP may guide its samples."""
    samples: bool = True
    """Whether it samples, so that prompts, sampler, steps and scale say something."""
    leveled: bool = False
    """Whether it has a column for each noise level."""
    several: bool = False
    """Whether it shows several runs."""

    def check(self, out: Path) -> None:
        """Refuse a file that it cannot be written to, before anything is sampled.

        Raises:
            UserError: another format, or nothing can be written there.
        """
        if self.suffix in animations.FORMATS:
            animations.check_format(out)
        else:
            grids.check_format(out, axes=self.axes)
        check_output(out)
        check_writable(out)

    def check_request(self, kind: str, request: PlotRequest) -> None:
        """Refuse what the figure would pass over in silence.

        Raises:
            UserError: it names what to leave out.
        """
        if len(request.runs) > 1 and not self.several:
            raise UserError(
                f"the figure {kind} is of one run; leave {request.runs[1]} out, or draw one figure "
                "for each"
            )
        if kind != "sweep" and (many := [n for n, v in request.swept.items() if len(v) > 1]):
            raise UserError(
                f"--{many[0]} is given {len(request.swept[many[0]])} times, and the figure {kind} "
                f"has one; give one of them, or draw sweep, which compares"
            )
        if kind != "sweep" and "calls" in request.swept:
            raise UserError(f"--calls is for the figure sweep; give {kind} --steps")
        asked = {
            "--prompt or --like": not self.samples and (request.given or request.like),
            "--sampler, --steps and --scale": not self.samples and request.options,
            "--levels and --every": not self.leveled and request.levels,
        }
        if passed := next((names for names, given in asked.items() if given), None):
            raise UserError(f"the figure {kind} has no use for {passed}; leave them out")


PLOTS: dict[str, Plot] = {
    "strip": Plot(
        "sampling, a row for each prompt, a column for each noise level",
        sample_figures.strip,
        guided=True,
        leveled=True,
    ),
    "animation": Plot(
        "sampling as an animation of all prompts", sample_figures.animation, ".gif", guided=True
    ),
    "animations": Plot(
        "sampling as an animation, a file for each prompt",
        sample_figures.animation_of_each,
        ".gif",
        guided=True,
    ),
    "forward": Plot(
        "real pictures with more and more noise", _forward, samples=False, leveled=True
    ),
    "grid": Plot("ten pictures of each prompt", sample_figures.grid, guided=True),
    "schedules": Plot(
        "beta, abar, sigma and log-SNR of every schedule", _schedules, axes=True, samples=False
    ),
    "levels": Plot(
        "what captions are worth at each noise level, and how often training draws it",
        _levels,
        axes=True,
        samples=False,
    ),
    "curves": Plot(
        "losses, bits, conditioning gain; several runs in one",
        _curves,
        axes=True,
        samples=False,
        several=True,
    ),
    "progression": Plot(
        "the same seeds at every milestone of the run", sample_figures.progression, guided=True
    ),
    "compare": Plot(
        "the same prompts and seeds from several runs", sample_figures.compare, several=True
    ),
    "sweep": Plot(
        "samplers, guidance and network calls on the same seeds", sample_figures.sweep, guided=True
    ),
    "between": Plot("from prompt to prompt, and from seed to seed", sample_figures.between),
    "path": Plot(
        "sampling paths on two principal axes of the data",
        sample_figures.path,
        axes=True,
        guided=True,
    ),
    "attention": Plot("attention maps of each word", _attention),
    "ablation": Plot("samples without each word in turn", _ablation),
    "nearest": Plot("samples above the nearest training pictures", _nearest),
    "confusion": Plot(
        "prompted and recognised classes, after inkling evaluate",
        _confusion,
        axes=True,
        samples=False,
    ),
}


def plot(kind: str, request: PlotRequest, out: Path | None = None) -> Path:
    """Draw one figure.

    Args:
        kind: a key of `PLOTS`.
        request: the runs and options.
        out: file to write; None: RUN/plots/KIND.png or .gif.

    Raises:
        UserError: the run cannot be read, lacks what the figure shows, a CLIP is asked for that
            cannot guide it, or the file cannot be written.
    """
    chosen = PLOTS[kind]
    if request.guidance and not chosen.guided:
        able = ", ".join(name for name, each in PLOTS.items() if each.guided)
        raise UserError(f"a CLIP cannot guide the figure {kind}; leave --clip out, or draw {able}")
    folder = request.run if request.run.is_dir() else request.run.parent
    file = out or folder / "plots" / f"{kind}{chosen.suffix}"
    chosen.check(file)
    return chosen.draw(request, file)
