"""Curves of one run or several, from their metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inkling.system.disk import saved
from inkling.visualize.style import COLOURS, SEQUENCE, drawn, styled

Records = Sequence[Mapping[str, Any]]


def save_curves(runs: Mapping[str, Records], path: Path) -> Path:
    """Loss, loss by noise level, bits, worth of the prompt, gradient norm and speed in one PNG.

    Args:
        runs: the records of `metrics.jsonl` by the name of each run.
        path: where the figure goes.
    """
    with styled():
        figure, grid = drawn(10.5, 6, 2, 3)
        axes = grid.ravel()
        _losses(axes[0], runs)
        _levels(axes[1], runs)
        panels = (
            ("bits", "bits per dimension (held out)", 1.0),
            ("prompt", "loss with a wrong prompt, % more", 100.0),
            ("grad_norm", "gradient norm", 1.0),
            ("images_per_second", "pictures a second", 1.0),
        )
        for axis, (key, title, factor) in zip(axes[2:], panels, strict=True):
            for name, records in runs.items():
                points = [(r["step"], factor * r[key]) for r in records if key in r]
                if points:
                    axis.plot(*zip(*points, strict=True), label=name, **_marks(points))
            axis.set_title(title)
            axis.set_xlabel("step")
        if len(runs) > 1:
            axes[2].legend()
        return saved(figure.savefig, path)


def _marks(points: Sequence[Any]) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3} if len(points) < 30 else {}


def _losses(axis: Any, runs: Mapping[str, Records]) -> None:
    for (name, records), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        label = f"{name}: " if len(runs) > 1 else ""
        axis.plot(
            [r["step"] for r in records],
            [r["loss"] for r in records],
            color=colour,
            alpha=0.35,
            label=f"{label}training",
        )
        held = [(r["step"], r["validation"]) for r in records if "validation" in r]
        if held:
            x, y = zip(*held, strict=True)
            axis.plot(x, y, color=colour, marker="o", markersize=3, label=f"{label}held out")
        low = [(r["step"], r["low"]) for r in records if "low" in r]
        if low:
            x, y = zip(*low, strict=True)
            style = {"color": colour, "linestyle": ":", "marker": "o", "markersize": 3}
            axis.plot(x, y, label=f"{label}held out, lowest tenth of noise (t < 100)", **style)
    if all(r["loss"] > 0 for records in runs.values() for r in records):
        axis.set_yscale("log")
    axis.set_title("loss")
    axis.set_xlabel("step")
    axis.legend()


def _levels(axis: Any, runs: Mapping[str, Records]) -> None:
    """Held-out loss at each noise level, of the first run that has it."""
    import matplotlib as mpl

    held = next(
        (h for records in runs.values() if (h := [r for r in records if "levels" in r])), []
    )
    if held:
        names = list(held[0]["levels"])
        for place, name in enumerate(names):
            colour = mpl.colormaps[SEQUENCE](0.92 * place / max(len(names) - 1, 1))
            points = [(r["step"], r["levels"][name]) for r in held if name in r["levels"]]
            axis.plot(*zip(*points, strict=True), color=colour, label=name, **_marks(points))
        axis.legend(title="sigma", ncols=2, fontsize=8)
        if all(value > 0 for r in held for value in r["levels"].values()):
            axis.set_yscale("log")
    axis.set_title("held-out loss by noise level")
    axis.set_xlabel("step")
