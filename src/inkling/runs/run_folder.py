"""A run folder: what is written into it while training goes on, and what is read back.

RUN/recipe.json           what was asked for
RUN/metrics.jsonl         one line every few steps, one for each validation
RUN/samples/*.png         the same prompts and noise as training goes on
RUN/checkpoints/          the last training states: from each the run goes on as if never stopped
RUN/averages/             short averages at several moments, if train.snapshots says so
RUN/best.safetensors      the model with the lowest validation loss so far
RUN/curves.png            at the end: loss, by noise level, bits, the worth of the prompt
RUN/model.safetensors     at the end: all that sampling needs
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from inkling.models import checkpoint

from inkling.training import posthoc_ema as posthoc
from inkling.models.checkpoint import STATES, Stored
from inkling.system.disk import write_whole
from inkling.errors import UserError, UserNote
from inkling.config.overrides import override, to_json
from inkling.training.budget import Cadence
from inkling.runs.trackers import Trackers
from inkling.training.loop import Progress
from inkling.training.validation import Validation

BEST = "best.safetensors"
_TRACES = (checkpoint.FILE, "metrics.jsonl", "recipe.json")


def check_free(out: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        UserError: there is a run in it already.
    """
    if any((out / name).exists() for name in _TRACES) or any(checkpoint.states(out)):
        raise UserError(
            f"{out} already holds a run; nothing was changed. Go on with it (--resume), choose "
            "another --out, or move it away"
        )


def finished(out: Path) -> bool:
    """Whether the run in a folder came to its end."""
    return (out / checkpoint.FILE).is_file()


def newest(out: Path) -> Stored | None:
    """The latest sound training state of a run; None where there is none.

    A damaged one is passed over with a warning, and the one before it is taken.

    Raises:
        UserError: there are states, but all of them are damaged.
    """
    damaged: list[str] = []
    for file in checkpoint.states(out):
        try:
            stored = checkpoint.read(file)
        except UserError as error:
            damaged.append(str(error))
            continue
        for reason in damaged:
            warnings.warn(f"{reason}; going on from {file.name} instead", UserNote, stacklevel=2)
        return stored
    if damaged:
        raise UserError(
            f"no training state in {out / STATES} can be read, the latest because: {damaged[0]}"
        )
    return None


def to_resume(out: Path, assignments: Sequence[str]) -> Stored | None:
    """The training state from which a run goes on; None to start afresh.

    Raises:
        UserError: the states are damaged, or settings were given that are not those of the run.
    """
    stored = newest(out)
    if stored is None:
        for name in _TRACES:  # of a run that was killed before its first state
            (out / name).unlink(missing_ok=True)
        return None
    given = override(stored.recipe, assignments)
    if given != stored.recipe:
        differing = [
            each for each in assignments if override(stored.recipe, [each]) != stored.recipe
        ]
        raise UserError(
            f"the run in {out} has other settings than {', '.join(differing)}; a resumed run keeps "
            "its own: leave these out, or start another one (--from takes its weights)"
        )
    return stored


def claim(out: Path) -> None:
    """Make the run folder.

    Raises:
        UserError: it cannot be written.
    """
    try:
        (out / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {out}: {error.strerror}") from None


class Wanted(NamedTuple):
    """What is to be written after a step."""

    best: bool = False
    snapshot: bool = False
    state: bool = False


class Files(NamedTuple):
    """What was wanted, ready to be written."""

    best: Stored | None
    snapshot: tuple[Stored, dict[str, Tensor]] | None
    state: Stored | None


def gathered(progress: Progress, wanted: Wanted) -> Files:
    """The files of a step; where weights are shared out, all must ask, and want the same."""
    learner = progress.learner
    return Files(
        learner.model_file() if wanted.best else None,
        (learner.model_file(), learner.short_averages()) if wanted.snapshot else None,
        progress.state() if wanted.state else None,
    )


class Folder:
    """What the main process writes into a run folder."""

    def __init__(self, out: Path, first: Progress, resume: Stored | None):
        if resume is None:
            check_free(out)
        claim(out)
        for left in out.rglob(".*.partial"):  # of a process that was killed while it wrote
            left.unlink()
        self.out = out
        self.train = first.learner.recipe.train
        self.cadence = Cadence(self.train.checkpoint_every)
        self.best = float("inf")
        self.trackers = Trackers(self.train.trackers, out)
        (out / "recipe.json").write_text(to_json(first.learner.recipe) + "\n")
        if resume is not None:
            records = [r for r in read_metrics(out) if r["step"] <= resume.progress["step"]]
            self.best = min(
                (r["validation"] for r in records if "validation" in r), default=self.best
            )
            text = "".join(json.dumps(r) + "\n" for r in records)
            write_whole(out / "metrics.jsonl", text.encode())

    def wanted(self, progress: Progress, validation: Validation | None, now: bool) -> Wanted:
        """What is to be written after a step; the state at the latest `now`."""
        # The last step is followed by the model itself, so that a state always has a step to go.
        return Wanted(
            best=validation is not None and validation.loss < self.best,
            snapshot=_snapshot_is_due(progress),
            state=now or (self.cadence.due(progress.step) and progress.step != progress.total),
        )

    def keep(
        self, progress: Progress, loss: float | None, validation: Validation | None, files: Files
    ) -> None:
        """Log what is known after a step, and write what was wanted."""
        if loss is not None:
            self._log(progress, loss, validation)
        if files.best is not None and validation is not None:
            self.best = validation.loss
            checkpoint.save(self.out / BEST, files.best)
        if files.snapshot is not None:
            posthoc.store(self.out, *files.snapshot)
        if files.state is not None:
            name = f"step-{progress.step:08d}.safetensors"
            checkpoint.save(self.out / STATES / name, files.state)
            for old in list(checkpoint.states(self.out))[self.train.keep :]:
                old.unlink(missing_ok=True)
            self.cadence.done()

    def _log(self, progress: Progress, loss: float, validation: Validation | None) -> None:
        record: dict[str, Any] = {
            "step": progress.step,
            "total": progress.total,
            "loss": round(loss, 6),
            "grad_norm": round(progress.grad_norm.item(), 5),
            "lr": progress.lr,
            "images_per_second": round(progress.images_per_second, 1),
            "seconds": round(progress.seconds, 2),
            "skipped": progress.learner.skipped,
        }
        if validation is not None:
            record["validation"] = round(validation.loss, 6)
            record |= {"low": round(validation.low, 6), "bits": round(validation.bits, 4)}
            record |= {"prompt": round(validation.prompt, 5), "levels": validation.levels}
        self.trackers.log(record)
        try:
            with (self.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.out / 'metrics.jsonl'}: {error.strerror}; the last saved "
                "state is sound, go on with --resume"
            ) from None


def _snapshot_is_due(progress: Progress) -> bool:
    """Whether the short averages are kept after this step: evenly spread, the last at the end."""
    wanted, total = progress.learner.recipe.train.snapshots, progress.total
    if not wanted or total is None:
        return False
    return progress.step == total or progress.step % max(1, total // wanted) == 0


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """The records of a run's `metrics.jsonl`; a line that was cut off by a kill is left out."""
    records = []
    path = out / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
