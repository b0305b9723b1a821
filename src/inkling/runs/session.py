"""Drives `fit`: previews, validation and the run folder between its steps; stops when asked to."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator

from inkling.models import checkpoint
from inkling.models.checkpoint import Stored
from inkling.runs.run_folder import Folder, Wanted, gathered, read_metrics
from inkling.sampling.pipeline import TextToImage
from inkling.training.state import Learner
from inkling.config.recipe import Recipe
from inkling.training.loop import Progress, fit, of_the_first
from inkling.training.validation import Validation, validate
from inkling.visualize import grids
from inkling.visualize.curves import save_curves

_LOG_EVERY = 10
_LOG_LINES = 2000
"""Lines of metrics.jsonl at most, validations apart: longer runs are logged more rarely."""
_PREVIEW_PROMPTS = 10
_PREVIEW_COUNT = 8
_PREVIEW_ALONE = 24
"""Pictures of a preview at least: of a model without prompts this many."""
_UNASKED = "(no prompt)"
_PREVIEW_BATCH = 20
"""Pictures of a preview between two looks at the brake."""


class Brake:
    """Pulled by whoever wants the run to stop at the next step, its state saved."""

    pulled = False

    def pull(self, *_signal: object) -> None:
        """Ask the run to stop; fit to be a signal handler."""
        self.pulled = True

    def agreed(self, accelerator: Accelerator) -> bool:
        """Whether any process was asked to stop, so that all stop at the same step."""
        if accelerator.num_processes > 1:
            mine = torch.tensor(float(self.pulled), device=accelerator.device)
            self.pulled = bool(accelerator.reduce(mine, "sum") > 0)
        return self.pulled


class Report(NamedTuple):
    """What `run` yields: training progress, and what was made of it."""

    progress: Progress
    loss: float | None
    """Mean training loss since the last report that had one."""
    validation: Validation | None
    """What held-out pictures say, when they were asked."""
    preview: Path | None
    """The sample grid that was just written."""
    stopped: bool = False
    """Whether the brake was pulled: the state is saved, and this is the last report."""


def prompts_for(learner: Learner) -> list[str]:
    """What previews ask for: the classes if there are any, else sentences from all over the set."""
    if learner.facts["classes"]:
        return list(learner.facts["classes"][:_PREVIEW_PROMPTS])
    said = [group[0] for group in learner.pictures.groups if group[0]]
    some = said[:: max(1, len(said) // (2 * _PREVIEW_PROMPTS))]
    return [each for each in some if learner.model.text.takes(each)][:_PREVIEW_PROMPTS] or [""]


def cost_of_a_look(learner: Learner) -> float:
    """What a preview and a validation take, in steps: counted in calls of the network.

    A step is three calls a picture: forwards, and twice as much backwards.
    """
    prompts, count = _rows(learner)
    sample = learner.recipe.sample
    calls = 1 if sample.scale == 1 or not learner.conditional else 2
    calls *= 2 if sample.sampler in ("heun", "dpmpp_2s") else 1
    drawn = len(prompts) * count * sample.steps * calls
    return (drawn + 2 * len(learner.validation)) / (3 * learner.recipe.train.batch)


def _rows(learner: Learner) -> tuple[list[str], int]:
    """The prompts of a preview, and how many pictures of each."""
    prompts = prompts_for(learner)
    if learner.conditional and learner.recipe.train.caption_drop:
        prompts = [*prompts, ""]  # what it draws unasked
    count = _PREVIEW_COUNT if learner.facts["classes"] else _PREVIEW_COUNT // 2
    return prompts, max(count, _PREVIEW_ALONE // len(prompts))


def preview(learner: Learner, path: Path | None, brake: Brake) -> Path | None:
    """Draw the sample grid of this moment: averaged weights, recommended settings.

    None if the brake was pulled before it was done. A process without a path only helps others.
    """
    prompts, count = _rows(learner)
    captions = [prompt for prompt in prompts for _ in range(count)]
    parts = []
    with learner.averaged() as model, torch.no_grad():
        if path is None:
            return None
        artist = TextToImage(model, learner.recipe, learner.facts)
        seeds = list(range(len(captions)))
        for images in artist.batches(captions, seeds=seeds, batch=_PREVIEW_BATCH):
            parts.append(images)
            if brake.pulled:
                return None
    drawn = torch.cat(parts).numpy()
    rows = [(p or _UNASKED, drawn[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
    grids.save(grids.sheet(rows, cell=48), path)
    return path


def run(
    recipe: Recipe,
    out: Path,
    *,
    device_name: str = "auto",
    start_from: Path | None = None,
    resume: Stored | None = None,
    started: float | None = None,
    brake: Brake | None = None,
) -> Iterator[Report]:
    """Train into a folder; yields after every step. Arguments as in `fit`.

    Args:
        out: the run folder.
        brake: stops the run at the next step, its state saved, when it is pulled.

    Raises:
        UserError: as `fit`, when the folder holds a run and none is resumed, or when a file
            cannot be written.
    """
    brake = brake or Brake()
    training = fit(
        recipe,
        device_name=device_name,
        start_from=start_from,
        resume=resume,
        started=started,
    )
    first = next(training)  # what is wrong with data or recipe shows before the folder is made
    first.pace.look = cost_of_a_look(first.learner)
    accelerator, sharded = first.learner.accelerator, first.learner.work.sharded
    folder = Folder(out, first, resume) if accelerator.is_main_process else None
    losses: list[torch.Tensor] = []
    progress = first
    for progress in chain([first], training):
        losses.append(progress.loss)
        loss = validation = sheet = None
        if progress.step % _log_every(progress.total) == 0 or progress.due:
            loss = torch.stack(losses).mean().item()
            losses.clear()
        if progress.due and len(progress.learner.validation):
            validation = validate(progress.learner)
        if progress.due and (folder is not None or sharded):
            name = f"step-{progress.step:06d}.png"
            path = out / "samples" / name if folder is not None else None
            sheet = preview(progress.learner, path, brake)
        stopped = progress.step != progress.total and brake.agreed(accelerator)
        wanted = folder.wanted(progress, validation, stopped) if folder is not None else Wanted()
        if sharded:
            wanted = Wanted(*map(bool, of_the_first(accelerator, *wanted)))
        files = gathered(progress, wanted)
        if folder is not None:
            folder.keep(progress, loss, validation, files)
        yield Report(progress, loss, validation, sheet, stopped)
        if stopped:
            break
    if folder is not None:
        folder.trackers.finish()
    if progress.step == progress.total and (folder is not None or sharded):
        model = progress.learner.model_file()
        if folder is not None:
            checkpoint.save(out / checkpoint.FILE, model)
            save_curves({out.name: read_metrics(out)}, out / "curves.png")


def _log_every(total: int | None) -> int:
    """Steps from one line of metrics to the next: the log of a long run stays short."""
    return max(_LOG_EVERY, (total or 0) // _LOG_LINES)
