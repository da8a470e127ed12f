"""What a module at each site is worth, as a figure and a table. ``_worth`` computes it."""

import math
from typing import TYPE_CHECKING, Any

from gsfnas.metrics import METRICS, NOT_RUN, Metric
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import count, in_difference_unit, in_points, quantity, with_unit
from gsfnas.report._cells import effect_cell
from gsfnas.report._effects import Effect
from gsfnas.report._matplotlib import INK, QUIET, say
from gsfnas.report._plotly import QUIET as SOFT
from gsfnas.report._plotly import axis, layout_of, plain
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report._worth import MAX_RUNS, MIN_RUNS, Worth
from gsfnas.report.sections.base import Figure, Section, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


# How sentences name the families of models.
FAMILY_NAMES = {"additive": "additive", "pairwise": "pairwise", "hamming": "Gaussian process"}
# More further runs than so many times those there are, are not worth a number.
MANY = 10


class SiteEffects(Section):
    """Applies to all studies but those of named rows, which have no design."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return not analysis.is_of_rows

    def show(self, analysis: StudyAnalysis) -> Shown:
        effects, metric = analysis.worth, analysis.told
        has_values = any(effect.value is not None for effect in effects.sites)
        figure = Figure(
            name="site_effects",
            alt="What a module at each site is worth, with its 95 % interval",
            interactive=plot(effects, metric) if has_values else None,
            draw=lambda canvas: draw(canvas, effects, metric),
            size=(7.5, 1.4 + 0.34 * max(3, len(effects.sites))),
            is_empty=not has_values,
        )
        return Shown(
            title="What each site is worth",
            sentence=effects_note(analysis),
            tone="warning" if is_warned(effects) else "note",
            figure=figure,
            table=sites(analysis),
        )


def sites(analysis: StudyAnalysis) -> Table:
    """One row per site: its worth in the accuracy, and in that of the test split."""
    known = {site.name: site for site in analysis.study.sites}
    worth = {effect.name: effect for effect in analysis.worth.sites}
    rows = []
    for effects in zip(*(analysis.worths[metric.key].sites for metric in analysis.accuracies), strict=True):
        first = effects[0]
        site = known.get(first.name)
        where = f"{site.channels} × {site.height} × {site.width}" if site else NOT_RUN
        rows.append(
            (
                Cell(first.name, is_code=True),
                Cell(where),
                Cell(f"{first.held} of {first.runs}"),
                *(effect_cell(effect, metric) for effect, metric in zip(effects, analysis.accuracies, strict=True)),
                Cell(_verdict(worth[first.name], analysis.worth.more_runs.get(first.name))),
            )
        )
    columns = (
        Column("Site"),
        Column("Channels × height × width", True),
        Column("Held by", True),
        *(Column(f"{metric.label}{in_difference_unit(metric)}", True) for metric in analysis.accuracies),
        Column("Decided"),
    )
    unit = in_points(analysis)
    caption = (
        f"A module at the site rather than nothing, in {unit} with the 95 % interval; * where it leaves out zero. "
        "Decided: where it is not, about so many more runs would tell."
    )
    return Table("sites", caption, columns, tuple(rows), width="middle")


def _verdict(effect: Effect, more: int | None) -> str:
    if effect.value is None:
        return NOT_RUN
    if effect.is_clear:
        return "yes"
    return "cannot tell" if more is None or more > MANY * effect.runs else f"cannot tell; ~{more} more"


def effects_note(analysis: StudyAnalysis) -> str:
    """How the worth of the sites was computed, and how to read it."""
    worth = analysis.worth
    if not worth.runs:
        return "No run is complete, so nothing can be said about the sites."
    if not worth.model or all(effect.value is None for effect in worth.sites):
        return (
            f"Warning: {count(worth.runs, 'run')} cannot tell the sites apart: that takes at least {MIN_RUNS} complete runs, "
            "and for each site two with a module and two without."
        )
    some = "all" if worth.runs < MAX_RUNS else "a random"
    runs = f"{some} {count(worth.runs, 'complete run')} of {count(worth.candidates, 'candidate')}"
    r2 = ", ".join(f"{FAMILY_NAMES[family]} {_r2(worth.r2[family])}" for family in FAMILY_NAMES if family in worth.r2)
    doubt = (
        " No model predicts a candidate better than the mean of the others does: what differs here is mostly the seeds."
        if max(worth.r2.values()) <= 0
        else ""
    )
    return (
        f"How much {quantity(analysis)} changes with a module at the site rather than nothing, on average over everything that "
        f"may stand elsewhere: the mean and the 95 % interval by the {FAMILY_NAMES[worth.model]} model, given {runs}. Of "
        f"three models it best predicts a candidate from the runs of the others (R² {r2}; 1 is perfect, 0 no better than the "
        f"mean).{doubt} An interval that holds zero is undecided; the number of further runs supposes that the site is worth "
        "what it seems."
    )


def _r2(value: float) -> str:
    return NOT_RUN if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def is_warned(worth: Worth) -> bool:
    """Whether there are runs, but too few to tell any site."""
    return bool(worth.runs) and all(effect.value is None for effect in worth.sites)


def draw(canvas: "Canvas", effects: Worth, metric: Metric = METRICS["val_top1"]) -> None:
    """Draws the figure for paper: points with 95 % intervals, the first site on top."""
    axes = canvas.subplots()
    for row, effect in enumerate(effects.sites):
        if effect.value is None:
            continue
        colour = "#2a83c4" if effect.is_clear else QUIET
        if effect.low is not None and effect.high is not None:
            axes.plot(
                [metric.shown(effect.low), metric.shown(effect.high)],
                [row, row],
                color=colour,
                linewidth=2,
                solid_capstyle="round",
            )
        face = colour if effect.is_clear else "white"
        axes.plot([metric.shown(effect.value)], [row], "o", color=colour, markerfacecolor=face, markersize=7)
    if not any(effect.value is not None for effect in effects.sites):
        say(axes, NOT_RUN)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(effects.sites)), [effect.name for effect in effects.sites])
    axes.set_ylim(len(effects.sites) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    unit = metric.difference_unit or metric.unit
    axes.set_xlabel(
        f"{metric.label}: something at the site rather than nothing ({unit}{', ' if unit else ''}95 % interval)", fontsize=9
    )


def plot(effects: Worth, metric: Metric = METRICS["val_top1"]) -> dict[str, Any]:
    """The interactive figure: points with 95 % intervals, the first site on top."""
    traces: list[dict[str, Any]] = []
    form = ".4g" if metric.digits is None else f".{metric.digits}f"
    unit = plain(with_unit("", metric.difference_unit or metric.unit).rstrip())
    for is_clear, name, colour, symbol in (
        (True, "interval leaves out zero", "#2a83c4", "circle"),
        (False, "interval holds zero", SOFT, "circle-open"),
    ):
        chosen = [effect for effect in effects.sites if effect.value is not None and effect.is_clear == is_clear]
        if not chosen:
            continue
        values = [metric.shown(effect.value or 0.0) for effect in chosen]
        upper = [metric.shown((effect.high if effect.high is not None else effect.value) or 0.0) for effect in chosen]
        lower = [metric.shown((effect.low if effect.low is not None else effect.value) or 0.0) for effect in chosen]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": values,
                "y": [plain(effect.name) for effect in chosen],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value for high, value in zip(upper, values, strict=True)],
                    "arrayminus": [value - low for low, value in zip(lower, values, strict=True)],
                    "color": colour,
                    "thickness": 2,
                    "width": 0,
                },
                "marker": {"size": 10, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
                "customdata": [[low, high, effect.held] for low, high, effect in zip(lower, upper, chosen, strict=True)],
                "hovertemplate": f"<b>%{{y}}</b><br>%{{x:+{form}}}{unit}, 95 % interval %{{customdata[0]:+{form}}} to "
                f"%{{customdata[1]:+{form}}}<br>held by %{{customdata[2]}} of {effects.runs}<extra></extra>",
            }
        )
    names = [plain(effect.name) for effect in effects.sites]
    layout = layout_of(height=140 + 30 * max(3, len(names)), legend=True)
    layout |= {
        "xaxis": axis(plain(f"{metric.label}{in_difference_unit(metric)}"))
        | {"zeroline": True, "zerolinewidth": 1.5, "zerolinecolor": SOFT},
        "yaxis": axis("")
        | {
            "categoryorder": "array",
            "categoryarray": names,
            "range": [len(names) - 0.4, -0.6],
            "automargin": True,
            "showgrid": False,
            "nticks": 0,
        },
    }
    return {"data": traces, "layout": layout}
