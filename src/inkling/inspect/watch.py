"""A run as it goes, drawn in the terminal from its metrics; the run itself knows nothing of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotext

from inkling.errors import UserError
from inkling.runs import run_folder as folder
from inkling.runs.console import duration

Records = Sequence[Mapping[str, Any]]

_PAUSE = 2.0
"""Seconds between two looks."""
_SILENT = 120.0
"""Seconds without a line after which a run is said to stand still."""


def frames(out: Path, size: tuple[int, int]) -> Iterator[str]:
    """What to show, again and again until the run is finished.

    Args:
        out: the run folder.
        size: columns and lines of the terminal.

    Raises:
        UserError: there is no run in the folder.
    """
    if not (out / "metrics.jsonl").is_file() and not (out / "recipe.json").is_file():
        raise UserError(f"there is no run in {out}; name a folder that `inkling train` writes into")
    while True:
        records = folder.read_metrics(out)
        done = folder.finished(out)
        yield frame(out, records, done, size)
        if done:
            return
        time.sleep(_PAUSE)


def frame(out: Path, records: Records, done: bool, size: tuple[int, int]) -> str:
    """One picture of a run: two plots and the latest numbers."""
    if not records:
        return f"{out}: no step is logged yet"
    width, height = max(size[0], 50), max(size[1] - 8, 10)
    return "\n".join([_plots(records, width, height), *_numbers(out, records, done)])


def _plots(records: Records, width: int, height: int) -> str:
    held = [r for r in records if "levels" in r]
    plotext.main()
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.subplots(1, 2 if held else 1)
    plotext.plot_size(width, height)
    plotext.subplot(1, 1)
    plotext.title("loss")
    plotext.plot([r["step"] for r in records], [r["loss"] for r in records], label="training")
    if held:
        steps = [r["step"] for r in held]
        plotext.scatter(steps, [r["validation"] for r in held], label="held out")
        plotext.subplot(1, 2)
        plotext.title("by noise level")
        names = list(held[0]["levels"])
        for name in names[:: max(1, len(names) // 4)]:
            plotext.plot(steps, [r["levels"].get(name) for r in held], label=f"sigma {name}")
    plotext.main()
    picture: str = plotext.build()
    return picture


def _numbers(out: Path, records: Records, done: bool) -> Iterator[str]:
    last = records[-1]
    total = last["total"]
    eta = ""
    if done:
        eta = "finished"
    elif total:
        left = (total - last["step"]) * last["seconds"] / last["step"]
        eta = f"{duration(left)} to go"
    quiet = time.time() - (out / "metrics.jsonl").stat().st_mtime
    if not done and quiet > _SILENT:
        eta = f"no news for {duration(quiet)}: stopped? `inkling train ... --resume` goes on"
    yield (
        f"{out}  step {last['step']}/{total or '?'}  {last['images_per_second']:,.0f} pictures/s  "
        f"{duration(last['seconds'])}  {eta}"
    )
    skipped = f"  {last['skipped']} steps skipped (not finite)" if last.get("skipped") else ""
    yield f"loss {last['loss']:.4f}  gradient norm {last['grad_norm']:.3g}{skipped}"
    held = [r for r in records if "levels" in r]
    if held:
        prompt = held[-1]["prompt"]
        ignored = "  the prompt makes no difference yet" if abs(prompt) < 0.002 else ""
        yield (
            f"held out {held[-1]['validation']:.4f}  low noise {held[-1]['low']:.4f}  "
            f"{held[-1]['bits']:.2f} bits  wrong prompt {prompt:+.1%}{ignored}"
        )
