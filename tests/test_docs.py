"""The commands and the Python in the README and the guides mean something: composed, parsed or run, none trained."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from gsfnas.cli._main import app
from gsfnas.config import compose_data, compose_run, compose_study

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language, pages):
    for page in pages:
        for found in re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            yield pytest.param(
                found.group(1), id=f"{page.name}:{page.read_text(encoding='utf-8')[: found.start()].count(chr(10)) + 1}"
            )


def commands():
    """Every ``gsfnas ...`` of a shell block, comments and pipes taken apart."""
    for block in blocks("bash", PAGES):
        for line in block.values[0].replace("\\\n", " ").splitlines():
            for words in _split(line):
                if words and words[0] == "gsfnas":
                    yield pytest.param(words[1:], id=shlex.join(words))


def _split(line):
    words = shlex.split(line, comments=True)
    part = []
    for word in words:
        if word in {"|", "&&", ";", ">"}:
            yield part
            part = []
        else:
            part.append(word)
    yield part


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_of_the_docs_parses_and_its_settings_compose(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, context, rest = typer.main.get_command(app), None, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"gsfnas has no command {name}"
        command = command.commands[name]
    if "--help" in rest or hasattr(command, "commands"):
        return
    context = command.make_context("gsfnas", rest)
    name, overrides = context.params.get("name"), context.params.get("overrides")
    if words[0] in ("train", "test") or context.params.get("train"):
        compose_run(overrides or context.params.get("train") or ())
        return
    if "overrides" not in context.params:
        return
    if words[0] == "data":
        compose_data(name, overrides or ())
    elif not name.endswith(".yaml"):
        compose_study(name, overrides or (), None)


@pytest.mark.parametrize("code", list(blocks("python", PAGES)))
def test_what_the_docs_import_is_there(code):
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    # A page that has the reader write a module calls it my_...
    imports = [node for node in imports if not (getattr(node, "module", None) or node.names[0].name).startswith("my_")]
    exec(compile(ast.Module(imports, []), "docs", "exec"), {})


@pytest.mark.parametrize("code", list(blocks("python", [README])))
def test_the_python_of_the_readme_runs(code):
    exec(compile(code, "README", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_the_docs_lead_somewhere(page):
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def pages_of(nav):
    """The files of a table of contents, level by level."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages_of(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_contents_of_the_site():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages_of(nav)) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page != README)


def documented():
    """Every module whose docstrings a page of the reference shows."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield pytest.param(name, page, id=name)


@pytest.mark.parametrize(("name", "page"), list(documented()))
def test_the_reference_shows_modules_that_there_are(name, page):
    assert importlib.util.find_spec(name) is not None
    assert f"`{name}`" in (page.parent / "index.md").read_text(encoding="utf-8")
