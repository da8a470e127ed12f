"""The report as one HTML file that loads nothing. The templates escape all text."""

import base64
import re
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gsfnas.metrics import NOT_RUN
from gsfnas.report._contents import Contents
from gsfnas.report._plotly import to_json
from gsfnas.report._style import module_of
from gsfnas.report.sections.base import StripChart

# The page may run its own scripts, and must not load anything.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
# Cells with longer texts may break into lines.
LONG = 48


def page(contents: Contents, images: Mapping[str, bytes]) -> str:
    """The content of report.html. ``images``: the files of the figures, used for figures that have no interactive form."""
    from plotly.offline import get_plotlyjs

    plots = ",".join(f"{to_json(name)}:{plot}" for name, plot in contents.plots.items())
    return (
        _environment()
        .get_template("report.html")
        .render(
            contents=contents,
            images=images,
            policy=POLICY,
            style=_resource("page.css"),
            script=_resource("page.js"),
            library=Markup(get_plotlyjs()),
            plots=Markup(f"{{{plots}}}"),
            not_run=NOT_RUN,
            long=LONG,
        )
    )


def prose(text: str) -> Markup:
    """Escapes a text, sets `names` as code, and keeps numbers on one line with their units."""
    kept = text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(kept))))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gsfnas.report.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": prose, "module_of": module_of, "data_uri": _data_uri}
    environment.tests["strip_chart"] = lambda figure: isinstance(figure, StripChart)
    return environment


def _resource(name: str) -> Markup:
    """A file of this package, not escaped."""
    return Markup(files("gsfnas.report.pages").joinpath(name).read_text(encoding="utf-8"))


def _data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
