"""Accuracy against GMACs of all candidates, with the Pareto front: validation on the left, test on the right."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import seaborn as sns

from gsfnas.metrics import METRICS
from gsfnas.modules import label
from gsfnas.report._analysis import Spread, StudyAnalysis
from gsfnas.report._captions import title
from gsfnas.report._matplotlib import INK, say
from gsfnas.report._plotly import INK as SOFT_INK
from gsfnas.report._plotly import axis, layout_of, panel_titles, plain
from gsfnas.report._style import FRONT_COLOUR, PHASES
from gsfnas.report.sections.base import Figure, Section, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PERCENT, GMACS = METRICS["val_top1"], METRICS["macs_fvcore"]
MARKERS = {"anchor": "s", "design": "o", "search": "D", "row": "o"}
SYMBOLS = {"anchor": "square", "design": "circle", "search": "diamond", "row": "circle"}
_PANELS = ("Validation (selects the front)", "Test (reported beside)")


class Accuracy(Section):
    """The main figure of a study."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        points = accuracy_points(analysis)
        figure = Figure(
            name="accuracy_vs_flops",
            alt="Top-1 accuracy against GMACs of every candidate",
            interactive=plot(points) if points else None,
            draw=lambda canvas: draw(canvas, points, title(analysis)),
            size=(10.5, 5.2),
            caption=front_note(analysis),
            is_empty=not points,
        )
        return Shown("Accuracy against MACs", figure=figure)


@dataclass(frozen=True)
class Point:
    """One candidate. ``accuracy``: of the first seed, as fractions. ``spreads``: over the seeds, if there are several."""

    key: str
    names: tuple[str, ...]
    phase: str
    gmacs: float
    accuracy: Mapping[str, float]
    spreads: Mapping[str, Spread]
    on_front: bool
    sites: str


def accuracy_points(analysis: StudyAnalysis) -> tuple[Point, ...]:
    """The data of the figure: all complete candidates, best first."""
    front = {record.candidate.key for record in analysis.front}
    return tuple(
        Point(
            key=record.candidate.key,
            names=analysis.titles(record),
            phase=record.phase,
            gmacs=record.gmacs,
            accuracy={name: record.metrics[name] for name in ("val_top1", "test_top1") if name in record.metrics},
            spreads={
                name: spread
                for name in ("val_top1", "test_top1")
                if (spread := analysis.spread(record, name)) is not None and spread.std is not None
            },
            on_front=record.candidate.key in front,
            sites=", ".join(f"{label(insertion)} at {site}" for site, insertion in record.candidate.insertions) or "no module",
        )
        for record in analysis.ranked
    )


def front_note(analysis: StudyAnalysis) -> str:
    """The caption: how to read the figure."""
    bars = " Bars are mean ± standard deviation over seeds; the point itself is the first seed." if analysis.noise() else ""
    seen = "" if analysis.is_of_rows else "which the search saw and "
    return (
        f"Each point is one candidate. Left: validation accuracy, {seen}which selects the Pareto front (line "
        "and rings). Right: the same candidates on test, which selects nothing and is reported beside it."
        f"{bars} MACs are for one clip, counted as fvcore does; the axes do not start at zero."
    )


def draw(canvas: "Canvas", points: Sequence[Point], title: str) -> None:
    """Draws the figure for paper."""
    panels = canvas.subplots(1, 2, sharex=True, sharey=True)
    for axes, metric, heading in zip(panels, ("val_top1", "test_top1"), _PANELS, strict=True):
        _panel(axes, points, metric)
        axes.set_title(heading)
    panels[0].set_ylabel("Top-1 (%)")
    if points:
        handles, labels = panels[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    canvas.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


def _panel(axes: "Axes", points: Sequence[Point], metric: str) -> None:
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
        say(axes, "no candidate has a result")


def _label(axes: "Axes", points: Sequence[Point], metric: str) -> None:
    """Writes names beside the named candidates, on the side where the panel has room."""
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


def plot(points: Sequence[Point]) -> dict[str, Any]:
    """The interactive figure."""
    traces: list[dict[str, Any]] = []
    for side, metric in (("", "val_top1"), ("2", "test_top1")):
        known = [point for point in points if metric in point.accuracy]
        front = sorted((point for point in known if point.on_front), key=lambda point: point.gmacs)
        traces.append(
            _trace(
                front,
                metric,
                side,
                name="Pareto front",
                mode="lines+markers" if not side else "markers",
                line={"color": FRONT_COLOUR, "width": 1.6, "shape": "hv"},
                marker={"size": 15, "symbol": "circle-open", "color": FRONT_COLOUR, "line": {"width": 1.6}},
                hoverinfo="skip",
            )
        )
        for phase, (name, colour) in PHASES.items():
            chosen = [point for point in known if point.phase == phase]
            if chosen:
                traces.append(
                    _trace(
                        chosen,
                        metric,
                        side,
                        name=name,
                        mode="markers",
                        marker={"size": 9, "symbol": SYMBOLS[phase], "color": colour},
                        text=[_hover(point) for point in chosen],
                        hovertemplate="%{text}<extra></extra>",
                    )
                )
        traces += _spread_traces(known, metric, side)
    layout = layout_of(height=490, legend=True)
    layout |= {
        "xaxis": axis("GMACs a clip (fvcore)", domain=[0, 0.485]),
        "xaxis2": axis("GMACs a clip (fvcore)", domain=[0.515, 1], matches="x", anchor="y2"),
        "yaxis": axis("Top-1 (%)"),
        "yaxis2": axis("", matches="y", anchor="x2", showticklabels=False),
        "annotations": [
            *panel_titles(_PANELS, [0, 0.515]),
            *_names(points, "val_top1", ""),
            *_names(points, "test_top1", "2"),
        ],
    }
    return {"data": traces, "layout": layout}


def _trace(points: Sequence[Point], metric: str, side: str, **rest: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [point.gmacs for point in points],
        "y": [100 * point.accuracy[metric] for point in points],
        "customdata": [point.key for point in points],
        "xaxis": f"x{side}",
        "yaxis": f"y{side}",
        "legendgroup": rest["name"],
        "showlegend": not side,
        **rest,
    }


def _spread_traces(points: Sequence[Point], metric: str, side: str) -> Iterable[dict[str, Any]]:
    several = [(point, point.spreads[metric]) for point in points if metric in point.spreads]
    if several:
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": "mean ± std over seeds",
            "legendgroup": "seeds",
            "showlegend": not side,
            "x": [point.gmacs for point, _ in several],
            "y": [100 * spread.mean for _, spread in several],
            "xaxis": f"x{side}",
            "yaxis": f"y{side}",
            "error_y": {
                "type": "data",
                "array": [100 * (spread.std or 0.0) for _, spread in several],
                "thickness": 1.5,
                "width": 5,
                "color": SOFT_INK,
            },
            "marker": {"symbol": "line-ew", "size": 9, "color": SOFT_INK, "line": {"width": 2, "color": SOFT_INK}},
            "hoverinfo": "skip",
        }


def _names(points: Sequence[Point], metric: str, side: str) -> Iterable[dict[str, Any]]:
    """Annotations with the names of candidates: towards the middle, above the point for the best and below for others."""
    middle = (min((p.gmacs for p in points), default=0) + max((p.gmacs for p in points), default=0)) / 2
    for point in points:
        if point.names and metric in point.accuracy:
            right, up = point.gmacs <= middle, "best" in point.names
            yield {
                "x": point.gmacs,
                "y": 100 * point.accuracy[metric],
                "xref": f"x{side}",
                "yref": f"y{side}",
                "text": f"<b>{plain(' = '.join(point.names))}</b>",
                "showarrow": False,
                "xanchor": "left" if right else "right",
                "xshift": 10 if right else -10,
                "yshift": 20 if up else -20,
            }


def _hover(point: Point) -> str:
    heads = f"<b>{plain(' = '.join(point.names) or point.key)}</b>"
    key = f"<br>{plain(point.key)}" if point.names else ""
    numbers = [f"{GMACS.text(point.gmacs * 1e9)} GMACs"]
    for name, where in (("val_top1", "validation"), ("test_top1", "test")):
        if name in point.accuracy:
            spread = point.spreads.get(name)
            several = (
                "" if spread is None else f" ({PERCENT.text(spread.mean)} ± {PERCENT.text(spread.std)}, {spread.seeds} seeds)"
            )
            numbers.append(f"{where} {PERCENT.text(point.accuracy[name])} %{several}")
    held = "<br>".join(plain(part) for part in point.sites.split(", "))
    front = "<br>on the Pareto front" if point.on_front else ""
    return f"{heads}{key}<br>" + "<br>".join(numbers) + f"{front}<br>{held}"
