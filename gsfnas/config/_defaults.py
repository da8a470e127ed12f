"""The defaults list of a YAML file: on which other files it builds, checked before Hydra follows it.

An entry is the name of a file (``/studies/placement``, or ``paper`` for one beside it), one option of a group
(``/data: twins``, ``/spaces@space: placement``), or ``_self_``. None of them leads out of the config roots or into Hydra's own
settings, and the whole has an end.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gsfnas.errors import UserError, shortened, shown

# A study takes some ten files. Each may name others, and each of those again.
_MAX_FILES = 200
_CHOICE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Default:
    """One entry: files by their paths in a config root, without the ending; ``group`` is None where no option is chosen."""

    names: tuple[str, ...]
    group: str | None = None
    option: str | None = None
    is_self: bool = False


def read_defaults(values: Mapping[str, Any], name: str, path: str) -> tuple[Default, ...]:
    """The entries of the file ``name``; ``path`` is where it is. Raises UserError for what is no such list."""
    entries = values.get("defaults")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise UserError(f"the defaults of {path} must be a list, but got {shown(entries)}")
    folder = name.rpartition("/")[0]
    return tuple(_entry(entry, folder, path) for entry in entries)


def check_ends(name: str, defaults_of: Callable[[str], Collection[Default]], choices: Mapping[str, str]) -> None:
    """Raises UserError where following the defaults comes back to a file, or to too many; ``choices`` are options by group."""
    known = dict(choices)
    count = 0

    def follow(name: str, on_the_way: tuple[str, ...]) -> None:
        nonlocal count
        if name in on_the_way:
            ring = " -> ".join([*on_the_way[on_the_way.index(name) :], name])
            raise UserError(f"the defaults go round in a ring: {shortened(ring)}")
        count += 1
        if count > _MAX_FILES:
            raise UserError(f"the defaults of {on_the_way[0]} lead to more than {_MAX_FILES} files")
        entries = defaults_of(name)
        for entry in entries:
            if entry.group is not None and entry.option is not None:
                known.setdefault(entry.group, entry.option)
        for entry in entries:
            for found in entry.names:
                follow(_chosen(found, known, name), (*on_the_way, name))

    follow(name, ())


def _entry(entry: Any, folder: str, path: str) -> Default:
    if entry == "_self_":
        return Default((), is_self=True)
    if isinstance(entry, str):
        return Default((_inside(entry, folder, path),))
    if not isinstance(entry, dict) or len(entry) != 1:
        raise _no_entry(entry, path)
    key, options = next(iter(entry.items()))
    listed = options if isinstance(options, list) else [] if options is None else [options]
    if not isinstance(key, str) or not all(isinstance(option, str) for option in listed):
        raise _no_entry(entry, path)
    group = _inside(key.split(" ")[-1], folder, path)
    names = tuple(_inside(f"/{group}/{option}", "", path) for option in listed if option != "???")
    return Default(names, key.lstrip("/"), options if isinstance(options, str) else None)


def _no_entry(entry: Any, path: str) -> UserError:
    return UserError(f"an entry of the defaults of {path} is a file or `GROUP: OPTION`, but got {shown(entry)}")


def _inside(written: str, folder: str, path: str) -> str:
    """The path within a config root, from one that may begin with ``/`` and may say a package (``/spaces@space``)."""
    name, _, package = written.partition("@")
    name = name[1:] if name.startswith("/") else f"{folder}/{name}" if folder else name
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise UserError(f"the defaults of {path} name {shown(written)}, which leads out of the config roots")
    if name.split("/")[0] == "hydra" or "hydra" in re.split(r"[.:]", package):
        raise UserError(f"the defaults of {path} name {shown(written)}, but Hydra's own settings are not a study's")
    return name


def _chosen(name: str, known: Mapping[str, str], asker: str) -> str:
    """A name with ``${GROUP}`` replaced by the option that is chosen of the group."""
    chosen = _CHOICE.sub(lambda match: known.get(match[1], match[0]), name)
    if "${" in chosen:
        raise UserError(f"the defaults of {asker} name {shown(name)}, but know ${{GROUP}} alone, the option of a group")
    return chosen
