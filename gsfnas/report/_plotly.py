"""What all interactive figures share, as Plotly's JSON: layout, axes, titles of panels."""

import html
import json
from collections.abc import Sequence
from typing import Any

INK, QUIET = "#555555", "#8a8a8a"
FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "size": 13, "color": INK}


def to_json(plot: Any) -> str:
    """A plot, or a Plotly figure, as JSON for a script element: escaped so that it cannot end the element or open a comment.

    Raises ValueError for a number that is not finite, TypeError for a value that JSON does not have.
    """
    if hasattr(plot, "to_plotly_json"):
        plot = json.loads(plot.to_json())
    text = json.dumps(plot, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def panel_titles(titles: Sequence[str], starts: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "text": f"<b>{plain(title)}</b>",
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


def layout_of(height: int, legend: bool) -> dict[str, Any]:
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


def axis(title: str, **rest: Any) -> dict[str, Any]:
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


def plain(text: str) -> str:
    """Escapes a text: Plotly would interpret tags such as ``<b>`` in it."""
    return html.escape(text, quote=False)
