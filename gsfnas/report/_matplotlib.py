"""The figures as PNG and SVG, on canvases of their own: no backend is chosen and no style outlives a call."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from gsfnas.report._effects import Effects
from gsfnas.report._figures import FRONT_COLOUR, PHASES, Point, Strip, module_of
from gsfnas.report._metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, GRID = "#222222", "#6b6b6b", "#e3e3e3"
MARKERS = {"anchor": "s", "design": "o", "search": "D", "row": "o"}
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


def draw_accuracy(points: Sequence[Point], title: str, stem: Path) -> None:
    """Accuracy against GMACs, validation left and test right, to ``stem``.png and ``stem``.svg."""
    with mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE}):
        figure = _figure(10.5, 5.2)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, metric in zip(panels, ("val_top1", "test_top1"), strict=True):
            _accuracy_panel(axes, points, metric)
        panels[0].set_title("Validation (selects the front)")
        panels[1].set_title("Test (reported beside)")
        panels[0].set_ylabel("Top-1 (%)")
        if points:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        _save(figure, stem)


def draw_effects(effects: Effects, stem: Path) -> None:
    """What each site is worth, in points with the 95 % interval, the first site on top."""
    with mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE}):
        figure = _figure(7.5, 1.4 + 0.34 * max(3, len(effects.sites)))
        axes = figure.subplots()
        for row, effect in enumerate(effects.sites):
            if effect.value is None:
                continue
            colour = "#2a83c4" if effect.is_clear else QUIET
            if effect.low is not None and effect.high is not None:
                axes.plot([100 * effect.low, 100 * effect.high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
            face = colour if effect.is_clear else "white"
            axes.plot([100 * effect.value], [row], "o", color=colour, markerfacecolor=face, markersize=7)
        if not any(effect.value is not None for effect in effects.sites):
            _nothing(axes, "not run")
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(effects.sites)), [effect.name for effect in effects.sites])
        axes.set_ylim(len(effects.sites) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("Validation top-1: something at the site rather than nothing (points, 95 % interval)", fontsize=9)
        _save(figure, stem)


def draw_strips(strips: Sequence[Strip], sites: Sequence[str], colours: dict[str, str], stem: Path) -> None:
    """Candidates as rows of coloured cells, best first, with their validation top-1."""
    with mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE}):
        width = 0.42 * max(4, len(sites))
        figure = _figure(3.6 + width, 1.9 + 0.24 * max(3, len(strips)))
        axes = figure.subplots()
        for row, strip in enumerate(strips):
            for column, cell in enumerate(strip.cells):
                face = colours[module_of(cell)] if cell else "#ececec"
                axes.add_patch(Rectangle((column - 0.45, row - 0.4), 0.9, 0.8, facecolor=face, edgecolor="none"))
        axes.set_xlim(-0.6, max(1, len(sites)) - 0.4)
        axes.set_ylim(max(1, len(strips)) - 0.4, -0.6)
        percent = METRICS["val_top1"]
        labels = [f"{' = '.join(strip.names)}  {percent.text(strip.val_top1)} %".strip() for strip in strips]
        axes.set_yticks(range(len(strips)), labels, fontsize=8)
        axes.set_xticks(range(len(sites)), sites, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if not strips:
            _nothing(axes, "not run")
        elif colours:
            patches = [Patch(color=colour, label=module) for module, colour in colours.items()]
            figure.legend(handles=patches, loc="outside upper left", ncols=4, fontsize=8)
        _save(figure, stem)


def _accuracy_panel(axes: "Axes", points: Sequence[Point], metric: str) -> None:
    front = sorted((point for point in points if point.on_front and metric in point.accuracy), key=lambda one: one.gmacs)
    xs, ys = [point.gmacs for point in front], [100 * point.accuracy[metric] for point in front]
    if metric == "val_top1":
        axes.plot(xs, ys, color=FRONT_COLOUR, linewidth=1.4, drawstyle="steps-post", label="Pareto front", zorder=2)
    axes.scatter(xs, ys, s=110, facecolors="none", edgecolors=FRONT_COLOUR, linewidths=1.4, zorder=4)
    shown = pd.DataFrame(
        [(point.gmacs, 100 * point.accuracy[metric], PHASES[point.phase][0]) for point in points if metric in point.accuracy],
        columns=["gmacs", "top1", "phase"],
    )
    present = {phase: named for phase, named in PHASES.items() if named[0] in set(shown["phase"])}
    if present:
        sns.scatterplot(
            shown,
            x="gmacs",
            y="top1",
            hue="phase",
            style="phase",
            hue_order=[name for name, _ in present.values()],
            style_order=[name for name, _ in present.values()],
            palette=dict(present.values()),
            markers={name: MARKERS[phase] for phase, (name, _) in present.items()},
            s=44,
            linewidth=0,
            zorder=3,
            ax=axes,
        )
        own = axes.get_legend()
        assert own is not None, "one legend serves both panels"
        own.remove()
        axes.set_ylabel("")
    several = [(point.gmacs, point.spreads[metric]) for point in points if metric in point.spreads]
    if several:
        axes.errorbar(
            [gmacs for gmacs, _ in several],
            [100 * spread.mean for _, spread in several],
            yerr=[100 * (spread.std or 0.0) for _, spread in several],
            fmt="_",
            color=INK,
            markersize=8,
            linewidth=1.2,
            capsize=4,
            zorder=5,
            label="mean ± std over seeds",
        )
    _label(axes, points, metric)
    axes.margins(0.09, 0.12)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("GMACs a clip (fvcore)")
    if not points:
        _nothing(axes, "no candidate has a result")


def _label(axes: "Axes", points: Sequence[Point], metric: str) -> None:
    """Names beside the anchors and the best, on the side where the panel has room."""
    named = [point for point in points if point.names and metric in point.accuracy]
    middle = (min((p.gmacs for p in points), default=0) + max((p.gmacs for p in points), default=0)) / 2
    for point in named:
        right = point.gmacs <= middle
        up = "best" in point.names
        axes.annotate(
            " = ".join(point.names),
            (point.gmacs, 100 * point.accuracy[metric]),
            xytext=(9 if right else -9, 13 if up else -13),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=9,
            fontweight="bold",
            zorder=6,
        )


def _nothing(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, stem: Path) -> None:
    figure.savefig(stem.with_suffix(".png"), dpi=160, facecolor="white", metadata={"Software": None})
    figure.savefig(stem.with_suffix(".svg"), facecolor="white", metadata={"Date": None, "Creator": None})
