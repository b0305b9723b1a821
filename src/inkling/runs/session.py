"""Drives `fit`: previews, validation and the run folder between its steps; stops on request."""

import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch

from inkling.config.recipe import Recipe, RunRecipe
from inkling.data import DATASETS
from inkling.errors import UserError, UserNote
from inkling.models.checkpoint import Checkpoint
from inkling.runs.final_scores import add_costs, add_final_scores
from inkling.runs.lock import locked
from inkling.runs.metrics import read_metrics
from inkling.runs.preview import PREVIEWS, cost_in_steps
from inkling.runs.preview_files import save_files
from inkling.runs.run_folder import (
    SAMPLES,
    RunFolder,
    WritesDue,
    check_free,
    check_storable,
    gathered,
)
from inkling.system.distributed import agreed_numbers, any_process, is_main_process
from inkling.training.loop import Progress, fit
from inkling.training.objective import Validation
from inkling.training.state import TrainState
from inkling.visualize import grids
from inkling.visualize.curves import save_curves

_LOG_EVERY = 10
_LOG_LINES = 2000
"""Lines of metrics.jsonl at most, validations apart: longer runs are logged more rarely."""


class StopFlag:
    """Raised to stop the run after the next step, with its state saved."""

    raised = False
    heeded = False
    """Whether it is looked at: from the first step on. Before it, nothing is there to be saved."""

    def raise_flag(self, *_signal: object) -> None:
        """Ask the run to stop; fit to be a signal handler."""
        self.raised = True

    def agreed(self, device: torch.device) -> bool:
        """Whether any process wants to stop, so that all stop at the same step."""
        agreed = any_process(device, self.raised)
        self.raised |= agreed  # a signal that came meanwhile is for the next step
        return agreed


class Update(NamedTuple):
    """What `run` yields: training progress, and what was made of it."""

    progress: Progress
    loss: float | None
    """Mean training loss since the last update that had one."""
    validation: Validation | None
    """Scores on held-out pictures, where a validation was due."""
    preview: Path | None
    """The preview that was just written."""
    stopped: bool = False
    """Whether the stop flag was raised: the state is saved, and this is the last update."""


def save_preview(state: TrainState, path: Path | None, flag: StopFlag) -> Path | None:
    """Write the preview of this moment.

    None if this kind of run has none, or the stop flag was raised before it was done. A process
    without a path only helps others.
    """
    preview = PREVIEWS.get(type(state.recipe))
    if preview is None:
        return None
    with state.averaged() as model:
        if path is None:
            return None
        try:
            rows = preview.draw(state, model, lambda: flag.raised)
        except UserError as error:  # training may still mend what sampling cannot do yet
            warnings.warn(f"no preview at step {state.step}: {error}", UserNote, stacklevel=2)
            return None
    if rows is None:
        return None
    grids.save(grids.sheet(rows, cell=48), path)
    if state.recipe.train.preview_files:
        save_files(rows, path.parent, state.step)
    return path


def run(
    recipe: RunRecipe,
    out: Path,
    *,
    device_name: str = "auto",
    start_from: Path | None = None,
    resume: Checkpoint | None = None,
    started: float | None = None,
    flag: StopFlag | None = None,
    again: bool = False,
) -> Iterator[Update]:
    """Train into a folder; yields after every step. Arguments as in `fit`.

    Args:
        out: the run folder.
        flag: stops the run at the next step, its state saved, when it is raised.
        again: whether the folder holds this very run, killed before its first checkpoint.

    Raises:
        UserError: as `fit`, when the folder holds a run and none is resumed, when another process
            trains in it, or when a file cannot be written.
    """
    check_storable(recipe)
    with locked(out):
        if resume is None and not again and is_main_process():
            check_free(out)
        training = fit(
            recipe,
            device_name=device_name,
            start_from=start_from,
            resume=resume,
            started=started,
        )
        yield from _driven(training, out, resume, flag or StopFlag(), again)


def _driven(
    training: Iterator[Progress],
    out: Path,
    resume: Checkpoint | None,
    flag: StopFlag,
    again: bool,
) -> Iterator[Update]:
    first = next(training)  # what is wrong with data or recipe shows before anything is written
    flag.heeded = True
    state = first.state
    state.budget.preview_cost_steps = cost_in_steps(state)
    device, sharded = state.accelerator.device, state.sharded
    folder = RunFolder(out, state, resume, again) if state.accelerator.is_main_process else None
    losses: list[torch.Tensor] = []
    progress = first
    for progress in chain([first], training):
        losses.append(progress.loss)
        loss = validation = sheet = None
        due, last = progress.preview_due, progress.step == progress.total
        if progress.step % _log_every(progress.total) == 0 or due or progress.epoch:
            loss = torch.stack(losses).mean().item()
            losses.clear()
        if due and len(state.validation):
            validation = state.validate()
        if due and (folder is not None or sharded):
            name = f"step-{progress.step:06d}.png"
            path = out / SAMPLES / name if folder is not None else None
            sheet = save_preview(state, path, StopFlag() if last else flag)
            interrupted = sheet is None and flag.raised and not last
            state.budget.previews.owed = interrupted and type(state.recipe) in PREVIEWS
        stopped = not last and flag.agreed(device)
        writes = folder.writes_due(progress, validation, stopped) if folder else WritesDue()
        if sharded:
            writes = WritesDue(*map(bool, agreed_numbers(device, *writes)))
        files = gathered(state, writes)
        if folder is not None:
            folder.write(progress, loss, validation, files)
            if sheet is not None:
                folder.trackers.log_preview(sheet, progress.step)
        yield Update(progress, loss, validation, sheet, stopped)
        if stopped:
            break
    if folder is not None:
        folder.trackers.finish()
    if progress.step == progress.total and (folder is not None or sharded):
        _finish(state, out if folder is not None else None)


def _finish(state: TrainState, out: Path | None) -> None:
    """Write the finished model and the curves; a process without a folder only helps others."""
    scored = not isinstance(recipe := state.recipe, Recipe) and recipe.data.name in DATASETS
    if scored or state.card.by_calls:
        model = state.model_checkpoint()
        if out is not None:  # the weights are safe, whatever happens to what is noted of them
            state.objective.save(out, model)
    if scored:
        add_final_scores(state)
    if state.card.by_calls:
        add_costs(state)
    model = state.model_checkpoint()
    if out is not None:
        state.objective.save(out, model)
        save_curves({out.name: read_metrics(out)}, out / "curves.png")


def _log_every(total: int | None) -> int:
    """Steps from one line of metrics to the next: the log of a long run stays short."""
    return max(_LOG_EVERY, (total or 0) // _LOG_LINES)
