"""Imports point one way, and those that a user waits for are cheap. Read from the source: none hides in a branch."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gsfnas

PACKAGE = Path(gsfnas.__file__).parent

# What each part may import of ours.
VALUES = {
    "errors",
    "escape",
    "checked",
    "deprecations",
    "files",
    "plain_yaml",
    "typed",
    "component",
    "compiling",
    "seeds",
    "candidate",
    "convention",
    "metrics",
    "modules",
    "space",
}
NETWORKS = {"backbone", "insertion"}
ALLOWED = {
    "errors": {"escape"},
    "escape": set(),
    "checked": {"errors"},
    "deprecations": set(),
    "files": {"errors"},
    "plain_yaml": {"errors", "files"},
    "typed": {"errors"},
    "component": {"errors", "typed"},
    "compiling": set(),
    "seeds": set(),
    "candidate": {"errors", "files"},
    "convention": {"errors"},
    "metrics": {"errors"},
    "modules": {"errors", "candidate", "component", "compiling"},
    "space": {"errors", "escape", "candidate", "metrics", "modules"},
    "record": VALUES,
    "surrogate": set(),
    "paper": {*VALUES, "record"},
    "backbone": VALUES,
    "insertion": {"errors", "candidate"},
    "model": {*VALUES, *NETWORKS},
    # Data builds no network and knows none.
    "data": VALUES,
    "cost": {*VALUES, *NETWORKS, "record", "model"},
    "weights": {*VALUES, *NETWORKS, "model"},
    # What an evaluator tells is what training tells.
    "train": {*VALUES, *NETWORKS, "record", "evaluators.base", "model", "data", "weights"},
    "samplers": {*VALUES, "record"},
    "stoppers": {*VALUES, "record", "samplers"},
    "storages": {*VALUES, "record", "samplers"},
    "executors": {*VALUES, "train"},
    "report": {*VALUES, "record", "paper", "surrogate"},
}
ALLOWED["evaluators"] = {*ALLOWED["train"], "train"}
ALLOWED["study"] = {*ALLOWED["evaluators"], "evaluators", "samplers", "stoppers", "storages", "executors", "cost"}
# Settings are values that cost nothing; configuration makes them.
PARTS = {"samplers", "stoppers", "evaluators", "executors", "storages"}
SETTINGS = {"data._settings", "train._protocol", "train._settings", "study._settings", "study._configuration"}
ALLOWED["config"] = {*VALUES, *PARTS, *SETTINGS}
ALLOWED["api"] = {*ALLOWED["study"], "study", "report", "config", "paper", "weights"}
ALLOWED["cli"] = {*ALLOWED["api"], "api"}
ALLOWED["testing"] = {*ALLOWED["cli"], "cli"}

# Parts that a program may import without waiting for torch.
LIGHT = [
    "",
    "errors",
    "escape",
    "checked",
    "deprecations",
    "files",
    "plain_yaml",
    "typed",
    "component",
    "seeds",
    "candidate",
    "convention",
    "metrics",
    "modules",
    "paper",
    "evaluators",
    "samplers",
    "stoppers",
    "executors",
    "storages",
    "record",
    "space",
    "report",
    "config",
    "api",
    "cli",
    "study",
    "data",
    "train",
]


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem not in {"__init__", "__main__"})


def imported(path):
    """Our modules that a file imports, as dotted names within the package; relative imports are not our habit."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(path):
        if not name.startswith("gsfnas.") or name.split(".")[1] == part:
            continue
        within = name.removeprefix("gsfnas.")
        # `gsfnas.__version__` is no part.
        if not (PACKAGE / within.split(".")[0]).exists() and not (PACKAGE / f"{within.split('.')[0]}.py").exists():
            continue
        allowed = ALLOWED[part]
        is_allowed = any(within == choice or within.startswith(f"{choice}.") for choice in allowed)
        # `from gsfnas.train._settings import X` also names its package.
        is_on_the_way = any(choice.startswith(f"{within}.") for choice in allowed)
        assert is_allowed or is_on_the_way, f"{path.relative_to(PACKAGE)} imports {name}, but {part} may not"


def test_no_module_imports_itself_by_way_of_others():
    """Counting what is imported when a module is loaded; what waits for a call may come from anywhere below."""
    names = {_dotted(path): path for path in modules()}
    known: dict[str, set[str]] = {}

    def reached(name, on_the_way):
        assert name not in on_the_way, " -> ".join([*on_the_way, name])
        if name not in known:
            found = {inner for inner in _at_once(names[name]) if inner in names and inner != name}
            known[name] = found.union(*(reached(inner, (*on_the_way, name)) for inner in found))
        return known[name]

    for name in names:
        reached(name, ())


def test_every_part_has_its_place_in_the_order():
    parts = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in modules()}
    assert parts <= set(ALLOWED)


def test_only_configuration_knows_hydra():
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in modules()
        for name in imported(path)
        if _root(name) in {"hydra", "omegaconf"}
    }
    assert users == {"config"}


def test_reports_know_neither_torch_nor_optuna():
    names = {_root(name) for path in (PACKAGE / "report").rglob("*.py") for name in imported(path)}
    assert not names & {"torch", "timm", "optuna"}


@pytest.mark.parametrize("part", LIGHT)
def test_importing_a_light_part_does_not_load_torch(part):
    name = f"gsfnas.{part}".rstrip(".")
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import gsfnas; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {_root(name) for name in loaded} <= {"gsfnas", *sys.stdlib_module_names}


@pytest.mark.parametrize("arguments", [["--help"], ["study", "run", "--help"], ["--version"]])
def test_help_loads_none_of_the_heavy_libraries(arguments):
    heavy = "{'torch', 'optuna', 'hydra', 'numpy', 'pandas', 'plotly', 'matplotlib'}"
    code = f"import sys\nfrom gsfnas.cli import main\nmain({arguments!r})\nsys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["-c", "import gsfnas"], ["-m", "gsfnas", "--help"]])
def test_a_user_does_not_wait(arguments):
    """Half a second of processor time: the clock on the wall would count what else the machine does."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5


def _dotted(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _at_once(path):
    """Our modules that are imported when a file is."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _root(name):
    return name.split(".")[0]
