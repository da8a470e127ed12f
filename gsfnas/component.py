"""Loads code from outside this package, named ``package.module:object``, if the user trusts it. All such code is loaded here.

Users trust code by naming it: in Python, in a command line argument, by ``--trust PACKAGE``, or in a config root given by
``--config-root``. A name in data (weights, reports, journals, candidates from files, a YAML file in the working directory)
imports nothing unless the user has named that code too. Trust applies to the process and its workers.
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
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from gsfnas.errors import MAX_COMPARED, UserError, is_out_of_memory, one_line, shown, unknown, unknown_setting, with_article
from gsfnas.typed import checked, to_settings

# Packages (``package``) and single parts (``package.module:object``) that the user of this process has named.
_TRUSTED: set[str] = set()
# Module of a loaded part -> the working directory when it was loaded; in order of loading.
_LOADED: dict[str, str] = {}
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def is_outside(name: str) -> bool:
    """Whether the name of a part refers to code outside this package."""
    return ":" in name


def trust(*names: str) -> None:
    """Allows data to name code in these packages (``package``), or these parts (``package.module:object``), from now on.

    Raises UserError for an invalid name, and for the standard library, which has no parts to offer.
    """
    for name in names:
        module, colon, attribute = name.partition(":")
        if not _DOTTED.fullmatch(module) or (colon and not attribute.isidentifier()):
            raise UserError(f"code is named package or package.module:object, as in my_module:Class, but got {shown(name)}")
        _refuse_standard_library(module, name)
    _TRUSTED.update(names)


def trusted() -> tuple[str, ...]:
    """The sorted names that are trusted; passed on to the processes that this one starts."""
    return tuple(sorted(_TRUSTED))


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Trusts ``names`` within the block only. Processes started after the block do not import what was loaded within it."""
    before, loaded_before = set(_TRUSTED), list(_LOADED)
    try:
        trust(*names)
        yield
    finally:
        _TRUSTED.intersection_update(before)
        for module in [module for module in _LOADED if module not in loaded_before]:
            del _LOADED[module]


def load(name: str, kind: str, *, is_value: bool = False) -> Any:
    """Loads the object named ``package.module:object``, also from modules in the working directory.

    ``kind`` is the kind of part, for messages. Raises UserError, before anything is imported, for code that is not trusted and
    for the standard library; and if the module cannot be imported, lacks the object, or the object is not callable, unless it
    ``is_value``.
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
    module = _import(module_name, name, kind)
    found = getattr(module, attribute, None)
    _LOADED[module_name] = str(Path.cwd())
    if found is None:
        names = [one for one, value in vars(module).items() if one[0] != "_" and (is_value or callable(value))]
        near = " or ".join(map(repr, get_close_matches(attribute[:MAX_COMPARED], names, n=2)))
        hint = f"; did you mean {near}?" if near else ""
        raise UserError(f"{kind} {name!r}: {module_name!r} has no {attribute!r}{hint}")
    if not (is_value or callable(found)):
        raise UserError(f"{kind} {name!r} is {with_article(type(found).__name__)}, not a class or function")
    # The object may have been imported into the module from the standard library.
    origin = found
    while isinstance(origin, functools.partial):
        origin = origin.func
    _refuse_standard_library(str(getattr(origin, "__module__", None) or type(origin).__module__), f"{kind} {name!r}")
    return found


def is_loaded(name: str) -> bool:
    """Whether this process has loaded a part of a package (``package``), or of the module of ``package.module:object``."""
    module = name.partition(":")[0]
    return any(one == module or one.startswith(f"{module}.") for one in _LOADED)


def loaded() -> tuple[tuple[str, str], ...]:
    """(module, working directory) of all loaded parts; passed on to the processes that this one starts."""
    return tuple(_LOADED.items())


def reload(modules: Iterable[tuple[str, str]]) -> None:
    """Imports the modules that another process had ``loaded``. Missing ones are ignored, since they may not be needed."""
    for module, folder in modules:
        with contextlib.suppress(UserError):
            _import(module, module, "module", folder)
            _LOADED[module] = folder


def find(name: str, choices: Mapping[str, str], kind: str) -> Any:
    """Looks up a name in ``choices`` (name -> ``module:object``), or loads ``package.module:object``.

    Raises UserError for an unknown name, listing the most similar choices first, and as ``load`` does.
    """
    if is_outside(name):
        return load(name, kind)
    if name not in choices:
        raise UserError(f"{unknown(kind, name, choices)}; {how_to_name(name)}")
    module, _, attribute = choices[name].partition(":")
    return getattr(import_module(module), attribute)


def how_to_name(name: str) -> str:
    """How a user's own part is written, for the message about an unknown ``name``; with a dot, it may be meant as one."""
    module, _, attribute = name.rpartition(".")
    is_meant = bool(_DOTTED.fullmatch(name) and module)
    return f"one of your own is written {f'{module}:{attribute}' if is_meant else 'module:Class'}"


def make(given: Any, options: Mapping[str, Any], section: str) -> Any:
    """Instantiates a part from its class and options; overrides call an option ``section.option``.

    Raises UserError for an unknown or missing option, or a value of the wrong type.
    """
    if not callable(given):
        raise UserError(f"{section} {shown(given)} cannot be called, so it makes no {section}")
    cls, set_already = (given.func, given.keywords) if isinstance(given, functools.partial) else (given, {})
    if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"{section} {cls.__qualname__!r} has no method {lacking[0]!r}")
    if dataclasses.is_dataclass(given) and isinstance(given, type):
        return to_settings(given, options, section)
    try:
        accepted = [one for one in _signature(cls).parameters.values() if one.name not in set_already]
    except (TypeError, ValueError):
        accepted = []
    names = [one.name for one in accepted if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in accepted):
        for option in options:
            if option not in names:
                raise unknown_setting(section, option, names)
    hints = _hints(cls)
    options = {name: checked(value, hints.get(name), f"{section}.{name}") for name, value in options.items()}
    try:
        return given(**options)
    except UserError:
        raise
    except Exception as error:
        name = getattr(cls, "__qualname__", shown(cls))
        raise UserError(f"{section} {name!r} cannot be made ({where(error)})") from error


def _signature(cls: Any) -> inspect.Signature:
    """The arguments of a class or function; none for a class without ``__init__``, also one derived from a protocol.

    A protocol gets an ``__init__`` of the module ``typing``, which seems to accept any argument.
    """
    init, new = (getattr(cls, name, None) for name in ("__init__", "__new__"))
    if isinstance(cls, type) and new is object.__new__ and getattr(init, "__module__", "") == "typing":
        return inspect.Signature()
    return inspect.signature(cls)


def _hints(cls: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(getattr(cls, "__init__") if isinstance(cls, type) else cls)  # noqa: B009
    except Exception:
        # The hints may use names that are imported for type checkers only.
        return {}


def check_methods(
    part: Any, methods: Iterable[str], kind: str, attributes: Iterable[str] = (), inherited: Iterable[str] = ()
) -> Any:
    """Returns the part. Raises UserError if it lacks one of the methods or attributes that its kind must have.

    ``attributes`` must be defined by the part itself, ``inherited`` ones are also those of the base class of its kind. No
    property is evaluated, since that might open a data set.
    """
    if isinstance(part, type):
        raise UserError(f"{kind} {part.__qualname__!r} is a class; give one of it: {part.__qualname__}()")
    missing = [name for name in methods if not callable(getattr(part, name, None))]
    if missing:
        has = f"{kind} {type(part).__qualname__!r}"
        raise UserError(f"{has} has no method {missing[0]!r}; every {kind} has {', '.join(methods)}")
    nothing = object()
    for name in (*attributes, *inherited):
        if inspect.getattr_static(part, name, nothing) is nothing:
            has = f"{kind} {type(part).__qualname__!r}"
            cure = f"every {kind} must define {', '.join(attributes)}"
            if name not in attributes:
                cure = f"derive it from the base class for a {kind}, which has it"
            raise UserError(f"{has} has no attribute {name!r}; {cure}")
    return part


@contextmanager
def blaming(part: Any, kind: str) -> Iterator[None]:
    """Turns an error of a user's part within the block into a UserError that names the part, and file and line of the error.

    Errors of parts of this package are passed on unchanged, and so are errors due to lack of memory or disk space.
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
    """Identifies the code of a user's part, so that results of edited code are kept apart; empty for a part of this package.

    For an installed package it is the version; otherwise 12 hexadecimal digits of a SHA-256 of its source: all Python files of
    the package, or the one file of a single module.
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
        # Imported late: it takes a tenth of the time of `gsfnas --help`.
        from importlib.metadata import packages_distributions, version

        distributions = packages_distributions().get(package, [])
        return "-".join(f"{name}-{version(name)}" for name in distributions[:1]) or package
    top = getattr(sys.modules.get(package), "__file__", None)
    files = sorted(Path(top).parent.rglob("*.py")) if top and Path(top).name == "__init__.py" else [path]
    return _digest([file.read_bytes() for file in files if file.is_file()])


def source_hash(part: Any) -> str:
    """12 hexadecimal digits of a SHA-256 of the Python files in the folder of a part's class, be it of this package or not."""
    path = Path(inspect.getfile(type(part)))
    return _digest([file.read_bytes() for file in sorted(path.parent.glob("*.py"))])


def where(error: BaseException) -> str:
    """``ErrorType: first line``, with file and line of the error: in the user's own code, or else in an installed library."""
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
