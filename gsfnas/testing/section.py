"""Tests that every section of a report must pass. Inherit ``SectionConformance`` and provide the section:

class TestSlowest(SectionConformance):
    @pytest.fixture
    def section(self):
        return Slowest
"""

import copy
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from gsfnas.record import StudyRecord
from gsfnas.report import SECTIONS, Shown, StudyAnalysis, build_report, check_sections
from gsfnas.report._contents import contents_of
from gsfnas.report.pages import html
from gsfnas.report.sections._load import load_sections
from gsfnas.testing.records import STUDIES

# Reports are built without these libraries.
HEAVY = ("torch", "optuna", "timm")
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A parsed page: tags with their attributes, text with the tag around it, and tags that were not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))

    def words(self) -> str:
        """The visible text."""
        return " ".join(text for tag, text in self.text if tag not in ("script", "style"))


class SectionConformance:
    """The suite. ``section`` returns a name in ``SECTIONS``, ``package.module:object``, a class, an instance or a function."""

    @pytest.fixture
    def section(self) -> Any:
        raise NotImplementedError("give the section: a fixture `section` that returns it")

    @pytest.fixture(autouse=True)
    def _no_heavy_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Importing one of them during a test raises ImportError."""
        for name in HEAVY:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(sys, "meta_path", [_Refusal(), *sys.meta_path])

    @pytest.mark.parametrize("name", STUDIES)
    def test_shows_any_study(self, section: Any, name: str) -> None:
        """Also for studies without runs, with one run, with failed runs, interrupted, with hostile names."""
        page = Page(_html(STUDIES[name](), [section]))
        assert page.open == []
        assert "nan" not in page.words().lower().split(), "the section shows nan; leave out what is not known"

    @pytest.mark.parametrize("name", STUDIES)
    def test_is_left_out_where_it_does_not_apply(self, section: Any, name: str) -> None:
        """And where it applies, it shows more than a heading."""
        analysis = StudyAnalysis(STUDIES[name]())
        ((key, loaded),) = load_sections([section]).items()
        found = contents_of(analysis, {key: loaded}).sections
        assert set(found) <= {key}
        if not loaded.applies(analysis):
            assert not found
        for one in found.values():
            assert one != Shown(one.title), "a heading with nothing below it; applies() should be false"

    def test_names_are_text_and_never_markup(self, section: Any, tmp_path: Path) -> None:
        folder = build_report(STUDIES["hostile"](), tmp_path / "report", [section]).parent
        page = Page((folder / "report.html").read_text(encoding="utf-8"))
        tags = [tag for tag, _ in page.tags]
        # Those of the page: Plotly, the data of the plots, and the script that draws them.
        assert tags.count("script") == 3
        assert not {"iframe", "object", "embed", "link", "form", "base"} & set(tags)
        for _, attributes in page.tags:
            assert not any(name.startswith("on") for name in attributes)
            assert not {"href", "srcset", "action", "data", "poster"} & set(attributes)
            assert (attributes.get("src") or "data:").startswith("data:")
        markdown = (folder / "report.md").read_text(encoding="utf-8")
        assert not re.search(r"(?m)^(?!    ).*<(script|img)", markdown)
        for table in re.findall(r"(?m)(?:^\|.*\n)+", markdown):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1

    def test_the_same_study_gives_the_same_files(self, section: Any, tmp_path: Path) -> None:
        first, again = (build_report(STUDIES["multi"](), tmp_path / name, [section]).parent for name in ("a", "b"))
        assert {path.name for path in first.iterdir()} == {path.name for path in again.iterdir()}
        for path in first.iterdir():
            assert path.read_bytes() == (again / path.name).read_bytes(), f"{path.name} differs"

    @pytest.mark.parametrize("name", ["placement", "rows"])
    def test_changes_nothing_of_the_study(self, section: Any, name: str) -> None:
        study = STUDIES[name]()
        before = copy.deepcopy(study)
        _html(study, [section])
        assert study == before

    @pytest.mark.parametrize("name", ["placement", "rows", "bare"])
    def test_stands_beside_all_others(self, section: Any, name: str) -> None:
        others = [other for other in SECTIONS if other != section]
        page = Page(_html(STUDIES[name](), [*others, section]))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))

    def test_is_imported_without_a_heavy_library(self, section: Any) -> None:
        """In a new process, since other tests may have loaded them in this one."""
        check_sections([section])
        name = SECTIONS.get(section, section) if isinstance(section, str) else ""
        named = section if hasattr(section, "__module__") and hasattr(section, "__qualname__") else type(section)
        module = name.partition(":")[0] or named.__module__
        code = (
            f"import sys; sys.path = {sys.path!r}; import {module}; sys.exit(str({set(HEAVY)!r} & set(sys.modules) or '') or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), f"importing {module} loads {done.stderr}"


def _html(study: StudyRecord, sections: list[Any]) -> str:
    """report.html, without drawing the figures."""
    return html.page(contents_of(StudyAnalysis(study), load_sections(sections)), {})


class _Refusal(MetaPathFinder):
    """Refuses to import a heavy library."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"a section of a report imports {name}, which reports do without")
