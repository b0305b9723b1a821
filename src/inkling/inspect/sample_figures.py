"""Figures of samples, which a CLIP may guide, and of what lies between samples."""

from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from inkling.errors import UserError
from inkling.inspect.request import PlotRequest
from inkling.models import checkpoint
from inkling.runs.preview import by_prompt
from inkling.runs.run_folder import BEST, MILESTONES
from inkling.sampling.calls import in_words
from inkling.sampling.clip_guidance import Guide
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import file_name
from inkling.visualize import animations, figures, grids, strips, sweeps

_FEW = 4
_BEHIND = 1500
"""Pictures of the data behind sampling paths."""


def saved_page(page: Image, out: Path) -> Path:
    """Write a page; returns its path."""
    grids.save(page, out)
    return out


def _signed(request: PlotRequest, page: Image, out: Path, options: dict[str, Any]) -> Path:
    """Write a page of samples with a line that says how they were made.

    Args:
        request: of the figure.
        page: without that line.
        out: the file.
        options: as the pipeline had them.
    """
    own = {name: value for name, value in options.items() if name != "guide"}
    settings = request.pipeline.settings(guided=options.get("guide") is not None, **own)
    noise = request.pipeline.recipe.diffusion.noise
    made = in_words(settings, noise, prompted=any(request.prompts))
    if (guide := options.get("guide")) is not None:
        made = f"{settings.sampler}, {settings.steps} steps, CLIP {guide.form}"
        made += f" at strength {guide.settings.strength:g}"
    return saved_page(grids.signed(page, f"{made}, seed {request.seed}"), out)


def strip(request: PlotRequest, out: Path) -> Path:
    """Sampling: a row for each prompt, a column for each noise level."""
    values = request.levels or strips.TIMES
    page = strips.strip(
        request.pipeline,
        request.guided_prompts,
        values,
        request.unit,
        seed=request.seed,
        estimate=request.estimate,
        **request.guided_many,
    )
    return _signed(request, page, out, request.guided_many)


def animation(request: PlotRequest, out: Path) -> Path:
    """Sampling as one animation of all prompts."""
    return animations.save(_frames(request, request.guided_prompts), out)


def animation_of_each(request: PlotRequest, out: Path) -> Path:
    """One file for each prompt, named after the prompt; returns their folder."""
    for number, prompt in enumerate(request.guided_prompts):
        name = f"{out.stem}-{number}-{file_name(prompt)}{out.suffix}"
        animations.save(_frames(request, [prompt]), out.with_name(name))
    return out.parent


def _frames(request: PlotRequest, prompts: list[str]) -> list[Image]:
    few: dict[str, Any] = {"sampler": "ddim", "steps": 40}
    if request.guide or request.distilled:
        few = {}
    return animations.denoising(
        request.pipeline,
        prompts,
        seed=request.seed,
        estimate=request.estimate,
        **few | request.guided,
    )


def grid(request: PlotRequest, out: Path) -> Path:
    """Ten pictures of each prompt."""
    prompts, count = request.guided_prompts, 10
    captions = [prompt for prompt in prompts for _ in range(count)]
    seeds = range(request.seed, request.seed + len(captions))
    samples = request.pipeline(captions, seeds=seeds, **request.guided)
    rows = by_prompt(samples.numpy(), prompts, [*map(request.conditions.get, prompts)])
    return _signed(request, grids.sheet(rows, cell=56), out, request.guided)


def progression(request: PlotRequest, out: Path) -> Path:
    """The same seeds at every milestone and at the end of the run."""
    stages = [(f"{steps:,} steps", stage) for steps, stage in sorted(_stages(request).items())]
    page = sweeps.progression(stages, request.guided_prompts, seed=request.seed, **request.guided)
    return _signed(request, page, out, request.guided)


def compare(request: PlotRequest, out: Path) -> Path:
    """The same prompts and seeds from several runs, a row for each, as each recommends."""
    load = TextToImage.load
    pipelines = [request.pipeline] + [
        load(run, request.device, request.weights) for run in request.runs[1:]
    ]
    names = [str(run) for run in request.runs]
    stages = list(zip(names, pipelines, strict=True))
    page = sweeps.progression(stages, request.prompts, seed=request.seed, **request.options)
    given = ", ".join(f"{name} {value}" for name, value in request.options.items())
    made = f"{given or 'each run as it recommends'}, seed {request.seed}"
    return saved_page(grids.signed(page, made), out)


def _stages(request: PlotRequest) -> dict[int, TextToImage]:
    """The models of a run by steps: its milestones, and its latest or finished model.

    Of a run without milestones, the training checkpoints that are left and the best model.

    Raises:
        UserError: there is only one.
    """
    folder = request.run if request.run.is_dir() else request.run.parent
    files = sorted((folder / MILESTONES).glob("step-*.safetensors"))
    if not files:
        files = [*checkpoint.checkpoints(folder), folder / BEST]
    known: dict[int, TextToImage] = {}
    for file in [*files, request.run]:
        if file.exists():
            pipeline = TextToImage.load(file, request.device, request.weights)
            known[pipeline.card.steps] = pipeline
    if len(known) < 2:
        raise UserError(
            f"{request.run} has the model of one moment only; train with "
            "train.milestones=10%,30%,60% to see how it came about"
        )
    return known


def sweep(request: PlotRequest, out: Path) -> Path:
    """Samplers, scales of guidance, or strengths under a CLIP, and calls on the same seeds."""
    prompts = request.prompts[:_FEW] if request.guide is None else request.guided_prompts[:_FEW]
    made = f"seed {request.seed}; in each cell: {', '.join(map(repr, prompts))}"
    if request.guide is not None:
        page = _strengths(request, request.guide)
        return saved_page(grids.signed(page, made), out)
    given: dict[str, Any] = {"scales": (1.0, 1.5, 2.5, 5.0) if any(request.prompts) else (1.0,)}
    for name, plural in (("sampler", "samplers"), ("scale", "scales")):
        if values := request.values(name):
            given[plural] = values
    for unit in ("calls", "steps"):
        if numbers := request.values(unit):
            given["columns"] = [sweeps.Column(number, unit) for number in numbers]
    page = sweeps.sweep(request.pipeline, prompts, seed=request.seed, **given)
    return saved_page(grids.signed(page, made), out)


def _strengths(request: PlotRequest, guide: Guide) -> Image:
    """A sweep of CLIP guidance: strengths and steps around the recommended ones, or the given."""
    own, given = guide.settings, request.options
    steps = request.values("steps") or [own.steps // n or 1 for n in (8, 4, 2, 1)]
    factors = (1.0,) if "strength" in request.guidance else (0.0, 0.25, 1.0, 4.0)
    return sweeps.strengths(
        request.pipeline,
        request.guided_prompts[:_FEW],
        guide,
        strengths=[factor * own.strength for factor in factors],
        steps=steps,
        sampler=given.get("sampler", own.sampler),
        seed=request.seed,
    )


def between(request: PlotRequest, out: Path) -> Path:
    """From prompt to prompt, and from seed to seed."""
    page = sweeps.interpolation(
        request.pipeline, request.prompts[:_FEW], seed=request.seed, **request.many
    )
    return _signed(request, page, out, request.many)


def path(request: PlotRequest, out: Path) -> Path:
    """Sampling paths on two principal axes of the data."""
    pictures, prompts = request.pictures, request.guided_prompts[:5]
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
        **request.guided_many,
    )
