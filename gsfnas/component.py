"""The one gate for code that is not this package's own: a part named ``package.module:object``.

Code is named by the user: in Python, in an argument of the command line, by ``--trust PACKAGE``, in a config root given by
``--config-root``. Data (weights, reports, journals, candidates from files, a YAML that lies in the working directory) may
mention it, which imports nothing until the user has named it too. What is trusted holds for the process and its workers.
"""

import functools
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from gsfnas.errors import UserError, shown

# Packages (``package``) and single parts (``package.module:object``) that the user of this process has named.
_TRUSTED: set[str] = set()
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def is_outside(name: str) -> bool:
    """Whether a part's name is one of code outside this package."""
    return ":" in name


def trust(*names: str) -> None:
    """From now on data may name what stands in these packages (``package``), or these parts (``package.module:object``).

    Raises UserError for what is no such name, and for the standard library, which holds no part of a network.
    """
    for name in names:
        module, colon, attribute = name.partition(":")
        if not _DOTTED.fullmatch(module) or (colon and not attribute.isidentifier()):
            raise UserError(f"trust is given to a package or a package.module:object, but got {shown(name)}")
        _refuse_standard_library(module, name)
    _TRUSTED.update(names)


def trusted() -> tuple[str, ...]:
    """What is trusted, in order: for the processes that this one starts."""
    return tuple(sorted(_TRUSTED))


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Trusts these within the block; afterwards all is as it was."""
    before = set(_TRUSTED)
    try:
        trust(*names)
        yield
    finally:
        _TRUSTED.intersection_update(before)


def load(name: str, kind: str) -> Any:
    """The object that ``package.module:object`` names; modules of the working directory are found too. ``kind`` says what for.

    Raises UserError, before anything is imported, for what nobody trusts and for the standard library; and where the module
    cannot be imported, lacks the object, or it cannot be called.
    """
    module_name, _, attribute = name.partition(":")
    if not _DOTTED.fullmatch(module_name) or not attribute.isidentifier():
        raise UserError(f"{kind} {shown(name)} is no package.module:object")
    _refuse_standard_library(module_name, f"{kind} {name!r}")
    package = module_name.partition(".")[0]
    parents = module_name.split(".")
    if not {name, *(".".join(parents[:depth]) for depth in range(1, len(parents) + 1))} & _TRUSTED:
        raise UserError(
            f"{kind} {name!r} is code of the package {package!r}, which a file names and you did not; if you trust it, add "
            f"--trust {package} (in Python: gsfnas.trust({package!r}))"
        )
    found = getattr(_import(module_name, name, kind), attribute, None)
    if not callable(found):
        what = "has no" if found is None else "cannot call"
        raise UserError(f"{kind} {name!r}: {module_name!r} {what} {attribute!r}; write it as package.module:object")
    # What a module merely imports is still where it came from.
    origin = found
    while isinstance(origin, functools.partial):
        origin = origin.func
    _refuse_standard_library(str(getattr(origin, "__module__", None) or ""), f"{kind} {name!r}")
    return found


def one_line(error: BaseException) -> str:
    """``Kind: first line of what it says``."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _import(module_name: str, name: str, kind: str) -> Any:
    here = str(Path.cwd())
    is_added = here not in sys.path
    if is_added:
        sys.path.append(here)
    try:
        return import_module(module_name)
    except Exception as error:
        raise UserError(f"{kind} {name!r}: cannot import {module_name!r} ({one_line(error)})") from None
    finally:
        if is_added:
            sys.path.remove(here)


def _refuse_standard_library(module: str, what: str) -> None:
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names:
        raise UserError(f"{what} is of Python's standard library, of which nothing is ever called for a part of a network")
