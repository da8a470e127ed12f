"""The figures of the page, as Plotly's JSON: colours of text and lines come from the page's style, so that they follow it."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from gsfnas.report._effects import Effects
from gsfnas.report._figures import FRONT_COLOUR, NAMED, PALETTE, PHASES, Curve, Point
from gsfnas.report._metrics import METRICS, Metric

Plot = dict[str, Any]

SYMBOLS = {"anchor": "square", "design": "circle", "search": "diamond", "row": "circle"}
INK, QUIET = "#555555", "#8a8a8a"
FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "size": 13, "color": INK}
PERCENT, GMACS = METRICS["val_top1"], METRICS["macs_fvcore"]


def accuracy_plot(points: Sequence[Point]) -> Plot:
    """Accuracy against GMACs: validation with the front on the left, the same candidates on test on the right."""
    traces: list[Plot] = []
    for axis, metric in (("", "val_top1"), ("2", "test_top1")):
        known = [point for point in points if metric in point.accuracy]
        front = sorted((point for point in known if point.on_front), key=lambda point: point.gmacs)
        traces.append(
            _trace(
                front,
                metric,
                axis,
                name="Pareto front",
                mode="lines+markers" if not axis else "markers",
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
                        axis,
                        name=name,
                        mode="markers",
                        marker={"size": 9, "symbol": SYMBOLS[phase], "color": colour},
                        text=[_hover(point) for point in chosen],
                        hovertemplate="%{text}<extra></extra>",
                    )
                )
        traces += _spread_traces(known, metric, axis)
    layout = _layout(height=490, legend=True)
    layout |= {
        "xaxis": _axis("GMACs a clip (fvcore)", domain=[0, 0.485]),
        "xaxis2": _axis("GMACs a clip (fvcore)", domain=[0.515, 1], matches="x", anchor="y2"),
        "yaxis": _axis("Top-1 (%)"),
        "yaxis2": _axis("", matches="y", anchor="x2", showticklabels=False),
        "annotations": [
            *_panel_titles(["Validation (selects the front)", "Test (reported beside)"], [0, 0.515]),
            *_names(points, "val_top1", ""),
            *_names(points, "test_top1", "2"),
        ],
    }
    return {"data": traces, "layout": layout}


def effects_plot(effects: Effects) -> Plot:
    """What each site is worth, in points with the 95 % interval; the first site on top."""
    traces: list[Plot] = []
    for is_clear, name, colour, symbol in (
        (True, "interval leaves out zero", "#2a83c4", "circle"),
        (False, "interval holds zero", QUIET, "circle-open"),
    ):
        chosen = [effect for effect in effects.sites if effect.value is not None and effect.is_clear == is_clear]
        if not chosen:
            continue
        values = [100 * (effect.value or 0.0) for effect in chosen]
        upper = [100 * ((effect.high if effect.high is not None else effect.value) or 0.0) for effect in chosen]
        lower = [100 * ((effect.low if effect.low is not None else effect.value) or 0.0) for effect in chosen]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": values,
                "y": [_text(effect.name) for effect in chosen],
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
                "hovertemplate": "<b>%{y}</b><br>%{x:+.1f} points, 95 % interval %{customdata[0]:+.1f} to "
                "%{customdata[1]:+.1f}<br>held by %{customdata[2]} of " + str(effects.runs) + "<extra></extra>",
            }
        )
    names = [_text(effect.name) for effect in effects.sites]
    layout = _layout(height=140 + 30 * max(3, len(names)), legend=True)
    layout |= {
        "xaxis": _axis("Validation top-1 (points)") | {"zeroline": True, "zerolinewidth": 1.5, "zerolinecolor": QUIET},
        "yaxis": _axis("")
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


def curves_plot(curves: Sequence[tuple[Metric, Sequence[Curve]]]) -> Plot:
    """Learning curves of the named candidates, one panel a metric; further seeds are faint."""
    traces: list[Plot] = []
    width = 1 / max(1, len(curves))
    layout = _layout(height=350, legend=True)
    starts = [round(index * width, 3) for index in range(len(curves))]
    layout["annotations"] = _panel_titles([metric.heading for metric, _ in curves], starts)
    shown: set[str] = set()
    names = list(dict.fromkeys(curve.name for _, found in curves for curve in found))
    others = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}
    for index, (metric, found) in enumerate(curves):
        axis = "" if index == 0 else str(index + 1)
        for curve in found:
            colour = NAMED.get(curve.name.split(" = ")[-1], others[curve.name])
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": _text(curve.name),
                    "legendgroup": curve.name,
                    "showlegend": curve.is_first and curve.name not in shown,
                    "x": list(curve.epochs),
                    "y": [metric.shown(value) for value in curve.values],
                    "xaxis": f"x{axis}",
                    "yaxis": f"y{axis}",
                    "opacity": 1 if curve.is_first else 0.35,
                    "line": {"color": colour, "width": 2.2 if curve.is_first else 1.2},
                    "marker": {"size": 5 if curve.is_first else 3},
                    "hovertemplate": f"{_text(curve.name)}, epoch %{{x}}: %{{y:.2f}}<extra></extra>",
                }
            )
            if curve.is_first:
                shown.add(curve.name)
        end = round((index + 1) * width - (0.06 if index + 1 < len(curves) else 0), 3)
        layout[f"xaxis{axis}"] = _axis("Epoch", domain=[starts[index], end], anchor=f"y{axis}")
        layout[f"yaxis{axis}"] = _axis("", anchor=f"x{axis}")
    return {"data": traces, "layout": layout}


def to_json(plots: dict[str, Plot]) -> str:
    """For a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(plots, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _trace(points: Sequence[Point], metric: str, axis: str, **rest: Any) -> Plot:
    return {
        "type": "scatter",
        "x": [point.gmacs for point in points],
        "y": [100 * point.accuracy[metric] for point in points],
        "customdata": [point.key for point in points],
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "legendgroup": rest["name"],
        "showlegend": not axis,
        **rest,
    }


def _spread_traces(points: Sequence[Point], metric: str, axis: str) -> Iterable[Plot]:
    several = [(point, point.spreads[metric]) for point in points if metric in point.spreads]
    if several:
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": "mean ± std over seeds",
            "legendgroup": "seeds",
            "showlegend": not axis,
            "x": [point.gmacs for point, _ in several],
            "y": [100 * spread.mean for _, spread in several],
            "xaxis": f"x{axis}",
            "yaxis": f"y{axis}",
            "error_y": {
                "type": "data",
                "array": [100 * (spread.std or 0.0) for _, spread in several],
                "thickness": 1.5,
                "width": 5,
                "color": INK,
            },
            "marker": {"symbol": "line-ew", "size": 9, "color": INK, "line": {"width": 2, "color": INK}},
            "hoverinfo": "skip",
        }


def _names(points: Sequence[Point], metric: str, axis: str) -> Iterable[Plot]:
    """Names beside the anchors and the best: inwards, the best above its point and the others below."""
    middle = (min((p.gmacs for p in points), default=0) + max((p.gmacs for p in points), default=0)) / 2
    for point in points:
        if point.names and metric in point.accuracy:
            right, up = point.gmacs <= middle, "best" in point.names
            yield {
                "x": point.gmacs,
                "y": 100 * point.accuracy[metric],
                "xref": f"x{axis}",
                "yref": f"y{axis}",
                "text": f"<b>{_text(' = '.join(point.names))}</b>",
                "showarrow": False,
                "xanchor": "left" if right else "right",
                "xshift": 10 if right else -10,
                "yshift": 20 if up else -20,
            }


def _hover(point: Point) -> str:
    heads = f"<b>{_text(' = '.join(point.names) or point.key)}</b>"
    key = f"<br>{_text(point.key)}" if point.names else ""
    numbers = [f"{GMACS.text(point.gmacs * 1e9)} GMACs"]
    for name, where in (("val_top1", "validation"), ("test_top1", "test")):
        if name in point.accuracy:
            spread = point.spreads.get(name)
            several = (
                "" if spread is None else f" ({PERCENT.text(spread.mean)} ± {PERCENT.text(spread.std)}, {spread.seeds} seeds)"
            )
            numbers.append(f"{where} {PERCENT.text(point.accuracy[name])} %{several}")
    held = "<br>".join(_text(part) for part in point.sites.split(", "))
    front = "<br>on the Pareto front" if point.on_front else ""
    return f"{heads}{key}<br>" + "<br>".join(numbers) + f"{front}<br>{held}"


def _panel_titles(titles: Sequence[str], starts: Sequence[float]) -> list[Plot]:
    return [
        {
            "text": f"<b>{_text(title)}</b>",
            "x": start,
            "y": 1,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "yshift": 8,
            "showarrow": False,
        }
        for title, start in zip(titles, starts, strict=True)
    ]


def _layout(height: int, legend: bool) -> Plot:
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 40, "b": 110},
        "font": FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": QUIET, "activecolor": INK},
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#cccccc",
            "font": {"color": "#222222", "size": 12},
            "align": "left",
        },
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
    }


def _axis(title: str, **rest: Any) -> Plot:
    return {
        "title": {"text": title, "standoff": 10},
        "gridcolor": "#e3e3e3",
        "zeroline": False,
        "linecolor": QUIET,
        "ticks": "outside",
        "tickcolor": QUIET,
        "ticklen": 4,
        "nticks": 7,
        **rest,
    }


def _text(text: str) -> str:
    """Plotly reads a little markup in its texts; names are none."""
    return html.escape(text, quote=False)
