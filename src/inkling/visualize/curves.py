"""Training curves of one or several runs, from their metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inkling.system.disk import saved
from inkling.visualize.style import COLOURS, SEQUENCE, drawn, styled

_LEGEND = {"fontsize": 7, "frameon": True, "edgecolor": "none", "framealpha": 0.8}
"""Of panels with many lines, which it may cover."""

Records = Sequence[Mapping[str, Any]]

_SCORES = (
    ("bits_per_dim", "bits per dimension (held out)", 1.0),
    ("conditioning_gain", "conditioning gain, %", 100.0),
    ("retrieval", "caption retrieval among 10, %", 100.0),
    ("accuracy", "accuracy (held out), %", 100.0),
    ("psnr", "reconstruction (held out), dB", 1.0),
)
"""(key, title, factor) of the scores of all kinds of runs; a run has at most two of them."""
_ALWAYS = (
    ("grad_norm", "gradient norm", 1.0),
    ("images_per_second", "pictures a second", 1.0),
)


def save_curves(runs: Mapping[str, Records], path: Path) -> Path:
    """Loss, loss by noise level, the run's scores, gradient norm and speed in one PNG.

    Args:
        runs: the records of `metrics.jsonl`, by name of the run.
        path: file to write.
    """
    with styled():
        figure, grid = drawn(10.5, 6, 2, 3)
        axes = grid.ravel()
        _losses(axes[0], runs)
        _levels(axes[1], runs)
        keys = {key for records in runs.values() for record in records for key in record}
        scores = [panel for panel in _SCORES if panel[0] in keys] or [_SCORES[0]]
        panels = [*scores[:2], *_ALWAYS]
        for axis, (key, title, factor) in zip(axes[2:], panels, strict=False):
            for name, records in runs.items():
                points = [(r["step"], factor * r[key]) for r in records if key in r]
                if points:
                    axis.plot(*zip(*points, strict=True), label=name, **_marks(points))
            axis.set_title(title)
            axis.set_xlabel("step")
        for axis in axes[2 + len(panels) :]:
            axis.set_axis_off()
        if len(runs) > 1:
            axes[2].legend()
        return saved(figure.savefig, path)


def _marks(points: Sequence[Any]) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3} if len(points) < 30 else {}


_LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("loss", "training", {"alpha": 0.25}),
    ("epoch_loss", "each epoch", {"marker": "."}),
    ("epoch_low_noise_loss", "each epoch, t < 100", {"marker": ".", "linestyle": ":"}),
    ("validation_loss", "held out", {"marker": "s", "markersize": 3, "alpha": 0.6}),
    (
        "low_noise_loss",
        "held out, t < 100",
        {"marker": "s", "markersize": 3, "alpha": 0.6, "linestyle": ":"},
    ),
)
"""(key, label, style) of the losses."""


def _losses(axis: Any, runs: Mapping[str, Records]) -> None:
    for (name, records), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        prefix = f"{name}: " if len(runs) > 1 else ""
        for key, label, style in _LINES:
            points = [(record["step"], record[key]) for record in records if key in record]
            if points:
                axis.plot(*zip(*points, strict=True), color=colour, label=prefix + label, **style)
    if all(r["loss"] > 0 for records in runs.values() for r in records):
        axis.set_yscale("log")
    axis.set_title("loss")
    axis.set_xlabel("step")
    axis.legend(**_LEGEND)


def _levels(axis: Any, runs: Mapping[str, Records]) -> None:
    """Held-out loss at each noise level, for the first run that has it."""
    import matplotlib as mpl

    held = next(
        (h for records in runs.values() if (h := [r for r in records if r.get("loss_by_sigma")])),
        [],
    )
    if held:
        names = list(held[0]["loss_by_sigma"])
        for number, name in enumerate(names):
            colour = mpl.colormaps[SEQUENCE](0.92 * number / max(len(names) - 1, 1))
            points = [
                (r["step"], r["loss_by_sigma"][name]) for r in held if name in r["loss_by_sigma"]
            ]
            axis.plot(*zip(*points, strict=True), color=colour, label=name, **_marks(points))
        axis.legend(title="sigma", ncols=2, **_LEGEND)
        if all(value > 0 for r in held for value in r["loss_by_sigma"].values()):
            axis.set_yscale("log")
    axis.set_title("held-out loss by noise level")
    axis.set_xlabel("step")
