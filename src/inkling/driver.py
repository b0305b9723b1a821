"""Drives `fit` with a run folder: metrics, previews and validation between its steps.

RUN/recipe.json           what was asked for
RUN/metrics.jsonl         one line every few steps, one for each validation
RUN/samples/*.png         the same prompts and noise as training goes on
RUN/model.safetensors     at the end: all that sampling needs
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from inkling.errors import UserError
from inkling.generate import TextToImage
from inkling.recipe import Recipe, to_json
from inkling.train import Learner, Progress, fit
from inkling.visualize import grids

_LOG_EVERY = 10
_PREVIEW_PROMPTS = 10
_PREVIEW_COUNT = 8


class Report(NamedTuple):
    """What `run` yields: training progress, and what was made of it."""

    progress: Progress
    loss: float | None
    """Mean training loss since the last report that had one."""
    validation: float | None
    """Loss on held-out pictures, when one was taken."""
    preview: Path | None
    """The sample grid that was just written."""


def check_free(out: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        UserError: there is a run in it already.
    """
    if any((out / name).exists() for name in ("model.safetensors", "metrics.jsonl", "recipe.json")):
        raise UserError(
            f"{out} already holds a run; nothing was changed. Choose another --out, or move it away"
        )


def claim(out: Path) -> None:
    """Make the run folder.

    Raises:
        UserError: there is a run in it already, or it cannot be written.
    """
    check_free(out)
    try:
        (out / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {out}: {error.strerror}") from None


def prompts_for(learner: Learner) -> list[str]:
    """What previews ask for: the classes if there are any, else sentences from all over the set."""
    if learner.facts["classes"]:
        return list(learner.facts["classes"][:_PREVIEW_PROMPTS])
    said = [group[0] for group in learner.pictures.groups if group[0]]
    return said[:: max(1, len(said) // _PREVIEW_PROMPTS)][:_PREVIEW_PROMPTS] or [""]


def preview(learner: Learner, path: Path) -> Path:
    """Draw the sample grid of this moment: averaged weights, recommended settings."""
    prompts = prompts_for(learner)
    count = _PREVIEW_COUNT if learner.facts["classes"] else _PREVIEW_COUNT // 2
    captions = [prompt for prompt in prompts for _ in range(count)]
    with learner.averaged() as model, torch.no_grad():
        artist = TextToImage(model, learner.recipe, learner.facts)
        images = artist(captions, seeds=list(range(len(captions)))).numpy()
    rows = [(p, images[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
    grids.save(grids.sheet(rows, cell=48), path)
    return path


def run(
    recipe: Recipe,
    out: Path,
    *,
    device_name: str = "auto",
    start_from: Path | None = None,
    started: float | None = None,
) -> Iterator[Report]:
    """Train into a folder; yields after every step. Arguments as in `fit`.

    Raises:
        UserError: as `fit`, and when the folder holds a run already.
    """
    training = fit(recipe, device_name=device_name, start_from=start_from, started=started)
    first = next(training)  # what is wrong with data or recipe shows before the folder is made
    main = first.learner.accelerator.is_main_process
    if main:
        claim(out)
        (out / "recipe.json").write_text(to_json(first.learner.recipe) + "\n")
    losses: list[torch.Tensor] = []
    progress = first
    for progress in _chain(first, training):
        losses.append(progress.loss)
        loss = validation = sheet = None
        if progress.step % _LOG_EVERY == 0 or progress.due:
            loss = torch.stack(losses).mean().item()
            losses.clear()
        if progress.due and len(progress.learner.validation):
            validation = progress.learner.validate()
        if progress.due and main:
            sheet = preview(progress.learner, out / "samples" / f"step-{progress.step:06d}.png")
        if loss is not None and main:
            _log(out, progress, loss, validation)
        yield Report(progress, loss, validation, sheet)
    if main:
        progress.learner.save(out)


def _chain(first: Progress, rest: Iterator[Progress]) -> Iterator[Progress]:
    yield first
    yield from rest


def _log(out: Path, progress: Progress, loss: float, validation: float | None) -> None:
    record: dict[str, Any] = {
        "step": progress.step,
        "total": progress.total,
        "loss": round(loss, 6),
        "grad_norm": round(progress.grad_norm.item(), 5),
        "lr": progress.lr,
        "images_per_second": round(progress.images_per_second, 1),
        "seconds": round(progress.seconds, 2),
    }
    if validation is not None:
        record["validation"] = round(validation, 6)
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
