"""Draws figures as PNG and SVG. Neither the backend nor the style of the process is changed."""

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from gsfnas.report.sections.base import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, GRID = "#222222", "#6b6b6b", "#e3e3e3"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "svg.hashsalt": "gsfnas",
}
# Neither date nor program version is written: the same data give the same bytes.
OPTIONS: dict[str, Any] = {
    "png": {"dpi": 160, "metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
}


def drawn(figure: Figure) -> dict[str, bytes]:
    """Draws ``figure`` in the report's style: suffix (``.png``, ``.svg``) -> content of the file."""
    assert figure.draw is not None, "a figure for the screen alone is no file"
    files = {}
    with mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE}):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        FigureCanvasAgg(canvas)
        figure.draw(canvas)
        for kind, options in OPTIONS.items():
            file = io.BytesIO()
            canvas.savefig(file, format=kind, facecolor="white", **options)
            files[f".{kind}"] = file.getvalue()
    return files


def say(axes: "Axes", text: str) -> None:
    """Writes a message in the middle of a panel without data."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET)
