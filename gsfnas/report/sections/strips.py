"""The best candidates as rows of sites: which module is where."""

from typing import TYPE_CHECKING

from matplotlib.patches import Patch, Rectangle

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import where_ranked, with_unit
from gsfnas.report._matplotlib import say
from gsfnas.report._style import module_colours, module_of, strip_of
from gsfnas.report.sections.base import Figure, Section, Shown, StripChart, StripRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MAX_STRIPS = 60


class Strips(Section):
    """One row per candidate, one cell per site."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        chart = strips(analysis)
        figure = Figure(
            name="strips",
            alt="Candidates as rows of sites, best first",
            interactive=chart,
            draw=lambda canvas: draw(canvas, chart),
            size=(3.6 + 0.42 * max(4, len(chart.sites)), 1.9 + 0.24 * max(3, len(chart.rows))),
            is_empty=not chart.rows,
        )
        return Shown("The candidates as strips of sites", strips_note(analysis), figure=figure)


def strips(analysis: StudyAnalysis) -> StripChart:
    """The data of the figure: the best ``MAX_STRIPS`` candidates, best first."""
    rows = tuple(
        StripRow(
            key=record.candidate.key,
            names=analysis.titles(record),
            accuracy=record.value(analysis.accuracy),
            cost=record.value(analysis.cost),
            cells=strip_of(record.candidate, analysis.sites),
        )
        for record in analysis.ranked[:MAX_STRIPS]
    )
    return StripChart(analysis.sites, rows, module_colours(analysis), analysis.accuracy, analysis.cost)


def strips_note(analysis: StudyAnalysis) -> str:
    """How to read the rows and cells."""
    left_out = len(analysis.ranked) - MAX_STRIPS
    more = f" The best {MAX_STRIPS} are drawn; {left_out} more are in the table." if left_out > 0 else ""
    return (
        f"One row a candidate, best {where_ranked(analysis)} first; one cell a site, from the input (left) to the head "
        f"(right).{more}"
    )


def draw(canvas: "Canvas", chart: StripChart) -> None:
    """Draws the figure for paper: rows of coloured cells, labelled with the accuracy."""
    sites, rows = chart.sites, chart.rows
    axes = canvas.subplots()
    for row, strip in enumerate(rows):
        for column, cell in enumerate(strip.cells):
            face = chart.colours[module_of(cell)] if cell else "#ececec"
            axes.add_patch(Rectangle((column - 0.45, row - 0.4), 0.9, 0.8, facecolor=face, edgecolor="none"))
    axes.set_xlim(-0.6, max(1, len(sites)) - 0.4)
    axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
    accuracies = [with_unit(chart.accuracy.text(strip.accuracy), chart.accuracy.unit) for strip in rows]
    labels = [f"{' = '.join(strip.names)}  {text}".strip() for strip, text in zip(rows, accuracies, strict=True)]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_xticks(range(len(sites)), sites, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not rows:
        say(axes, "not run")
    elif chart.colours:
        patches = [Patch(color=colour, label=module) for module, colour in chart.colours.items()]
        canvas.legend(handles=patches, loc="outside upper left", ncols=4, fontsize=8)
