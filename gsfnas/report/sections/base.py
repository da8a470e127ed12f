"""The protocol of a section of a report, and what a section returns.

A section of your own is a class with the two methods of ``Section``, or a function that takes the analysis and returns a
``Shown``, or None if it does not apply. Compute the data in one function and draw them in another, so that a test can look at
the data.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gsfnas.errors import UserError, shown
from gsfnas.metrics import METRICS, Metric
from gsfnas.report._table import Table, check_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from gsfnas.report._analysis import StudyAnalysis

# Plotly's JSON, with ``data`` and ``layout``.
Plot = Mapping[str, Any]


@dataclass(frozen=True)
class StripRow:
    """One candidate: ``cells`` holds the module's label for each site in depth order, or an empty text.

    ``accuracy`` and ``cost`` are values of the chart's two metrics.
    """

    key: str
    names: tuple[str, ...]
    accuracy: float | None
    cost: float | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class StripChart:
    """Candidates as rows of coloured cells, one per site, best candidate first; ``colours`` maps module -> colour.

    ``accuracy`` and ``cost`` are the metrics that stand beside each row.
    """

    sites: tuple[str, ...]
    rows: tuple[StripRow, ...]
    colours: Mapping[str, str]
    accuracy: Metric = METRICS["val_top1"]
    cost: Metric = METRICS["macs_fvcore"]

    @property
    def decimals(self) -> int:
        """The number of decimals of the costs."""
        return self.cost.decimals(row.cost for row in self.rows if row.cost is not None)


@dataclass(frozen=True)
class Figure:
    """A figure in up to two forms, for paper and for the screen.

    ``draw`` draws on a matplotlib figure of ``size`` (inches). The report sets the style and saves it as ``<name>.png`` and
    ``<name>.svg``. ``interactive`` is Plotly's JSON, a Plotly figure, or a ``StripChart``; without it the HTML page shows the
    PNG. ``is_empty``: there are no data yet, and the HTML page says ``not run``. ``alt`` describes the figure for readers who
    cannot see it; ``caption`` says how to read it.

    Raises UserError for a name that is not lower case letters, digits and underscores, and for a figure that has neither form.
    """

    name: str
    alt: str
    interactive: Any = None
    draw: "Callable[[Canvas], None] | None" = None
    size: tuple[float, float] = (7.5, 4.5)
    caption: str = ""
    is_empty: bool = False

    def __post_init__(self) -> None:
        check_name("figure", self.name)
        for name in ("alt", "caption"):
            _check_text(f"figure {self.name!r}: {name}", getattr(self, name))
        if self.draw is not None and not callable(self.draw):
            raise UserError(f"figure {self.name!r}: draw must be a function of a matplotlib figure, but got {shown(self.draw)}")
        if self.draw is None and self.interactive is None and not self.is_empty:
            raise UserError(f"figure {self.name!r} needs `draw` or `interactive`, or says that it `is_empty`")


@dataclass(frozen=True)
class Shown:
    """What a section shows, from top to bottom. All texts are plain; text in `backticks` is set as code.

    ``title`` is the heading, one line. ``sentence`` explains the section, in the style ``tone``; a page without buttons uses
    ``printed_sentence`` instead, if given. ``paragraphs`` are further text, ``bullets`` a list, ``code`` preformatted text.
    Raises UserError for a value of the wrong type.
    """

    title: str = ""
    sentence: str = ""
    printed_sentence: str | None = None
    tone: Literal["lead", "note", "warning"] = "note"
    paragraphs: tuple[str, ...] = ()
    figure: Figure | None = None
    table: Table | None = None
    bullets: tuple[str, ...] = ()
    code: str = ""

    def __post_init__(self) -> None:
        _check_text("title", self.title)
        if len(self.title.splitlines()) > 1:
            raise UserError(f"title must be one line, but got {shown(self.title)}")
        texts = {"sentence": self.sentence, "printed_sentence": self.printed_sentence or "", "code": self.code}
        for name, text in texts.items():
            _check_text(name, text)
        for name, group in (("paragraphs", self.paragraphs), ("bullets", self.bullets)):
            if isinstance(group, str):
                raise UserError(f"{name} must be several texts, but got one: {shown(group)}")
            for text in group:
                _check_text(f"each of {name}", text)
        for kind, value, wanted in (("figure", self.figure, Figure), ("table", self.table, Table)):
            if value is not None and not isinstance(value, wanted):
                raise UserError(f"{kind} must be a gsfnas.report.{wanted.__name__}, but got {shown(value)}")
        if self.tone not in ("lead", "note", "warning"):
            raise UserError(f"tone must be lead, note or warning, but got {shown(self.tone)}")


class Section(Protocol):
    """One section of a report. A class that is given by name, or as such, is instantiated without arguments."""

    def applies(self, analysis: "StudyAnalysis") -> bool:
        """Whether the section belongs in the report of this study; True unless overridden."""
        return True

    @abstractmethod
    def show(self, analysis: "StudyAnalysis") -> Shown | None:
        """What the section shows; None leaves it out, as if ``applies`` were false."""
        ...


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UserError(f"{name} must be text, but got {shown(value)}")
