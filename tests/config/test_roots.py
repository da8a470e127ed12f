from pathlib import Path

import pytest

from gsfnas.config import find_roots, headline, load_space
from gsfnas.errors import UserError

SPACE = "# Only one site?\nname: {name}\nsites:\n  pattern: [{pattern}]\ninsertions:\n  - module: tsm\n"


def write(folder: Path, name: str, pattern: str = "a") -> Path:
    path = folder / "spaces" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SPACE.format(name=name, pattern=pattern))
    return path


def test_the_given_root_wins_over_the_working_directory_over_what_is_shipped_file_by_file(tmp_path, monkeypatch):
    given, here = tmp_path / "given", tmp_path / "here"
    write(given, "placement", "given")
    write(here, "placement", "here")
    write(here, "mine", "here")
    monkeypatch.chdir(here)
    assert load_space("placement", given).sites.patterns == ("given",)
    assert load_space("placement").sites.patterns == ("here",)
    assert load_space("mine", given).sites.patterns == ("here",)
    assert load_space("full", given).name == "full"


def test_a_folder_is_a_root_only_where_it_holds_spaces_or_studies(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clips.yaml").write_text("name: twins\n")
    monkeypatch.chdir(tmp_path)
    assert "clips" not in find_roots().files("data")
    (tmp_path / "studies").mkdir()
    assert "clips" in find_roots().files("data")


def test_a_root_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds neither"):
        find_roots(tmp_path)


def test_what_is_shipped_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"placement", "full"} <= set(find_roots().files("studies"))
    assert {"placement", "full"} <= set(find_roots().files("spaces"))
    assert {"twins", "folder"} <= set(find_roots().files("data"))


def test_subfolders_are_part_of_a_name(tmp_path, monkeypatch):
    write(tmp_path, "paper/one")
    monkeypatch.chdir(tmp_path)
    assert "paper/one" in find_roots().files("spaces")


def test_the_headline_is_the_question(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("# @package _global_\n#\n# Which one?\n# More.\nstudy: {}\n")
    assert headline(path) == "Which one?"


@pytest.mark.parametrize("group", ["studies", "spaces"])
def test_every_shipped_file_opens_with_its_question(group):
    assert all(headline(path).endswith("?") for path in find_roots().files(group).values())


def test_a_space_without_a_name_has_its_files(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "small.yaml").write_text("insertions:\n  - module: tsm\n")
    monkeypatch.chdir(tmp_path)
    assert load_space("small").name == "small"


@pytest.mark.parametrize(
    ("text", "fragment"), [("a: [", "cannot be read"), ("- 1\n", "must be a mapping"), ("colour: 1\n", "colour")]
)
def test_a_space_that_cannot_be_read_is_named(tmp_path, monkeypatch, text, fragment):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "bad.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=fragment):
        load_space("bad")
