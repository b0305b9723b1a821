"""The figures of a run by name, for `inkling plot` and `inkling report`.

A figure is a function from a request to a file. A new one is one function and one entry in
`PLOTS`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from inkling.core.noise import SCHEDULES
from inkling.errors import UserError
from inkling.evaluate.memory import nearest_images
from inkling.evaluate.reference import known_rows, parts_of
from inkling.evaluate.samples import home, model_of
from inkling.evaluate.scores import Report
from inkling.inspect.request import PlotRequest
from inkling.models import checkpoint
from inkling.models.build import noise_schedule
from inkling.runs.metrics import read_metrics
from inkling.runs.preview import by_prompt
from inkling.runs.run_folder import BEST
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import check_writable
from inkling.system.shell import command
from inkling.visualize import animations, curves, figures, grids, prompt_figures, strips, sweeps
from inkling.visualize.neighbours import neighbours

_FEW = 4
_NEIGHBOURS = 240
_BEHIND = 1500


def _strip(request: PlotRequest, out: Path) -> Path:
    values = request.levels or strips.TIMES
    page = strips.strip(
        request.pipeline,
        request.prompts,
        values,
        request.unit,
        seed=request.seed,
        estimate=request.estimate,
        **request.many,
    )
    return _saved(page, out)


def _animation(request: PlotRequest, out: Path) -> Path:
    options: dict[str, Any] = {"sampler": "ddim", "steps": 40} | request.options
    frames = animations.denoising(
        request.pipeline, request.prompts, seed=request.seed, estimate=request.estimate, **options
    )
    return animations.save(frames, out)


def _animations(request: PlotRequest, out: Path) -> Path:
    """One file for each prompt, named after the prompt; returns their folder."""
    options: dict[str, Any] = {"sampler": "ddim", "steps": 40} | request.options
    for number, prompt in enumerate(request.prompts):
        frames = animations.denoising(
            request.pipeline, [prompt], seed=request.seed, estimate=request.estimate, **options
        )
        name = "".join(c if c.isalnum() else "-" for c in prompt)[:40] or "no-prompt"
        animations.save(frames, out.with_name(f"{out.stem}-{number}-{name}{out.suffix}"))
    return out.parent


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
    return _saved(page, out)


def _grid(request: PlotRequest, out: Path) -> Path:
    prompts, count = request.prompts, 10
    captions = [prompt for prompt in prompts for _ in range(count)]
    seeds = range(request.seed, request.seed + len(captions))
    samples = request.pipeline(captions, seeds=seeds, **request.options)
    rows = by_prompt(samples.numpy(), prompts, [*map(request.conditions.get, prompts)])
    return _saved(grids.sheet(rows, cell=56), out)


def _schedules(request: PlotRequest, out: Path) -> Path:
    return figures.save_schedules({name: kind() for name, kind in SCHEDULES.items()}, out)


def _curves(request: PlotRequest, out: Path) -> Path:
    runs = list(dict.fromkeys(request.runs))
    names = [run.name for run in runs]
    alone = len({*names}) == len(names)
    found = {run.name if alone else str(run): read_metrics(run) for run in runs}
    for name, records in found.items():
        if not records:
            raise UserError(f"{name} has no metrics.jsonl; name the folder of a run")
    return curves.save_curves(found, out)


def _progression(request: PlotRequest, out: Path) -> Path:
    files = [*reversed(list(checkpoint.checkpoints(request.run))), request.run / BEST, request.run]
    known: dict[int, TextToImage] = {}
    for file in files:
        if file.exists():
            pipeline = TextToImage.load(file, request.device)
            known[pipeline.card.steps] = pipeline
    stages = [(f"{steps:,} steps", known[steps]) for steps in sorted(known)]
    page = sweeps.progression(stages, request.prompts, seed=request.seed, **request.options)
    return _saved(page, out)


def _sweep(request: PlotRequest, out: Path) -> Path:
    conditional = any(request.prompts)
    scales: tuple[float, ...] = (1.0, 1.5, 2.5, 5.0) if conditional else (1.0,)
    given: dict[str, Any] = {"scales": scales}
    for name, plural in (("sampler", "samplers"), ("steps", "steps"), ("scale", "scales")):
        if name in request.options:
            given[plural] = (request.options[name],)
    return _saved(
        sweeps.sweep(request.pipeline, request.prompts[:_FEW], seed=request.seed, **given), out
    )


def _between(request: PlotRequest, out: Path) -> Path:
    page = sweeps.interpolation(
        request.pipeline, request.prompts[:_FEW], seed=request.seed, **request.many
    )
    return _saved(page, out)


def _path(request: PlotRequest, out: Path) -> Path:
    pictures, prompts = request.pictures, request.prompts[:5]
    some = pictures.take(torch.linspace(0, len(pictures) - 1, min(_BEHIND, len(pictures))).long())
    each = 8 if len(prompts) > 1 else 24
    return figures.save_path(
        request.pipeline,
        some.pixels().cpu(),
        [prompt for prompt in prompts for _ in range(each)],
        out,
        groups=some.labels.tolist(),
        names=some.classes,
        seed=request.seed,
        **request.many,
    )


def _attention(request: PlotRequest, out: Path) -> Path:
    return _saved(
        prompt_figures.attention(
            request.pipeline, _sentences(request, _FEW), seed=request.seed, **request.options
        ),
        out,
    )


def _ablation(request: PlotRequest, out: Path) -> Path:
    page = prompt_figures.ablation(
        request.pipeline, _sentences(request, _FEW), seed=request.seed, **request.options
    )
    return _saved(page, out)


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
    return _saved(neighbours(samples, found.distance, nearest), out)


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


def _saved(page: Any, out: Path) -> Path:
    grids.save(page, out)
    return out


class Plot(NamedTuple):
    """A kind of figure."""

    what: str
    """A short description."""
    draw: Callable[[PlotRequest, Path], Path]
    suffix: str = ".png"
    axes: bool = False
    """Whether it has axes."""

    def check(self, out: Path) -> None:
        """Refuse a file that it cannot be written to, before anything is sampled.

        Raises:
            UserError: another format, or nothing can be written there.
        """
        if self.suffix in animations.FORMATS:
            animations.check_format(out)
        else:
            grids.check_format(out, axes=self.axes)
        check_writable(out)


PLOTS: dict[str, Plot] = {
    "strip": Plot("sampling, a row for each prompt, a column for each noise level", _strip),
    "animation": Plot("sampling as an animation of all prompts", _animation, ".gif"),
    "animations": Plot("sampling as an animation, a file for each prompt", _animations, ".gif"),
    "forward": Plot("real pictures with more and more noise", _forward),
    "grid": Plot("ten pictures of each prompt", _grid),
    "schedules": Plot("beta, abar, sigma and log-SNR of every schedule", _schedules, axes=True),
    "curves": Plot("losses, bits, conditioning gain; several runs in one", _curves, axes=True),
    "progression": Plot("the same seeds at every checkpoint of the run", _progression),
    "sweep": Plot("guidance, steps and samplers on the same seeds", _sweep),
    "between": Plot("from prompt to prompt, and from seed to seed", _between),
    "path": Plot("sampling paths on two principal axes of the data", _path, axes=True),
    "attention": Plot("attention maps of each word", _attention),
    "ablation": Plot("samples without each word in turn", _ablation),
    "nearest": Plot("samples above the nearest training pictures", _nearest),
    "confusion": Plot(
        "prompted and recognised classes, after inkling evaluate", _confusion, axes=True
    ),
}


def plot(kind: str, request: PlotRequest, out: Path | None = None) -> Path:
    """Draw one figure.

    Args:
        kind: a key of `PLOTS`.
        request: the runs and options.
        out: file to write; None: RUN/plots/KIND.png or .gif.

    Raises:
        UserError: the run cannot be read, lacks what the figure shows, or the file cannot be
            written.
    """
    chosen = PLOTS[kind]
    folder = request.run if request.run.is_dir() else request.run.parent
    file = out or folder / "plots" / f"{kind}{chosen.suffix}"
    chosen.check(file)
    return chosen.draw(request, file)
