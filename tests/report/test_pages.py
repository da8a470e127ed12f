"""What a reader gets, for every kind of study: pages that hold all, load nothing and run no stranger's script."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from gsfnas.candidate import Candidate
from gsfnas.record import StudyRecord
from gsfnas.report import StudyAnalysis, _plotly
from gsfnas.report._contents import Contents, contents_of
from gsfnas.report.pages import html, markdown
from gsfnas.report.sections import accuracy, curves
from gsfnas.report.sections._load import load_sections
from gsfnas.testing import records as synthetic
from gsfnas.testing.section import Page


def contents(study: StudyRecord) -> Contents:
    return contents_of(StudyAnalysis(study), load_sections())


@pytest.fixture(scope="session")
def page(built: Path) -> Page:
    return Page((built / "report.html").read_text(encoding="utf-8"))


def test_every_file_is_there(built: Path) -> None:
    # What a site is worth cannot be said from rows.
    names = ["accuracy_vs_flops", "strips", *([] if "rows" in built.name else ["site_effects"])]
    figures = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    expected = {"report.html", "report.md", "trials.csv", "study.yaml", "env.json", *figures}
    assert {path.name for path in built.iterdir()} == expected
    assert all((built / name).stat().st_size > 1000 for name in figures)
    assert "environments" in json.loads((built / "env.json").read_text(encoding="utf-8"))
    pd.read_csv(built / "trials.csv")


def test_the_page_is_well_formed_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    assert not {"link", "iframe", "object", "embed", "img", "form", "base"} & set(tags)
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action", "data", "poster"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    # The library, the plots' data, and the page's own script; a policy that lets nothing be fetched.
    assert tags.count("script") == 3
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    style = " ".join(text for tag, text in page.text if tag == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_figures_have_a_description_and_tables_have_heads(page: Page) -> None:
    plots = [attributes for tag, attributes in page.tags if attributes.get("class") == "plot"]
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in plots)
    assert [tag for tag, _ in page.tags].count("caption") >= 4
    assert any(tag == "th" and attributes.get("scope") == "row" for tag, attributes in page.tags)


def test_every_candidate_can_be_copied(built: Path, page: Page) -> None:
    copied = [attributes["data-copy"] for tag, attributes in page.tags if "data-copy" in attributes]
    trials = pd.read_csv(built / "trials.csv")
    first = trials[trials["phase"] != "replicate"]
    assert len(copied) == len(first)
    assert [Candidate.from_json(text or "").key for text in copied] == list(first["key"])


def test_a_place_for_every_plot(page: Page) -> None:
    plots = json.loads(next(text for tag, text in page.text if tag == "script" and text.startswith("{")))
    places = {attributes["id"] for tag, attributes in page.tags if tag == "div" and attributes.get("class") == "plot"}
    assert places == {f"plot-{name}" for name in plots}


def test_names_are_text_and_never_markup() -> None:
    analysis = StudyAnalysis(synthetic.hostile_study())
    text = html.page(contents(synthetic.hostile_study()), {})
    own = text.replace(_library(text), "")
    assert "alert(" in own
    # The plots' data and the page's own; the library is taken out.
    assert own.count("<script") == 2
    assert "<img" not in own
    assert synthetic.HOSTILE in Page(text).words()
    plots = json.dumps(accuracy.plot(accuracy.accuracy_points(analysis)))
    assert "<script" not in plots
    assert not set("<>") & set(_plotly.to_json({"a": {"b": "</script><!--"}}))


def test_markdown_escapes_names_and_keeps_its_tables() -> None:
    text = markdown.page(contents(synthetic.hostile_study()))
    outside = re.sub(r"(?m)^    .*$", "", text)
    assert "<script" not in outside
    for line in re.findall(r"(?m)(?:^\|.*\n)+", text):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in line.splitlines()}
        assert len(widths) == 1


def test_markdown_names_only_figures_that_are_there(built: Path) -> None:
    text = (built / "report.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(images) == (2 if "rows" in built.name else 3)
    assert all((built / image).exists() for image in images)


def test_what_nobody_ran_says_so() -> None:
    words = Page(html.page(contents(synthetic.failed_study()), {})).words()
    assert "not run" in words
    assert "CUDA out of memory" in words
    assert "nan" not in words.lower().split()
    assert "None" not in words.split()


def _library(text: str) -> str:
    return max(re.findall(r"(?s)<script>.*?</script>", text), key=len)


def test_rows_are_told_by_their_names() -> None:
    analysis = StudyAnalysis(synthetic.rows_study())
    text = markdown.page(contents(synthetic.rows_study()))
    assert "## Baseline and best" in text
    assert "What each site is worth" not in text
    assert "the sampler" not in text
    assert "| &lt;all&gt; &amp; every\\_one, all again |" in text
    assert {curve.name for curve in curves.curves(analysis, "val_top1")} == {
        "one",
        "three",
        "<all> & every_one = all again",
        "none",
    }
    assert "no result yet" not in markdown.page(contents(synthetic.rows_study(has_baseline=False)))
