"""Which packages are missing, all of them at once. The standard library alone."""

import importlib.util
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from _gpu import PARTS, ROOT

# What a package is imported as, where that is not its name.
_MODULES = {
    "antlr4-python3-runtime": "antlr4",
    "hydra-core": "hydra",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
# What packages of the list need in turn and a machine for training may lack.
_INDIRECT = ("alembic", "antlr4-python3-runtime", "colorlog", "iopath", "lightning-utilities", "mako", "narwhals")
_INDIRECT += ("portalocker", "shellingham", "sqlalchemy", "tabulate", "termcolor", "tqdm", "yacs")


def find_missing(parts: Iterable[str]) -> list[str]:
    """Packages that these parts need and that are not there, or, of torch, too old; each with what is wanted."""
    wanted = {**_declared(), **dict.fromkeys([*_INDIRECT, *(name for part in parts for name in PARTS[part].packages)], "")}
    return [problem for name, least in wanted.items() if (problem := _problem(name, least))]


def _declared() -> dict[str, str]:
    """Package -> its least version, as the source tree says."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return {re.split(r"[<>=!~ ]", line)[0].lower(): line.partition(">=")[2] for line in lines}


def _problem(name: str, least: str) -> str | None:
    if importlib.util.find_spec(_MODULES.get(name, name.replace("-", "_"))) is None:
        return f"{name}>={least}" if least else name
    # Others may do in an older version; without what torch is asked for here nothing works.
    if name == "torch" and _numbers(found := _version(name)) < _numbers(least):
        return f"torch>={least} (found {found})"
    return None


def old_packages() -> list[str]:
    """Packages that are older than gsfnas asks for, which may do all the same."""
    found = {name: (_version(name), least) for name, least in _declared().items()}
    return [f"{name} {has} (asked: {least})" for name, (has, least) in found.items() if _numbers(has) < _numbers(least)]


def versions() -> dict[str, str]:
    return {name: _version(name) for name in ["torch", "triton", *sorted(set(_declared()) - {"torch"})]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _numbers(text: str) -> list[int]:
    """``2.11.0+cu130`` to [2, 11, 0]; what is unknown counts as new."""
    return [int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3]] or [10**9]
