"""Convergence of samplers: error against number of steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from inkling.system.disk import saved
from inkling.visualize.style import MARKERS, drawn, styled


def save_convergence(
    steps: Sequence[int], errors: Mapping[str, Sequence[float]], path: Path
) -> Path:
    """Error against steps on logarithmic axes, with the slopes of order 1 and 2.

    Args:
        steps: solver steps, rising.
        errors: errors of each sampler, one for each of `steps`.
        path: file to write.
    """
    with styled():
        figure, axis = drawn(6.4, 4.2)
        for (name, found), marker in zip(errors.items(), MARKERS * len(errors), strict=False):
            axis.loglog(steps, found, marker=marker, markersize=4, label=name)
        highest = max(found[0] for found in errors.values())
        for order in (1, 2):
            slope = [1.6 * highest * (steps[0] / each) ** order for each in steps]
            axis.loglog(steps, slope, color="#999999", linewidth=0.9, linestyle="--")
            axis.annotate(
                f"order {order}", (steps[-1], slope[-1]), color="#777777", fontsize=8,
                xytext=(4, 0), textcoords="offset points", va="center",
            )  # fmt: skip
        axis.set_xticks(steps, [str(each) for each in steps])
        axis.minorticks_off()
        axis.set_xlabel("solver steps")
        axis.set_ylabel("distance from the exact solution")
        axis.legend()
        return saved(figure.savefig, path)
