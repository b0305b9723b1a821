"""A run's metrics and previews sent on to TensorBoard, W&B or trackio, through Accelerate's
trackers.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from PIL import Image

from inkling.errors import UserError

_SAMPLES = "samples"
"""The name of previews in a tracker."""


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

    def log_preview(self, sheet: Path, step: int) -> None:
        """Send the sheet of a preview, a PNG file, after the metrics of its step."""
        if not self.active:
            return
        with Image.open(sheet) as opened:
            page = opened.convert("RGB")
        for tracker in self.active:
            _SENT[tracker.name](tracker, page, step)

    def finish(self) -> None:
        """Close what is open."""
        for tracker in self.active:
            tracker.finish()


def _to_tensorboard(tracker: GeneralTracker, page: Image.Image, step: int) -> None:
    batch = np.asarray(page)[None]  # [1, H, W, 3]
    tracker.log_images({_SAMPLES: batch}, step=step, dataformats="NHWC")
    tracker.tracker.flush()


def _to_wandb(tracker: GeneralTracker, page: Image.Image, step: int) -> None:
    tracker.log_images({_SAMPLES: [page]}, step=step)


def _to_trackio(tracker: GeneralTracker, page: Image.Image, step: int) -> None:
    """Accelerate has no way for pictures to get there; trackio itself has."""
    import trackio

    tracker.log({_SAMPLES: trackio.Image(page)}, step=step)


_SENT: dict[str, Callable[[GeneralTracker, Image.Image, int], None]] = {
    "tensorboard": _to_tensorboard,
    "wandb": _to_wandb,
    "trackio": _to_trackio,
}
"""How each tracker takes a picture."""
