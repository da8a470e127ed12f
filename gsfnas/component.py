"""The one gate for code that is not this package's own: a part named ``package.module:object``.

Code is named by the user: in Python, in an argument of the command line, by ``--trust PACKAGE``, in a config root given by
``--config-root``. Data (weights, reports, journals, candidates from files, a YAML that lies in the working directory) may
mention it, which imports nothing until the user has named it too. What is trusted holds for the process and its workers.
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import traceback
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from gsfnas.errors import UserError, is_out_of_memory, one_line, shown, unknown
from gsfnas.typed import checked, to_settings

# Packages (``package``) and single parts (``package.module:object``) that the user of this process has named.
_TRUSTED: set[str] = set()
# Modules of such parts, in the order in which they were loaded, and the working directory of then.
_LOADED: dict[str, str] = {}
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
            raise UserError(f"code is named package or package.module:object, as in my_module:Class, but got {shown(name)}")
        _refuse_standard_library(module, name)
    _TRUSTED.update(names)


def trusted() -> tuple[str, ...]:
    """What is trusted, in order: for the processes that this one starts."""
    return tuple(sorted(_TRUSTED))


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Trusts these within the block; afterwards all is as it was, also what processes that are started then import."""
    before, loaded_before = set(_TRUSTED), list(_LOADED)
    try:
        trust(*names)
        yield
    finally:
        _TRUSTED.intersection_update(before)
        for module in [module for module in _LOADED if module not in loaded_before]:
            del _LOADED[module]


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
    _LOADED[module_name] = str(Path.cwd())
    if not callable(found):
        what = "has no" if found is None else "cannot call"
        raise UserError(f"{kind} {name!r}: {module_name!r} {what} {attribute!r}; write it as package.module:object")
    # What a module merely imports is still where it came from.
    origin = found
    while isinstance(origin, functools.partial):
        origin = origin.func
    _refuse_standard_library(str(getattr(origin, "__module__", None) or ""), f"{kind} {name!r}")
    return found


def loaded() -> tuple[tuple[str, str], ...]:
    """The modules from which parts were loaded, and from which folder: for the processes that this one starts."""
    return tuple(_LOADED.items())


def reload(modules: Iterable[tuple[str, str]]) -> None:
    """Imports what another process had ``loaded``; what is gone is passed over, for nobody may need it."""
    for module, folder in modules:
        with contextlib.suppress(UserError):
            _import(module, module, "module", folder)
            _LOADED[module] = folder


def find(name: str, choices: Mapping[str, str], kind: str) -> Any:
    """What a name stands for: one of a collection's ``choices`` (name -> ``module:object``), or code from outside.

    Raises UserError for a name that is none, the nearest choices first, and as ``load`` does.
    """
    if is_outside(name):
        return load(name, kind)
    if name not in choices:
        raise UserError(f"{unknown(kind, name, choices)}; one of your own is written module:Class")
    module, _, attribute = choices[name].partition(":")
    return getattr(import_module(module), attribute)


def make(given: Any, options: Mapping[str, Any], section: str) -> Any:
    """An instance of a part from a class and its options, which an override names as ``section.option``.

    Raises UserError for an option that is none, lacks a value, or has one of another type.
    """
    if not callable(given):
        raise UserError(f"{section} {shown(given)} cannot be called, so it makes no {section}")
    cls, set_already = (given.func, given.keywords) if isinstance(given, functools.partial) else (given, {})
    if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"{section} {cls.__qualname__!r} has no method {lacking[0]!r}")
    if dataclasses.is_dataclass(given) and isinstance(given, type):
        return to_settings(given, options, section)
    try:
        accepted = [one for one in inspect.signature(cls).parameters.values() if one.name not in set_already]
    except (TypeError, ValueError):
        accepted = []
    names = [one.name for one in accepted if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in accepted):
        for option in options:
            if option not in names:
                raise unknown("setting", f"{section}.{option}", [f"{section}.{name}" for name in names])
    hints = _hints(cls)
    options = {name: checked(value, hints.get(name), f"{section}.{name}") for name, value in options.items()}
    try:
        return given(**options)
    except UserError:
        raise
    except Exception as error:
        name = getattr(cls, "__qualname__", shown(cls))
        raise UserError(f"{section} {name!r} cannot be made ({where(error)})") from error


def _hints(cls: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(getattr(cls, "__init__") if isinstance(cls, type) else cls)  # noqa: B009
    except Exception:
        # Names that are there for a type checker alone.
        return {}


def check_methods(part: Any, methods: Iterable[str], kind: str, attributes: Iterable[str] = ()) -> Any:
    """The part. Raises UserError where it lacks one of the methods or attributes that its kind must have.

    No property is asked: it may open a data set.
    """
    if isinstance(part, type):
        raise UserError(f"{kind} {part.__qualname__!r} is a class; give one of it: {part.__qualname__}()")
    missing = [name for name in methods if not callable(getattr(part, name, None))]
    if missing:
        has = f"{kind} {type(part).__qualname__!r}"
        raise UserError(f"{has} has no method {missing[0]!r}; every {kind} has {', '.join(methods)}")
    nothing = object()
    for name in attributes:
        if inspect.getattr_static(part, name, nothing) is nothing:
            has = f"{kind} {type(part).__qualname__!r}"
            raise UserError(f"{has} has no attribute {name!r}; every {kind} has {', '.join(attributes)}")
    return part


@contextmanager
def blaming(part: Any, kind: str) -> Iterator[None]:
    """Within, an error of a part from outside becomes one line that names the part, and the file and line that raised it.

    Parts of this package fail as they do; so does whatever runs out of memory or of space on a disk.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or is_out_of_memory(error) or not fingerprint(part):
            raise
        raise UserError(f"{kind} {type(part).__qualname__!r} failed ({where(error)})") from error


def fingerprint(part: Any) -> str:
    """What stands for the code of a part from outside in the names of results; empty for a part of this package.

    Of an installed package its version, else 12 hexadecimal digits of its source: of all Python files of its package, or of the
    one file that it is. So edited code has other results.
    """
    while isinstance(part, functools.partial):
        part = part.func
    part = part if inspect.isroutine(part) or isinstance(part, type) else type(part)
    module = str(getattr(part, "__module__", ""))
    package = module.partition(".")[0]
    if package == __name__.partition(".")[0]:
        return ""
    found = getattr(sys.modules.get(module), "__file__", None)
    if found is None:
        try:
            return _digest([inspect.getsource(part).encode()])
        except (OSError, TypeError):
            return str(part.__qualname__)
    path = Path(found)
    if any(path.is_relative_to(sysconfig.get_path(name)) for name in ("purelib", "platlib")):
        # It takes a tenth of what `gsfnas --help` takes.
        from importlib.metadata import packages_distributions, version

        distributions = packages_distributions().get(package, [])
        return "-".join(f"{name}-{version(name)}" for name in distributions[:1]) or package
    top = getattr(sys.modules.get(package), "__file__", None)
    files = sorted(Path(top).parent.rglob("*.py")) if top and Path(top).name == "__init__.py" else [path]
    return _digest([file.read_bytes() for file in files if file.is_file()])


def where(error: BaseException) -> str:
    """``Kind: first line``, and where it was raised: the user's own file and line, else that of a library which is not ours."""
    ours, library = f"{Path(__file__).parent}{os.sep}", sysconfig.get_path("stdlib")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", ours))
        and (_is_installed(frame.filename) or not frame.filename.startswith(library))
    ]
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    last = (own or frames)[-1:]
    return one_line(error) + "".join(f", {frame.filename}, line {frame.lineno}" for frame in last)


def _is_installed(path: str) -> bool:
    return "site-packages" in Path(path).parts


def _import(module_name: str, name: str, kind: str, folder: str | None = None) -> Any:
    here = folder or str(Path.cwd())
    is_added = here not in sys.path
    if is_added:
        sys.path.append(here)
    try:
        return import_module(module_name)
    except Exception as error:
        raise UserError(f"{kind} {name!r}: cannot import {module_name!r} ({where(error)})") from None
    finally:
        if is_added:
            sys.path.remove(here)


def _refuse_standard_library(module: str, what: str) -> None:
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names:
        raise UserError(f"{what} is of Python's standard library, of which nothing is ever called as a part")


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:12]
