"""What quality costs: the score of a model against the time of a picture."""

from collections.abc import Sequence
from pathlib import Path

from inkling.models.card import CallSettings
from inkling.system.disk import saved
from inkling.visualize.style import COLOURS, drawn, styled


def save_frontier(
    tuned: Sequence[CallSettings],
    path: Path,
    usual: CallSettings | None = None,
    floor: float | None = None,
) -> Path:
    """Score against milliseconds a picture on logarithmic axes, points labelled by their calls.

    Args:
        tuned: fewest calls first, of one measure.
        path: file to write.
        usual: what the recipe recommends, for comparison.
        floor: the score of real pictures.
    """
    from matplotlib.ticker import LogFormatter

    with styled():
        figure, axis = drawn(6.4, 4.2)
        points = [(each.milliseconds, each.score) for each in tuned]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label="tuned")
        for each in tuned:
            _label(axis, each, COLOURS[0])
        if usual is not None:
            axis.plot(
                [usual.milliseconds], [usual.score], marker="s", markersize=5, linestyle="",
                color=COLOURS[1], label="as the recipe recommends",
            )  # fmt: skip
            _label(axis, usual, COLOURS[1])
        if floor is not None:
            axis.axhline(floor, color="#999999", linestyle="--", linewidth=0.9, label="noise floor")
        axis.set_xscale("log")
        if all(score > 0 for _, score in points):
            axis.set_yscale("log")
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_formatter("{x:g}")
            ticks.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 1)))
        axis.set_xlabel("milliseconds a picture")
        axis.set_ylabel("Fr\u00e9chet distance (lower is better)")
        axis.set_title("quality against time; labels: network calls a picture")
        axis.legend()
        return saved(figure.savefig, path)


def _label(axis: object, point: CallSettings, colour: str) -> None:
    axis.annotate(  # type: ignore[attr-defined]
        str(point.calls), (point.milliseconds, point.score), color=colour, fontsize=8,
        xytext=(4, 4), textcoords="offset points",
    )  # fmt: skip
