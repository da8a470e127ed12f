"""The effect of a module at each site, as a figure and a table. ``_effects`` computes it."""

from typing import TYPE_CHECKING, Any

from gsfnas.metrics import METRICS, NOT_RUN, Metric
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import count, in_difference_unit, in_points, quantity, with_unit
from gsfnas.report._cells import effect_cell
from gsfnas.report._effects import Effects
from gsfnas.report._matplotlib import INK, QUIET, say
from gsfnas.report._plotly import QUIET as SOFT
from gsfnas.report._plotly import axis, layout_of, plain
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Figure, Section, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class SiteEffects(Section):
    """Applies to all studies but those of named rows, which have no design."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return not analysis.is_of_rows

    def show(self, analysis: StudyAnalysis) -> Shown:
        effects, metric = analysis.effects[analysis.accuracy.key], analysis.accuracy
        has_values = any(effect.value is not None for effect in effects.sites)
        figure = Figure(
            name="site_effects",
            alt="Main effect of each site with its 95 % interval",
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
    """One row per site: its effect on the accuracy, and on that of the test split."""
    known = {site.name: site for site in analysis.study.sites}
    rows = []
    for effects in zip(*(analysis.effects[metric.key].sites for metric in analysis.accuracies), strict=True):
        first = effects[0]
        site = known.get(first.name)
        where = f"{site.channels} × {site.height} × {site.width}" if site else NOT_RUN
        rows.append(
            (
                Cell(first.name, is_code=True),
                Cell(where),
                Cell(f"{first.held} of {first.runs}"),
                *(effect_cell(effect, metric) for effect, metric in zip(effects, analysis.accuracies, strict=True)),
            )
        )
    columns = (
        Column("Site"),
        Column("Channels × height × width", True),
        Column("Held by", True),
        *(Column(f"{metric.label}{in_difference_unit(metric)}", True) for metric in analysis.accuracies),
    )
    unit = in_points(analysis)
    caption = f"A module at the site rather than nothing, in {unit} with the 95 % interval; * where it leaves out zero."
    return Table("sites", caption, columns, tuple(rows), width="middle")


def effects_note(analysis: StudyAnalysis) -> str:
    """How the effects were computed, and how to read them."""
    metric = analysis.accuracy
    effects = analysis.effects[metric.key]
    if not effects.runs:
        return "No run is complete, so nothing can be said about the sites."
    if effects.is_least_squares:
        deviation = with_unit(metric.text(effects.residual_std), metric.difference_unit or metric.unit)
        return (
            f"Main effects by least squares over the {effects.runs} runs of {effects.source}, in which the sampler had no say: "
            f"how much {quantity(analysis)} changes, averaged over what stands elsewhere, with something at the site rather "
            "than nothing. "
            f"95 % intervals from the t-distribution with {count(effects.freedom, 'degree')} of freedom (residual standard "
            f"deviation {deviation}). Interactions between sites are not in the model: they "
            "widen the intervals."
        )
    if all(effect.value is None for effect in effects.sites):
        return (
            f"Warning: {count(effects.runs, 'run')} cannot tell the sites apart: each site needs at least two complete runs "
            "with a module and two without."
        )
    return (
        "Warning: the balanced design is too small for least squares, which needs at least "
        f"{effects.parameters + 2} complete runs that tell the {effects.parameters - 1} sites apart. These are plain "
        f"differences of means over {effects.source} ({effects.runs}), the sampler's included, with bootstrapped 95 % "
        "intervals. What stands at the other sites is not taken out: read them as hints."
    )


def is_warned(effects: Effects) -> bool:
    """Whether the effects were computed without a sufficient balanced design."""
    return bool(effects.runs) and not effects.is_least_squares


def draw(canvas: "Canvas", effects: Effects, metric: Metric = METRICS["val_top1"]) -> None:
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


def plot(effects: Effects, metric: Metric = METRICS["val_top1"]) -> dict[str, Any]:
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
