"""The contents of a report: calls each section once and checks what it returns. Pages only lay it out."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from gsfnas import component
from gsfnas.errors import UserError, shortened, shown
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import title
from gsfnas.report._plotly import to_json
from gsfnas.report._style import module_colours, module_signs
from gsfnas.report.sections._load import KIND
from gsfnas.report.sections.base import Figure, Section, Shown, StripChart

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """What the pages lay out. ``sections`` and ``plots`` (Plotly's JSON) are keyed by the name of the section, in order.

    ``colours`` and ``signs`` map a module to its colour and its character in a strip of sites.
    """

    study: str
    title: str
    sections: Mapping[str, Shown]
    plots: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)

    @property
    def drawn(self) -> dict[str, Figure]:
        """Section -> its figure, for the figures that become files."""
        return {
            name: one.figure for name, one in self.sections.items() if one.figure is not None and one.figure.draw is not None
        }

    @property
    def files_note(self) -> str:
        """A sentence that lists the other files of the report."""
        first, *others = [f"`{name}`" for name in sorted(figure.name for figure in self.drawn.values())] or [""]
        figures = f"{first[:-1]}.png` and `.svg`, " if first else ""
        if others:
            figures += f"{', '.join(others[:-1])}{' and ' if others[1:] else ''}{others[-1]} likewise, "
        return (
            f"Beside this file: `trials.csv` (every run, with its candidate as JSON), {figures}"
            "`study.yaml` (the resolved study), `env.json` (where it ran)."
        )


def contents_of(analysis: StudyAnalysis, sections: Mapping[str, Section]) -> Contents:
    """Calls every section that applies. Raises UserError, naming the section, if one fails or returns something unusable."""
    shown_by: dict[str, Shown] = {}
    plots: dict[str, str] = {}
    for name, section in sections.items():
        found = asked(name, _show, section, analysis)
        if found is None:
            continue
        if not isinstance(found, Shown):
            raise UserError(f"{KIND} {shown(name)} must show a gsfnas.report.Shown or None, but got {shown(found)}")
        shown_by[name] = found
        plot = found.figure.interactive if found.figure is not None else None
        if plot is not None and not isinstance(plot, StripChart):
            plots[name] = asked(name, to_json, plot)
    for kind in ("figure", "table"):
        names = Counter(part.name for one in shown_by.values() if (part := getattr(one, kind)) is not None)
        if twice := [name for name, number in names.items() if number > 1]:
            raise UserError(f"two {KIND}s have a {kind} named {twice[0]!r}; a name stands for one {kind}")
    return Contents(analysis.study.name, title(analysis), shown_by, plots, module_colours(analysis), module_signs(analysis))


def draw(contents: Contents) -> dict[str, bytes]:
    """Draws the figures: file name -> content. Raises UserError, naming the section, if a figure cannot be drawn."""
    files: dict[str, bytes] = {}
    for name, figure in contents.drawn.items():
        # Imported late: a report without figures does not need matplotlib.
        from gsfnas.report._matplotlib import drawn

        files |= {f"{figure.name}{suffix}": content for suffix, content in asked(name, drawn, figure).items()}
    return files


def asked(name: str, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """The result of a call into a section. Whatever it raises becomes a UserError, one line with the name of the section."""
    try:
        return call(*arguments, **options)
    except MemoryError:
        raise
    except UserError as error:
        raise UserError(f"{KIND} {shown(name)}: {shortened(str(error))}") from error
    except Exception as error:
        raise UserError(f"{KIND} {shown(name)} failed ({shortened(component.where(error))})") from error


def _show(section: Section, analysis: StudyAnalysis) -> Shown | None:
    return section.show(analysis) if section.applies(analysis) else None
