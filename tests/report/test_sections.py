"""Our own sections pass the suite that strangers inherit; a stranger's is given by name, class, instance or function."""

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from gsfnas import component
from gsfnas.errors import UserError
from gsfnas.report import (
    SECTIONS,
    Cell,
    Figure,
    Section,
    Shown,
    StripChart,
    StripRow,
    StudyAnalysis,
    Table,
    build_report,
    check_sections,
)
from gsfnas.report.sections._load import load_sections
from gsfnas.report.sections.summary import Summary
from gsfnas.testing import records as synthetic
from gsfnas.testing.section import Page, SectionConformance

COUNTER = itertools.count()


class TestOurs(SectionConformance):
    @pytest.fixture(params=SECTIONS)
    def section(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    # ``test_build`` looks at all of them at once, and in a process of its own this takes seconds.
    test_is_imported_without_a_heavy_library = None


class Slowest(Section):
    """Data first, then a table and a figure of it."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return len(analysis.ranked) > 1

    def show(self, analysis: StudyAnalysis) -> Shown:
        rows = slowest(analysis)
        return Shown(
            title="The slowest runs",
            sentence=f"`{rows[0][0]}` took longest in {analysis.study.name}.",
            bullets=tuple(key for key, _ in rows),
            table=Table.of("slowest", "Time of each run.", ["Candidate", "Time (s)"], rows),
            figure=Figure("slowest", "Time of each run", draw=lambda canvas: canvas.subplots().plot([one for _, one in rows])),
        )


def slowest(analysis: StudyAnalysis) -> list[tuple[str, float]]:
    return sorted(((record.candidate.key, record.seconds) for record in analysis.ranked), key=lambda row: -row[1])[:5]


def count(analysis: StudyAnalysis) -> Shown | None:
    """A section as a function, with a figure of Plotly's own."""
    if not analysis.ranked:
        return None
    bar = go.Figure(go.Bar(y=[one.value("val_top1") for one in analysis.ranked]), layout={"template": "none"})
    return Shown("Count", paragraphs=(f"{len(analysis.ranked)} runs",), figure=Figure("count", "Bars", bar))


class TestStrangersClass(SectionConformance):
    @pytest.fixture
    def section(self) -> Any:
        return Slowest


class TestStrangersFunction(SectionConformance):
    @pytest.fixture
    def section(self) -> Any:
        return count


class TestStrangersName(SectionConformance):
    @pytest.fixture
    def section(self) -> Any:
        return f"{__name__}:Slowest"


def built(folder: Path, *sections: Any, **options: Any) -> tuple[str, str]:
    """report.html and report.md of these sections."""
    made = build_report(synthetic.hand_study(), folder / "report", sections, **options).parent
    return (made / "report.html").read_text(encoding="utf-8"), (made / "report.md").read_text(encoding="utf-8")


def empty(analysis: StudyAnalysis) -> Shown:
    return Shown("A heading alone")


def changing(analysis: StudyAnalysis) -> Shown:
    return Shown("Changing", str(next(COUNTER)))


def guilty(analysis: StudyAnalysis) -> Shown:
    analysis.study.environments.clear()  # type: ignore[attr-defined]
    return Shown("Guilty", "text")


def not_a_number(analysis: StudyAnalysis) -> Shown:
    return Shown("Mean", f"{math.nan} points")


def clashing(analysis: StudyAnalysis) -> Shown:
    return Shown("Mine", table=Table.of("candidates", "", ["a"], [[1]]))


def test_the_suite_sees_what_is_wrong(tmp_path: Path) -> None:
    """A section that breaks a promise fails the test of that promise."""
    suite = SectionConformance()
    with pytest.raises(AssertionError, match="nothing below it"):
        suite.test_is_left_out_where_it_does_not_apply(empty, "placement")
    with pytest.raises(AssertionError, match=r"report\.html differs|report\.md differs"):
        suite.test_the_same_study_gives_the_same_files(changing, tmp_path)
    with pytest.raises(AssertionError):
        suite.test_changes_nothing_of_the_study(guilty, "placement")
    with pytest.raises(AssertionError, match="leave out what is not known"):
        suite.test_shows_any_study(not_a_number, "placement")
    with pytest.raises(UserError, match="two report sections have a table named 'candidates'"):
        suite.test_stands_beside_all_others(clashing, "placement")
    with pytest.raises(NotImplementedError, match="give the section"):
        SectionConformance.section.__wrapped__(suite)  # type: ignore[attr-defined]


class TestHeavy(SectionConformance):
    """What imports torch while it is shown is caught, whether or not another test has loaded torch."""

    @pytest.fixture
    def section(self) -> Any:
        def heavy(analysis: StudyAnalysis) -> Shown:
            import torch

            return Shown("Heavy", torch.__version__)

        return heavy

    def test_shows_any_study(self, section: Any) -> None:  # type: ignore[override]
        with pytest.raises(UserError, match="imports torch, which reports do without"):
            super().test_shows_any_study(section, "placement")

    test_is_left_out_where_it_does_not_apply = None  # type: ignore[assignment]
    test_names_are_text_and_never_markup = None  # type: ignore[assignment]
    test_the_same_study_gives_the_same_files = None  # type: ignore[assignment]
    test_changes_nothing_of_the_study = None  # type: ignore[assignment]
    test_stands_beside_all_others = None  # type: ignore[assignment]
    test_is_imported_without_a_heavy_library = None  # type: ignore[assignment]


def test_sections_stand_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    page, text = built(tmp_path, "caveats", Slowest, Summary(), count)
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["What to hold against these numbers", "The slowest runs", "Count"]
    assert re.findall(r"(?m)^## (.*)$", text) == ["What to hold against these numbers", "The slowest runs", "Count"]
    assert text.index("Of the 256 candidates") > text.index("The slowest runs")
    # No shipped figure was asked for.
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *("report.html", "report.md", "trials.csv", "study.yaml", "env.json", "slowest.png", "slowest.svg")
    }
    assert "`slowest.png` and `.svg`, `study.yaml`" in text


def test_a_figure_without_plotly_is_an_image_on_the_page(tmp_path: Path) -> None:
    page = Page(built(tmp_path, Slowest)[0])
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert (image["src"] or "").startswith("data:image/png;base64,iVBOR")
    assert image["alt"] == "Time of each run"


def test_default_stands_for_all_shipped(tmp_path: Path) -> None:
    assert list(load_sections()) == list(load_sections(["default"])) == list(SECTIONS)
    assert list(load_sections(["default", Slowest])) == [*SECTIONS, f"{__name__}:Slowest"]


def test_a_table_of_plain_values() -> None:
    table = Table.of("t", "caption", ["Name", "Number", "Mixed"], [["a", 1234, None], ["b", 0.123456, 2]])
    assert [column.is_number for column in table.columns] == [False, True, False]
    assert [[cell.text for cell in row] for row in table.rows] == [["a", "1,234", ""], ["b", "0.1235", "2"]]
    assert table.rows[1][1].sort == 0.123456
    assert Cell.of(table.rows[0][0]) is table.rows[0][0]


MARKUP = "<img src=x onerror=alert(1)>"


def test_nothing_that_a_section_shows_is_markup(tmp_path: Path) -> None:
    """Every text there is, in its own place, on both pages."""

    def section(analysis: StudyAnalysis) -> Shown:
        strip = Cell(MARKUP, MARKUP, strip=(f"{MARKUP}:1", ""))
        rows = [[Cell(MARKUP, is_code=True), strip, Cell("c", copy=MARKUP)], [Cell(MARKUP), Cell(MARKUP * 3), Cell("")]]
        chart = StripChart((MARKUP,), (StripRow(MARKUP, (MARKUP,), 0.5, 1e9, (f"{MARKUP}:1",)),), {MARKUP: MARKUP})
        return Shown(
            *(MARKUP, f"`{MARKUP}` {MARKUP}", MARKUP),
            paragraphs=(MARKUP,),
            figure=Figure("f", MARKUP, chart, caption=MARKUP),
            table=Table.of("t", MARKUP, [MARKUP, MARKUP, MARKUP], rows, width=MARKUP),
            bullets=(MARKUP,),
            code=MARKUP,
        )

    def plotted(analysis: StudyAnalysis) -> Shown:
        plot = {"data": [{"text": [f"</script>{MARKUP}"]}], "layout": {"title": {"text": MARKUP}}}
        return Shown("Plot", figure=Figure("g", MARKUP, plot, lambda canvas: None, caption=MARKUP))

    page, text = built(tmp_path, section, plotted)
    parsed = Page(page)
    assert parsed.open == []
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    assert parsed.words().count(MARKUP) >= 12
    assert "<img" not in re.sub(r"(?m)^    .*$", "", text)
    assert "</script>" not in next(text for tag, text in parsed.text if tag == "script" and text.startswith("{"))


class Lacking:
    def applies(self, analysis: StudyAnalysis) -> bool:
        return True


class Demanding(Lacking):
    def __init__(self, what: str) -> None:
        self.what = what


class Abstract(Section):
    pass


def shows(shown: Any) -> Any:
    return lambda analysis: shown() if callable(shown) else shown


def divided(canvas: Any) -> None:
    raise ZeroDivisionError("float division by zero\nand a second line")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("sumary", r"unknown report section 'sumary'; did you mean 'summary'\?"),
        ("defaults", r"did you mean 'default'\?"),
        ("json:loads", r"json:loads'? is of Python's standard library"),
        ("no_such_package.mine:Mine", r"report section 'no_such_package.mine:Mine': cannot import"),
        (Lacking, r"report section '.*:Lacking' has no method `show`"),
        (object(), r"report section 'builtins:object' has no method `applies` and no method `show`"),
        (Demanding, r"report section '.*:Demanding' cannot be made without arguments \(TypeError: .*what"),
        (Abstract, r"report section '.*:Abstract' cannot be made without arguments \(TypeError: .*show"),
        (7, r"report section 'builtins:int' has no method"),
        (shows("text"), r"report section '.*' must show a gsfnas.report.Shown or None, but got 'text'"),
        (shows(lambda: 1 / 0), r"report section '.*' failed \(ZeroDivisionError: division by zero, .*test_sections.py, line"),
        (shows(lambda: Shown(title="two\nlines")), r"report section '.*': title must be one line"),
        (shows(lambda: Shown("", 3)), r"report section '.*': sentence must be text, but got 3"),  # type: ignore[arg-type]
        (shows(lambda: Shown(bullets="text")), r"bullets must be several texts, but got one"),  # type: ignore[arg-type]
        (shows(lambda: Shown(table=[[1]])), r"table must be a gsfnas.report.Table, but got"),  # type: ignore[arg-type]
        (shows(lambda: Shown(tone="loud")), r"tone must be lead, note or warning"),  # type: ignore[arg-type]
        (shows(lambda: Shown(table=Table.of("plots", "", ["a"], []))), r"the name of a table must be .* but got 'plots'"),
        (shows(lambda: Shown(table=Table.of("t", "", ["a"], [[1, 2]]))), r"table 't' has 1 columns, but a row of 2 cells"),
        (shows(lambda: Shown(figure=Figure("../x", "", {}))), r"the name of a figure must be .* but got '../x'"),
        (shows(lambda: Shown(figure=Figure("x", ""))), r"figure 'x' needs `draw` or `interactive`"),
        (shows(Shown("", figure=Figure("x", "", {"data": [math.nan]}))), r"report section '.*' failed \(ValueError: .*JSON"),
        (shows(Shown("", figure=Figure("x", "", {"data": [{1}]}))), r"report section '.*' failed \(TypeError: .*JSON"),
        (shows(Shown("", figure=Figure("x", "", draw=divided))), r"failed \(ZeroDivisionError: float division by zero"),
    ],
)
def test_what_is_no_section_is_one_line_that_names_it(section: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        built(tmp_path, section)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a report that failed"


def test_a_section_is_given_once_and_in_a_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="report section 'summary' is given twice"):
        built(tmp_path, "summary", "summary")
    with pytest.raises(UserError, match="report sections are given as a list, but got 'summary'"):
        check_sections("summary")  # type: ignore[arg-type]


def test_code_that_a_file_names_is_run_only_where_the_user_names_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_figures.py").write_text("def mine(analysis):\n    raise KeyError('a')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with component.trusting([]):
        with pytest.raises(UserError, match="a file names and you did not"):
            check_sections(["my_figures:mine"], is_from_data=True)
        assert "my_figures" not in sys.modules
        check_sections(["my_figures:mine"])
        with pytest.raises(UserError, match=r"section 'my_figures:mine' failed \(KeyError: 'a', .*my_figures.py, line 2"):
            built(tmp_path, "my_figures:mine", is_from_data=True)


def test_the_section_of_the_guide_works(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    names = re.search(r"`gsfnas.report.SECTIONS` has the shipped ones, in order: (.*?)\. A section", guide, re.DOTALL)
    assert names is not None
    assert re.findall(r"`(\w+)`", names[1]) == list(SECTIONS)
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "class SlowestRuns" in block)
    scope: dict[str, Any] = {"__name__": "my_package.sections"}
    exec(code, scope)
    page, _ = built(tmp_path, scope["SlowestRuns"])
    assert "The slowest runs" in Page(page).words()
    assert (tmp_path / "report" / "slowest.svg").exists()


def test_checking_loads_no_shipped_section() -> None:
    code = (
        "import sys; from gsfnas.report import check_sections; check_sections(None); check_sections(['default'])\n"
        "sys.exit(str({'pandas', 'matplotlib', 'plotly', 'jinja2'} & set(sys.modules) or '') or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
