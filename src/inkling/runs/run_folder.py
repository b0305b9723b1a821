"""A run folder: what is written into it while training goes on, and what is read back.

RUN/recipe.json           every setting
RUN/metrics.jsonl         one line every few steps, one for each validation
RUN/samples/*.png         previews: the same prompts and noise as training goes on
RUN/samples/*/*.png       their pictures one by one, if train.preview_files is set
RUN/checkpoints/          the last training checkpoints: each goes on as if never stopped
RUN/milestones/           the model at the moments that train.milestones names
RUN/averages/             short EMAs at several moments, if train.snapshots is set
RUN/best.safetensors      the model with the lowest validation loss so far
RUN/curves.png            at the end: losses, bits, conditioning gain, speed
RUN/model.safetensors     at the end: the model; of a CLIP, in the format of transformers
"""

import json
import math
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from torch import Tensor

from inkling.config.overrides import from_json, to_json
from inkling.config.recipe import RunRecipe
from inkling.config.registries import leaves
from inkling.errors import UserError, UserNote
from inkling.models import checkpoint
from inkling.models.checkpoint import CHECKPOINTS, Checkpoint
from inkling.runs.metrics import read_metrics
from inkling.runs.moments import Every, Milestones
from inkling.runs.preview_files import FOLDERS
from inkling.runs.trackers import Trackers
from inkling.system.disk import clear_leftovers, write_whole
from inkling.training import posthoc_ema
from inkling.training.loop import Progress
from inkling.training.objective import Validation
from inkling.training.state import TrainState

BEST = "best.safetensors"
SAMPLES = "samples"
MILESTONES = "milestones"
TRACES = (checkpoint.FILE, "metrics.jsonl", "recipe.json")
"""By each of them a folder is known to hold a run."""


def check_free(out: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        UserError: there is a run in it already.
    """
    if any((out / name).exists() for name in TRACES) or any(checkpoint.checkpoints(out)):
        raise UserError(
            f"{out} already holds a run; nothing was changed. Go on with it (--resume), choose "
            "another --out, or move it away"
        )
    # Temporary and locking files begin with a dot.
    others = sorted(f.name for f in out.iterdir() if f.name[0] != ".") if out.is_dir() else []
    if others:
        raise UserError(
            f"{out} is not empty and holds no run ({others[0]} is in it); choose another --out"
        )


def finished(out: Path) -> bool:
    """Whether the run in a folder came to its end."""
    return (out / checkpoint.FILE).is_file()


def recipe_of(out: Path) -> RunRecipe:
    """The settings of the run in a folder.

    Raises:
        UserError: they are missing or damaged.
    """
    try:
        return from_json((out / "recipe.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {out / 'recipe.json'}: {reason}") from None


def check_storable(recipe: RunRecipe) -> None:
    """Refuse settings that a file would not give back, before anything is trained with them.

    Raises:
        UserError: the first of them.
    """
    try:
        if from_json(to_json(recipe)) == recipe:
            return
    except ValueError:
        pass
    for path, value in leaves(msgspec.to_builtins(recipe)):
        try:
            same = json.loads(msgspec.json.encode(value)) == json.loads(json.dumps(value))
        except ValueError:
            same = False
        if not same:
            raise UserError(
                f"{path}={value} cannot be stored in recipe.json and read back; use finite numbers "
                "and plain text"
            )
    raise UserError("the recipe cannot be stored in recipe.json and read back")


def newest(out: Path) -> Checkpoint | None:
    """The latest intact training checkpoint of a run; None where there is none.

    A damaged one is passed over with a warning, and the one before it is taken.

    Raises:
        UserError: there are checkpoints, but all of them are damaged.
    """
    damaged: list[str] = []
    for file in checkpoint.checkpoints(out):
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
            f"no training checkpoint in {out / CHECKPOINTS} can be read, the latest because: "
            f"{damaged[0]}"
        )
    return None


def recipe_without_checkpoint(out: Path) -> RunRecipe | None:
    """The settings of a run that was killed before its first checkpoint; None if there was none.

    Raises:
        UserError: a file has the name of one of ours and is none.
    """
    left = [name for name in ("recipe.json", "metrics.jsonl") if (out / name).exists()]
    if not left:
        return None
    try:
        return recipe_of(out)  # every run writes its recipe first
    except UserError as error:
        raise UserError(
            f"{out / left[0]} was not written by a run of inkling ({error}); nothing was changed. "
            "Choose another --out, or move it away"
        ) from None


def clear_traces(out: Path) -> None:
    """Remove what a run wrote that starts again: metrics, previews, averages, its best model."""
    for pattern in ("metrics.jsonl", BEST, f"{SAMPLES}/step-*.png", f"{SAMPLES}/*/step-*.png"):
        for file in out.glob(pattern):
            file.unlink()
    for folder in (posthoc_ema.FOLDER, MILESTONES):
        for file in (out / folder).glob("step-*.safetensors"):
            file.unlink()


def claim(out: Path) -> None:
    """Make the run folder.

    Raises:
        UserError: it cannot be written.
    """
    try:
        (out / SAMPLES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {out}: {error.strerror}") from None


class WritesDue(NamedTuple):
    """What is to be written after a step."""

    best: bool = False
    milestone: bool = False
    snapshot: bool = False
    training: bool = False


class Files(NamedTuple):
    """What is due, ready to be written."""

    best: Checkpoint | None
    milestone: Checkpoint | None
    snapshot: tuple[Checkpoint, dict[str, Tensor]] | None
    training: Checkpoint | None


def gathered(state: TrainState, due: WritesDue) -> Files:
    """The files of a step; where weights are sharded, all must ask, and for the same."""
    return Files(
        state.model_checkpoint() if due.best else None,
        state.model_checkpoint() if due.milestone else None,
        (state.model_checkpoint(), state.short_averages()) if due.snapshot else None,
        state.training_checkpoint() if due.training else None,
    )


class RunFolder:
    """What the main process writes into a run folder."""

    def __init__(
        self, out: Path, state: TrainState, resume: Checkpoint | None, again: bool = False
    ):
        claim(out)
        if again:
            clear_traces(out)
        single = (f"{SAMPLES}/{name}" for name in FOLDERS)
        for name in ("", CHECKPOINTS, MILESTONES, posthoc_ema.FOLDER, SAMPLES, *single):
            clear_leftovers(out / name)
        self.out = out
        self.train = state.recipe.train
        self.every = Every(self.train, len(state.pictures))
        done = resume.progress["step"] if resume is not None else 0
        self.milestones = Milestones(self.train, len(state.pictures), done, state.budget.total)
        self.best = float("inf")
        self.trackers = Trackers(self.train.trackers, out)
        write_whole(out / "recipe.json", (to_json(state.recipe) + "\n").encode())
        if resume is not None:
            records = [r for r in read_metrics(out) if r["step"] <= resume.progress["step"]]
            losses = [r["validation_loss"] for r in records if "validation_loss" in r]
            self.best = min(filter(math.isfinite, losses), default=self.best)
            text = "".join(json.dumps(r) + "\n" for r in records)
            write_whole(out / "metrics.jsonl", text.encode())

    def writes_due(self, progress: Progress, validation: Validation | None, now: bool) -> WritesDue:
        """What is to be written after a step; the training checkpoint at the latest `now`."""
        last = progress.step == progress.total
        # The last step is followed by the model itself, so that a checkpoint always has a step to
        # go.
        return WritesDue(
            best=validation is not None and validation.loss < self.best,
            milestone=self.milestones.due(progress.step, progress.total),
            snapshot=_snapshot_is_due(progress),
            training=now or (self.every.due(progress.step) and not last),
        )

    def write(
        self, progress: Progress, loss: float | None, validation: Validation | None, files: Files
    ) -> None:
        """Log what is known after a step, and write the files that were due."""
        if loss is not None:
            self._log(progress, loss, validation)
        if files.best is not None and validation is not None:
            self.best = validation.loss
            checkpoint.save(self.out / BEST, files.best)
        name = f"step-{progress.step:08d}.safetensors"
        if files.milestone is not None:
            checkpoint.save(self.out / MILESTONES / name, files.milestone)
        if files.snapshot is not None:
            posthoc_ema.store(self.out, *files.snapshot)
        if files.training is not None:
            checkpoint.save(self.out / CHECKPOINTS / name, files.training)
            for old in list(checkpoint.checkpoints(self.out))[self.train.keep :]:
                old.unlink(missing_ok=True)
            self.every.done()

    def _log(self, progress: Progress, loss: float, validation: Validation | None) -> None:
        record: dict[str, Any] = {
            "step": progress.step,
            "total": progress.total,
            "loss": round(loss, 6),
            "grad_norm": round(progress.grad_norm.item(), 5),
            "lr": progress.lr,
            "images_per_second": round(progress.images_per_second, 1),
            "seconds": round(progress.seconds, 2),
            "skipped": progress.state.skipped,
        }
        if progress.epoch is not None:
            epoch, mean, low = progress.epoch
            record |= {"epoch": epoch, "epoch_loss": round(mean, 6)}
            record |= {} if low is None else {"epoch_low_noise_loss": round(low, 6)}
        if validation is not None:
            record["validation_loss"] = round(validation.loss, 6)
            record |= {name: round(score, 6) for name, score in validation.scores.items()}
            record["loss_by_sigma"] = validation.levels
        self.trackers.log(record)
        try:
            with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.out / 'metrics.jsonl'}: {error.strerror}; the last "
                "checkpoint is intact, go on with --resume"
            ) from None


def _snapshot_is_due(progress: Progress) -> bool:
    """Whether the short EMAs are stored after this step: evenly spread, the last at the end."""
    wanted, total = progress.state.recipe.train.snapshots, progress.total
    if not wanted or total is None:
        return False
    return progress.step == total or progress.step % max(1, total // wanted) == 0
