"""Accuracy against cost of all candidates, with the Pareto front: validation on the left, test on the right.

An accuracy that is not one of the validation split has one panel.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import seaborn as sns

from gsfnas.metrics import METRICS, Metric
from gsfnas.modules import label
from gsfnas.report._analysis import Spread, StudyAnalysis
from gsfnas.report._captions import joined, selecting, title, with_unit
from gsfnas.report._matplotlib import INK, say
from gsfnas.report._plotly import INK as SOFT_INK
from gsfnas.report._plotly import axis, layout_of, panel_titles, plain
from gsfnas.report._style import FRONT_COLOUR, PHASES
from gsfnas.report.sections.base import Figure, Section, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes
    from matplotlib.figure import Figure as Canvas

MARKERS = {"anchor": "s", "design": "o", "search": "D", "row": "o"}
SYMBOLS = {"anchor": "square", "design": "circle", "search": "diamond", "row": "circle"}


class Accuracy(Section):
    """The main figure of a study."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        points, axes = accuracy_points(analysis), axes_of(analysis)
        figure = Figure(
            name="accuracy_vs_flops",
            alt=f"{axes.alt} of every candidate",
            interactive=plot(points, axes) if points else None,
            draw=lambda canvas: draw(canvas, points, title(analysis), axes),
            size=(10.5, 5.2),
            caption=front_note(analysis),
            is_empty=not points,
        )
        return Shown(axes.title, figure=figure)


@dataclass(frozen=True)
class Axes:
    """What the figure draws: a panel for each of ``accuracies`` against ``cost``.

    ``is_line``: the front is drawn as a line, as it has no objectives but the accuracy and the cost.
    """

    accuracies: tuple[Metric, ...] = (METRICS["val_top1"], METRICS["test_top1"])
    cost: Metric = METRICS["macs_fvcore"]
    is_line: bool = True

    @property
    def panels(self) -> tuple[str, ...]:
        """The headings of the panels."""
        if len(self.accuracies) == 1:
            return (f"{self.accuracies[0].label} (selects the front)",)
        return "Validation (selects the front)", "Test (reported beside)"

    @property
    def title(self) -> str:
        accuracy = self.accuracies[0]
        return f"{'Accuracy' if accuracy.unit == '%' else accuracy.label} against {self.cost.noun}"

    @property
    def alt(self) -> str:
        accuracy = self.accuracies[0]
        kind = accuracy.noun.removeprefix("validation ").capitalize() + (" accuracy" if accuracy.unit == "%" else "")
        return f"{kind} against {self.cost.noun if self.cost.unit else self.cost.brief}"


def axes_of(analysis: StudyAnalysis) -> Axes:
    """The accuracy and the cost that the report is about."""
    drawn = {analysis.accuracy.key, analysis.cost.key}
    return Axes(analysis.accuracies, analysis.cost, {metric.key for metric in analysis.objectives} == drawn)


@dataclass(frozen=True)
class Point:
    """One candidate. ``cost``: in its unit (GMACs). ``accuracy``: of the first seed. ``spreads``: over several seeds."""

    key: str
    names: tuple[str, ...]
    phase: str
    cost: float
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
            cost=analysis.cost.exact(cost),
            accuracy={one.key: value for one in analysis.accuracies if (value := record.value(one)) is not None},
            spreads={
                one.key: spread
                for one in analysis.accuracies
                if (spread := analysis.spread(record, one.key)) is not None and spread.std is not None
            },
            on_front=record.candidate.key in front,
            sites=", ".join(f"{label(insertion)} at {site}" for site, insertion in record.candidate.insertions) or "no module",
        )
        for record in analysis.ranked
        if (cost := record.value(analysis.cost)) is not None
    )


def front_note(analysis: StudyAnalysis) -> str:
    """The caption: how to read the figure."""
    bars = " Bars are mean ± standard deviation over seeds; the point itself is the first seed." if analysis.noise() else ""
    seen = "" if analysis.is_of_rows else "which the search saw and "
    counted = f"{analysis.cost.counted or 'Costs are for one clip'}; the axes do not start at zero."
    axes = axes_of(analysis)
    names = joined([metric.noun for metric in analysis.objectives])
    front = "(line and rings)" if axes.is_line else f"of {names} (rings)"
    if analysis.test is None:
        return f"Each point is one candidate; rings mark the Pareto front of {names}.{bars} {counted}"
    return (
        f"Each point is one candidate. Left: {selecting(analysis)}, {seen}which selects the Pareto front {front}. "
        f"Right: the same candidates on test, which selects nothing and is reported beside it.{bars} {counted}"
    )


def draw(canvas: "Canvas", points: Sequence[Point], title: str, shown: Axes = Axes()) -> None:
    """Draws the figure for paper."""
    panels = canvas.subplots(1, len(shown.accuracies), sharex=True, sharey=True, squeeze=False)[0]
    for axes, metric, heading in zip(panels, shown.accuracies, shown.panels, strict=True):
        _panel(axes, points, metric, shown)
        axes.set_title(heading)
    panels[0].set_ylabel(shown.accuracies[0].axis)
    if points:
        handles, labels = panels[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    canvas.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


def _panel(axes: "PlotAxes", points: Sequence[Point], metric: Metric, shown: Axes) -> None:
    known = [point for point in points if metric.key in point.accuracy]
    front = sorted((point for point in known if point.on_front), key=lambda one: one.cost)
    xs, ys = [point.cost for point in front], [metric.shown(point.accuracy[metric.key]) for point in front]
    if metric == shown.accuracies[0] and shown.is_line:
        axes.plot(xs, ys, color=FRONT_COLOUR, linewidth=1.4, drawstyle="steps-post", label="Pareto front", zorder=2)
    rings = "Pareto front" if metric == shown.accuracies[0] and not shown.is_line else None
    axes.scatter(xs, ys, s=110, facecolors="none", edgecolors=FRONT_COLOUR, linewidths=1.4, zorder=4, label=rings)
    table = pd.DataFrame(
        [(point.cost, metric.shown(point.accuracy[metric.key]), PHASES[point.phase][0]) for point in known],
        columns=["cost", "accuracy", "phase"],
    )
    present = {phase: named for phase, named in PHASES.items() if named[0] in set(table["phase"])}
    if present:
        sns.scatterplot(
            table,
            x="cost",
            y="accuracy",
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
    several = [(point.cost, point.spreads[metric.key]) for point in points if metric.key in point.spreads]
    if several:
        axes.errorbar(
            [cost for cost, _ in several],
            [metric.shown(spread.mean) for _, spread in several],
            yerr=[metric.shown(spread.std or 0.0) for _, spread in several],
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
    axes.set_xlabel(shown.cost.axis)
    if not points:
        say(axes, "no candidate has a result")


def _label(axes: "PlotAxes", points: Sequence[Point], metric: Metric) -> None:
    """Writes names beside the named candidates, on the side where the panel has room."""
    named = [point for point in points if point.names and metric.key in point.accuracy]
    middle = _middle(points)
    for point in named:
        right = point.cost <= middle
        up = "best" in point.names
        axes.annotate(
            " = ".join(point.names),
            (point.cost, metric.shown(point.accuracy[metric.key])),
            xytext=(9 if right else -9, 13 if up else -13),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=9,
            fontweight="bold",
            zorder=6,
        )


def plot(points: Sequence[Point], shown: Axes = Axes()) -> dict[str, Any]:
    """The interactive figure."""
    traces: list[dict[str, Any]] = []
    sides = list(zip(("", "2"), shown.accuracies, strict=False))
    for side, metric in sides:
        known = [point for point in points if metric.key in point.accuracy]
        front = sorted((point for point in known if point.on_front), key=lambda point: point.cost)
        traces.append(
            _trace(
                front,
                metric,
                side,
                name="Pareto front",
                mode="lines+markers" if shown.is_line and not side else "markers",
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
                        text=[_hover(point, shown) for point in chosen],
                        hovertemplate="%{text}<extra></extra>",
                    )
                )
        traces += _spread_traces(known, metric, side)
    layout = layout_of(height=490, legend=True)
    cost, accuracy = plain(shown.cost.axis), plain(shown.accuracies[0].axis)
    layout |= {"xaxis": axis(cost, domain=[0, 0.485 if len(sides) > 1 else 1])}
    if len(sides) > 1:
        layout["xaxis2"] = axis(cost, domain=[0.515, 1], matches="x", anchor="y2")
    layout["yaxis"] = axis(accuracy)
    if len(sides) > 1:
        layout["yaxis2"] = axis("", matches="y", anchor="x2", showticklabels=False)
    layout["annotations"] = panel_titles(shown.panels, [0, 0.515][: len(sides)])
    for side, metric in sides:
        layout["annotations"] += _names(points, metric, side)
    return {"data": traces, "layout": layout}


def _trace(points: Sequence[Point], metric: Metric, side: str, **rest: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [point.cost for point in points],
        "y": [metric.shown(point.accuracy[metric.key]) for point in points],
        "customdata": [point.key for point in points],
        "xaxis": f"x{side}",
        "yaxis": f"y{side}",
        "legendgroup": rest["name"],
        "showlegend": not side,
        **rest,
    }


def _spread_traces(points: Sequence[Point], metric: Metric, side: str) -> Iterable[dict[str, Any]]:
    several = [(point, point.spreads[metric.key]) for point in points if metric.key in point.spreads]
    if several:
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": "mean ± std over seeds",
            "legendgroup": "seeds",
            "showlegend": not side,
            "x": [point.cost for point, _ in several],
            "y": [metric.shown(spread.mean) for _, spread in several],
            "xaxis": f"x{side}",
            "yaxis": f"y{side}",
            "error_y": {
                "type": "data",
                "array": [metric.shown(spread.std or 0.0) for _, spread in several],
                "thickness": 1.5,
                "width": 5,
                "color": SOFT_INK,
            },
            "marker": {"symbol": "line-ew", "size": 9, "color": SOFT_INK, "line": {"width": 2, "color": SOFT_INK}},
            "hoverinfo": "skip",
        }


def _names(points: Sequence[Point], metric: Metric, side: str) -> Iterable[dict[str, Any]]:
    """Annotations with the names of candidates: towards the middle, above the point for the best and below for others."""
    middle = _middle(points)
    for point in points:
        if point.names and metric.key in point.accuracy:
            right, up = point.cost <= middle, "best" in point.names
            yield {
                "x": point.cost,
                "y": metric.shown(point.accuracy[metric.key]),
                "xref": f"x{side}",
                "yref": f"y{side}",
                "text": f"<b>{plain(' = '.join(point.names))}</b>",
                "showarrow": False,
                "xanchor": "left" if right else "right",
                "xshift": 10 if right else -10,
                "yshift": 20 if up else -20,
            }


def _middle(points: Sequence[Point]) -> float:
    """The middle of the axis of costs."""
    return (min((point.cost for point in points), default=0) + max((point.cost for point in points), default=0)) / 2


def _hover(point: Point, shown: Axes) -> str:
    heads = f"<b>{plain(' = '.join(point.names) or point.key)}</b>"
    key = f"<br>{plain(point.key)}" if point.names else ""
    cost = shown.cost
    numbers = [plain(f"{cost.text(point.cost / cost.exact(1))} {cost.brief}")]
    for metric in shown.accuracies:
        if metric.key in point.accuracy:
            name = metric.noun if len(shown.accuracies) == 1 else "test" if metric.key.startswith("test_") else "validation"
            numbers.append(plain(f"{name} {_value(point, metric)}"))
    held = "<br>".join(plain(part) for part in point.sites.split(", "))
    front = "<br>on the Pareto front" if point.on_front else ""
    return f"{heads}{key}<br>" + "<br>".join(numbers) + f"{front}<br>{held}"


def _value(point: Point, metric: Metric) -> str:
    """``74.2 % (74.6 ± 0.9, 3 seeds)``"""
    spread = point.spreads.get(metric.key)
    several = "" if spread is None else f" ({metric.text(spread.mean)} ± {metric.text(spread.std)}, {spread.seeds} seeds)"
    return with_unit(metric.text(point.accuracy[metric.key]), metric.unit) + several
