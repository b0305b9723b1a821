"""One self-contained HTML page about a run: model, data, samples, curves, scores."""

import base64
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment

from inkling import __version__
from inkling.config.overrides import to_json
from inkling.data.decode import open_picture
from inkling.errors import UserError
from inkling.evaluate.evaluation import Evaluation
from inkling.evaluate.scores import Report
from inkling.inspect.plots import plot, reports_of
from inkling.inspect.request import PlotRequest
from inkling.system.disk import write_whole

SHOWN = {
    "grid": ("Samples", "Ten samples of each prompt, not selected."),
    "strip": (
        "From noise to samples",
        "Less noise from left to right: t of the 1000 levels of Ho et al. 2020. Rows are prompts.",
    ),
    "animation": ("Animation of sampling", "Four samples of each prompt, step by step."),
    "curves": (
        "Curves",
        "Training and held-out loss, held-out loss by noise level, bits per dimension, "
        "conditioning gain, gradient norm, speed.",
    ),
    "progression": ("Training progress", "The same seeds at every milestone of the training."),
    "between": ("Interpolation", "Between prompts with the same noise, and between seeds."),
    "path": (
        "Sampling paths",
        "Noisy states of samples on the two principal axes of the training pictures, which are in "
        "the background.",
    ),
    "confusion": (
        "Prompted and recognised",
        "Which class the judge recognises for which prompt, in %.",
    ),
    "nearest": (
        "Nearest training pictures",
        "Samples above the training pictures nearest to them, pixel by pixel: a model that "
        "memorises shows equal pairs.",
    ),
}
"""Figures in the order of the page, with a heading and a sentence."""
_CARD = {
    "data": "trained on",
    "steps": "steps",
    "seconds": "seconds",
    "device": "device",
    "precision": "precision",
    "processes": "processes",
}
_LIBRARIES = ("torch", "numpy", "accelerate", "scikit-learn", "scipy")


class Figure(NamedTuple):
    """A figure on the page."""

    name: str
    title: str
    text: str
    data: str
    """The image as a data URI."""
    width: int
    height: int


def figure(name: str, path: Path) -> Figure:
    """An image file with its heading and its text."""
    raw = path.read_bytes()
    with open_picture(raw) as opened:
        width, height = opened.size
    kind = "gif" if path.suffix == ".gif" else "png"
    data = f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    return Figure(name, *SHOWN[name], data, width, height)


def figures(request: PlotRequest) -> Iterator[tuple[str, Path | UserError]]:
    """Draws the figures one by one; yields the error for a figure that the run cannot fill."""
    for name in SHOWN:
        try:
            yield name, plot(name, request)
        except UserError as error:
            yield name, error


def evaluate(request: PlotRequest, count: int) -> Path:
    """Score the run by a judge where there are classes, else in pixels; returns the scores' file.

    Args:
        request: the run.
        count: samples.

    Raises:
        UserError: there is nothing to score the run against.
    """
    chosen = Evaluation(request.run, count, data=request.data, device=request.device)
    kind = "judge" if chosen.reference.classes else "pixels"
    outputs = chosen.features(kind)
    images = chosen.samples()
    memory, _ = chosen.memorised(images)
    return chosen.report(images, outputs, memory).save(chosen.file(outputs))


def scores_of(run: Path) -> Report | None:
    """The newest scores of a run's model, if it has any."""
    return next(reports_of(run), None)


def page(request: PlotRequest, paths: dict[str, Path]) -> str:
    """The page as HTML, with all figures inside.

    Args:
        request: the run.
        paths: files of its figures, by name.
    """
    pipeline = request.pipeline
    card, recipe = pipeline.card, pipeline.recipe
    facts: list[tuple[str, Any]] = [
        (label, f"{value:,}" if isinstance(value, int) else value)
        for name, label in _CARD.items()
        if (value := getattr(card, name))
    ]
    facts.append(("parameters", card.parameters_in_words(exact=True).removesuffix(" parameters")))
    versions = [("inkling", __version__), ("python", card.python)]
    versions += [(f"{name}, now", version(name)) for name in _LIBRARIES]
    versions.insert(2, ("torch, in training", card.torch))
    template = Environment(autoescape=True).from_string(
        files("inkling.inspect").joinpath("report.html").read_text("utf-8")
    )
    return template.render(
        title=" / ".join(dict.fromkeys([request.run.resolve().name, recipe.name])),
        recipe=recipe,
        steps=card.steps,
        facts=facts,
        command=card.command,
        figures=[figure(name, path) for name, path in paths.items()],
        scores=scores_of(request.run),
        versions=versions,
        settings=to_json(recipe),
    )


def write(request: PlotRequest, paths: dict[str, Path], out: Path) -> Path:
    """Write the page.

    Raises:
        UserError: it cannot be written there.
    """
    return write_whole(out, page(request, paths).encode())
