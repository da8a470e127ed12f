"""Accuracy and loss over the epochs, for the named candidates. An interactive figure only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gsfnas.metrics import METRICS, Metric
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._plotly import axis, layout_of, panel_titles, plain
from gsfnas.report._style import PALETTE
from gsfnas.report.sections.base import Figure, Section, Shown

# Colours of the candidates that every search names.
NAMED = {"baseline": "#7f7f7f", "full": "#2a83c4", "best": "#d55e00"}


class Curves(Section):
    """Applies if a named candidate has finished an epoch."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(_panels(analysis))

    def show(self, analysis: StudyAnalysis) -> Shown:
        who = "Every row" if analysis.is_of_rows else "The anchors and the best"
        caption = f"{who}. Strong: the first seed. Faint: the further seeds."
        figure = Figure("curves", "Learning curves", plot(_panels(analysis)), caption=caption)
        return Shown("Learning curves", figure=figure)


@dataclass(frozen=True)
class Curve:
    """One metric of one run over its epochs. ``is_first``: the run of the first seed, which is drawn strong."""

    name: str
    metric: str
    is_first: bool
    epochs: tuple[int, ...]
    values: tuple[float, ...]


def curves(analysis: StudyAnalysis, metric: str) -> tuple[Curve, ...]:
    """The curves of the named candidates; a candidate with two names has its curves once, under both."""
    found = []
    drawn: set[str] = set()
    for record in analysis.titled.values():
        if record.candidate.key in drawn:
            continue
        drawn.add(record.candidate.key)
        name = " = ".join(analysis.titles(record))
        again = [one for one in analysis.study.replicates if one.candidate.key == record.candidate.key]
        for run in (record, *again):
            epochs = [epoch for epoch in run.curve if metric in epoch.metrics]
            if epochs:
                values = tuple(epoch.metrics[metric] for epoch in epochs)
                found.append(Curve(name, metric, run is record, tuple(epoch.epoch for epoch in epochs), values))
    return tuple(found)


def _panels(analysis: StudyAnalysis) -> list[tuple[Metric, tuple[Curve, ...]]]:
    """The metrics to be drawn and their curves, without metrics that have none."""
    found = [(metric, curves(analysis, metric.key)) for metric in (analysis.accuracy, METRICS["train_loss"])]
    return [(metric, drawn) for metric, drawn in found if drawn]


def plot(panels: Sequence[tuple[Metric, Sequence[Curve]]]) -> dict[str, Any]:
    """The interactive figure: one panel per metric; further seeds are faint."""
    traces: list[dict[str, Any]] = []
    width = 1 / max(1, len(panels))
    layout = layout_of(height=350, legend=True)
    starts = [round(index * width, 3) for index in range(len(panels))]
    layout["annotations"] = panel_titles([metric.heading for metric, _ in panels], starts)
    shown: set[str] = set()
    names = list(dict.fromkeys(curve.name for _, found in panels for curve in found))
    others = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}
    for index, (metric, found) in enumerate(panels):
        side = "" if index == 0 else str(index + 1)
        for curve in found:
            colour = NAMED.get(curve.name.split(" = ")[-1], others[curve.name])
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": plain(curve.name),
                    "legendgroup": curve.name,
                    "showlegend": curve.is_first and curve.name not in shown,
                    "x": list(curve.epochs),
                    "y": [metric.shown(value) for value in curve.values],
                    "xaxis": f"x{side}",
                    "yaxis": f"y{side}",
                    "opacity": 1 if curve.is_first else 0.35,
                    "line": {"color": colour, "width": 2.2 if curve.is_first else 1.2},
                    "marker": {"size": 5 if curve.is_first else 3},
                    "hovertemplate": f"{plain(curve.name)}, epoch %{{x}}: %{{y:.2f}}<extra></extra>",
                }
            )
            if curve.is_first:
                shown.add(curve.name)
        end = round((index + 1) * width - (0.06 if index + 1 < len(panels) else 0), 3)
        layout[f"xaxis{side}"] = axis("Epoch", domain=[starts[index], end], anchor=f"y{side}")
        layout[f"yaxis{side}"] = axis("", anchor=f"x{side}")
    return {"data": traces, "layout": layout}
