"""Live plots of a run in the terminal, from its metrics file; the run is not affected."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import plotext

from inkling.errors import UserError
from inkling.runs import run_folder
from inkling.runs.metrics import read_metrics
from inkling.system.progress import duration

_SCORES = (
    "low_noise_loss",
    "bits_per_dim",
    "conditioning_gain",
    "retrieval",
    "accuracy",
    "psnr",
)
"""Scores of the last validation, in this order."""
_NO_GAIN = 0.002
Records = Sequence[Mapping[str, Any]]

_REFRESH = 2.0
"""Seconds between two frames."""
_STALLED = 120.0
"""Seconds without a new record after which a run is reported as stalled."""


def frames(out: Path, size: tuple[int, int]) -> Iterator[str]:
    """One frame after the other, until the run is finished.

    Args:
        out: the run folder.
        size: columns and lines of the terminal.

    Raises:
        UserError: there is no run in the folder.
    """
    if not (out / "metrics.jsonl").is_file() and not (out / "recipe.json").is_file():
        raise UserError(f"there is no run in {out}; name a folder that `inkling train` writes into")
    while True:
        records = read_metrics(out)
        done = run_folder.finished(out)
        yield frame(out, records, done, size)
        if done:
            return
        time.sleep(_REFRESH)


def frame(out: Path, records: Records, done: bool, size: tuple[int, int]) -> str:
    """One frame: two plots and the latest numbers."""
    if not records:
        return f"{out}: no step is logged yet"
    width, height = max(size[0], 50), max(size[1] - 8, 10)
    return "\n".join([_plots(records, width, height), *_numbers(out, records, done)])


def _plots(records: Records, width: int, height: int) -> str:
    held = [r for r in records if "validation_loss" in r]
    plotext.main()
    plotext.clear_figure()
    plotext.theme("clear")
    levels = [r for r in held if r.get("loss_by_sigma")]
    plotext.subplots(1, 2 if levels else 1)
    plotext.plot_size(width, height)
    plotext.subplot(1, 1)
    plotext.title("loss")
    _draw(plotext.plot, [(r["step"], r["loss"]) for r in records], "training")
    if held:
        _draw(plotext.scatter, [(r["step"], r["validation_loss"]) for r in held], "held out")
    if levels:
        plotext.subplot(1, 2)
        plotext.title("by noise level")
        for name in [*levels[0]["loss_by_sigma"]][::2]:
            points = [(r["step"], r["loss_by_sigma"].get(name)) for r in levels]
            _draw(plotext.plot, points, f"sigma {name}")
    plotext.main()
    picture: str = plotext.build()
    return picture


def _draw(kind: Callable[..., None], points: Sequence[tuple[int, Any]], label: str) -> None:
    """Draw the points that are finite."""
    finite = [(x, y) for x, y in points if isinstance(y, int | float) and isfinite(y)]
    if finite:
        kind(*map(list, zip(*finite, strict=True)), label=label)


def _numbers(out: Path, records: Records, done: bool) -> Iterator[str]:
    last = records[-1]
    total = last["total"]
    eta = ""
    if done:
        eta = "finished"
    elif total:
        left = (total - last["step"]) * last["seconds"] / max(last["step"], 1)
        eta = f"{duration(left)} to go"
    quiet = time.time() - (out / "metrics.jsonl").stat().st_mtime
    if not done and quiet > _STALLED:
        eta = f"no progress for {duration(quiet)}; `inkling train ... --resume` continues a run"
    yield (
        f"{out}  step {last['step']}/{total or '?'}  {last['images_per_second']:,.0f} pictures/s  "
        f"{duration(last['seconds'])}  {eta}"
    )
    skipped = f"  {last['skipped']} steps skipped (not finite)" if last.get("skipped") else ""
    yield f"loss {last['loss']:.4f}  gradient norm {last['grad_norm']:.3g}{skipped}"
    held = [r for r in records if "validation_loss" in r]
    if held:
        scores = "  ".join(f"{name} {held[-1][name]:.4g}" for name in _SCORES if name in held[-1])
        gain = held[-1].get("conditioning_gain")
        ignored = gain is not None and abs(gain) < _NO_GAIN
        yield f"held out {held[-1]['validation_loss']:.4f}  {scores}" + (
            "  the prompt makes no difference yet" if ignored else ""
        )
