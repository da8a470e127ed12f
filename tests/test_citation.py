"""CITATION.cff: the software as pyproject.toml describes it, and the paper that it rests on."""

import tomllib
from pathlib import Path

import yaml

import gsfnas

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# What version 1.2 of the format requires.
REQUIRED = {"authors", "cff-version", "message", "title"}


def test_it_has_what_the_format_requires():
    assert CITATION.keys() >= REQUIRED
    assert CITATION["cff-version"] == "1.2.0"


def test_it_describes_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert CITATION["title"] == f"{project['name']}: {project['description'][0].lower()}{project['description'][1:]}"
    assert CITATION["license"] == project["license"]
    assert set(CITATION["keywords"]) <= set(project["keywords"])
    assert CITATION["authors"] == project["authors"]


def test_it_has_the_package_version():
    assert str(CITATION["version"]) == gsfnas.__version__


def test_it_names_the_paper():
    (paper,) = CITATION["references"]
    assert paper["title"] == "Gate-Shift-Fuse for Video Action Recognition"
    assert [author["family-names"] for author in paper["authors"]] == ["Sudhakaran", "Escalera", "Lanz"]
    assert paper["year"] == 2023
