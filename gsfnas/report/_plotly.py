"""What every figure of the page shares, as Plotly's JSON. Colours of text and lines come from the page's style."""

import html
import json
from collections.abc import Sequence
from typing import Any

INK, QUIET = "#555555", "#8a8a8a"
FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "size": 13, "color": INK}


def to_json(plot: Any) -> str:
    """For a script element: nothing in it can end the element or begin a comment. Takes Plotly's own figures too.

    Raises ValueError for a number that is not finite, TypeError for what is no JSON.
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
    """Plotly reads a little markup in its texts; names are none."""
    return html.escape(text, quote=False)
