"""What a section of a report is, and what it shows. Pages loop over sections; a section knows no page.

A section of your own is a class with these two methods, or a function from the analysis to ``Shown`` (or None where it does not
apply). Compute the data in one function and draw it in another: the test then looks at the data.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gsfnas.errors import UserError, shown
from gsfnas.report._table import Table, check_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from gsfnas.report._analysis import StudyAnalysis

# Plotly's JSON: ``data`` and ``layout``.
Plot = Mapping[str, Any]


@dataclass(frozen=True)
class StripRow:
    """One candidate as a row: one cell a site in depth order, the module's label or nothing."""

    key: str
    names: tuple[str, ...]
    val_top1: float
    macs: float
    cells: tuple[str, ...]


@dataclass(frozen=True)
class StripChart:
    """Candidates as rows of coloured sites, best first; ``colours`` maps module -> colour."""

    sites: tuple[str, ...]
    rows: tuple[StripRow, ...]
    colours: Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """One figure, drawn for paper and for the screen.

    ``draw`` draws on a matplotlib figure of ``size`` (inches), which becomes ``<name>.png`` and ``.svg`` beside the page; style
    and saving are the report's. ``interactive`` is Plotly's JSON, a Plotly figure, or a ``StripChart``; without it the page
    holds the PNG. ``is_empty`` where there is no data yet: the page then says so. ``alt`` says what it shows to those who
    cannot see it, ``caption`` how to read it. Raises UserError for a name that is not lower case letters, digits and
    underscores, and for a figure that is drawn in neither way.
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
    """What a section shows, from top to bottom; a page takes what it can show. All texts are plain, with `names` as code.

    ``title`` heads it on one line. ``sentence`` says how to read what follows; ``printed_sentence`` stands for it on a page
    without buttons. ``paragraphs``, ``bullets`` and ``code`` are more text, a list, and text that keeps its lines.
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
    """One part of a report. Made without arguments where it is given by name or as a class."""

    def applies(self, analysis: "StudyAnalysis") -> bool:
        """Whether the report of this study has the section; it has, unless overridden."""
        return True

    @abstractmethod
    def show(self, analysis: "StudyAnalysis") -> Shown | None:
        """What it shows; None, like ``applies`` false, leaves it out."""
        ...


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UserError(f"{name} must be text, but got {shown(value)}")
