"""The common style of all figures with axes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inkling.visualize.fonts import families

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Distinguishable by colour-blind people too (Okabe & Ito 2008)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Distinguishable without colour."""
SEQUENCE = "viridis"
"""Colour map for ordered values, such as noise levels."""


@contextmanager
def styled() -> Iterator[None]:
    """Figures made in this context have the project's style; matplotlib's settings return after."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "grid.color": "#e6e6e6",
            "figure.constrained_layout.use": True,
            "font.size": 9.5,
            "font.family": families(),
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "savefig.dpi": 110,
        }
    ):
        yield


def drawn(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """(figure, its axes), with the size in inches; no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)
