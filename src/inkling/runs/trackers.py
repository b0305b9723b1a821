"""A run's metrics sent on to TensorBoard, W&B or trackio, through Accelerate's trackers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from inkling.errors import UserError


class Trackers:
    """All the trackers of a run; with none it does nothing."""

    def __init__(self, names: Sequence[str], out: Path):
        self.active: list[GeneralTracker] = []
        for name in names:
            options = {"logging_dir": out / "tensorboard"} if name == "tensorboard" else {}
            try:
                tracker = LOGGER_TYPE_TO_CLASS[name](out.name, **options)
                tracker.start()
            except (ImportError, ValueError) as error:
                raise UserError(
                    f"train.trackers has {name}, which cannot be used ({error}): pip install {name}"
                ) from None
            self.active.append(tracker)

    def log(self, record: Mapping[str, Any]) -> None:
        """Send a record of `metrics.jsonl`; losses by noise level become `loss_by_sigma/SIGMA`."""
        values = {k: v for k, v in record.items() if isinstance(v, int | float) and k != "step"}
        levels = record.get("loss_by_sigma", {})
        values |= {f"loss_by_sigma/{sigma}": loss for sigma, loss in levels.items()}
        for tracker in self.active:
            tracker.log(values, step=record["step"])

    def finish(self) -> None:
        """Close what is open."""
        for tracker in self.active:
            tracker.finish()
