"""What Hydra composes from files that anyone may have written.

Hydra reads them through a source of this module alone: each file is checked before anything is built of it, lies in a config
root, and says nothing to Hydra itself (its search path and its plugins could import code). While Hydra composes, interpolations
are set aside: merging would resolve them, the environment's too.
"""

import builtins
import io
import os
import re
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from gsfnas import plain_yaml
from gsfnas.config._defaults import Default, check_ends, read_defaults
from gsfnas.config._resolve import Resolved, resolve
from gsfnas.config._roots import ConfigRoots
from gsfnas.errors import UserError, shortened

# The name under which Hydra knows the study's file, whatever it is called.
PRIMARY = "gsfnas_study"
_CHOICE = re.compile(r"\+?([\w/]+(?:@[\w.]+)?)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class _File:
    path: Path
    header: dict[str, str | None]
    values: dict[str, Any]
    defaults: tuple[Default, ...]


class ConfigFiles:
    """The files that take part in one composition, each read once, by their paths in a config root without the ending.

    ``primary`` is the study's own file, None where there are groups alone.
    """

    def __init__(self, roots: ConfigRoots, primary: Path | None = None) -> None:
        self.roots = roots
        self._primary = primary
        self._read: dict[str, _File] = {}
        self._set_aside: dict[str, str] = {}

    def find(self, name: str) -> Path | None:
        """The first file of that name."""
        if name == PRIMARY:
            return self._primary
        paths = (folder / f"{name}.yaml" for folder in (self.roots.folders if _is_inside(name) else ()))
        return next((path for path in paths if os.path.lexists(path)), None)

    def folders(self, group: str) -> list[Path]:
        """Where the options of a group are."""
        folders = (folder / group for folder in (self.roots.folders if _is_inside(group) else ()))
        return [folder for folder in folders if os.path.lexists(folder) and folder.is_dir()]

    def load(self, name: str) -> _File:
        """The values of a file. Raises UserError where it cannot be read or says what it may not."""
        if name not in self._read:
            path = self.find(name)
            assert path is not None
            text = self.roots.read(path)
            values = mapping_of(text, path)
            if "hydra" in values:
                raise UserError(f"{path} has a section `hydra`, but Hydra's own settings are not a study's")
            header = _header(text, path)
            defaults = read_defaults(values, "" if name == PRIMARY else name, str(path))
            self._read[name] = _File(path, header, values, defaults)
        return self._read[name]

    def check_ends(self, overrides: Sequence[str] = ()) -> None:
        """Raises UserError where the files name each other in a ring, or too many; overrides may choose further ones."""
        found = (_CHOICE.fullmatch(override) for override in overrides)
        choices = {match[1]: match[2] for match in found if match is not None}
        chosen = [f"{group.partition('@')[0]}/{option}" for group, option in choices.items()]
        for name in [*([] if self._primary is None else [PRIMARY]), *chosen]:
            check_ends(name, self._defaults_of, choices)

    def compose(self, overrides: Sequence[str], path: Path) -> Resolved:
        """What Hydra makes of the files and the overrides; ``path`` is the file to name in an error.

        Raises UserError for what cannot be composed.
        """
        self.check_ends(overrides)
        try:
            with _reading(self):
                config = compose(config_name=None if self._primary is None else PRIMARY, overrides=list(overrides))
                raw = OmegaConf.to_container(config)
        except UserError:
            raise
        except Exception as error:
            # Hydra and its grammar fail in many ways on text that they do not understand.
            said = str(error).replace(PRIMARY, path.name) or type(error).__name__
            raise UserError(f"{path} cannot be composed: {shortened(said, 600)}") from error
        assert isinstance(raw, dict)
        return resolve({str(name): self._restored(value) for name, value in raw.items()}, str(path))

    def result(self, name: str, provider: str) -> ConfigResult:
        """A file for Hydra."""
        file = self.load(name)
        values = {key: self._without_interpolations(value) for key, value in file.values.items() if key != "defaults"}
        if file.defaults:
            values["defaults"] = file.values["defaults"]
        return ConfigResult(provider, str(file.path), OmegaConf.create(values), dict(file.header))

    def _defaults_of(self, name: str) -> Collection[Default]:
        return () if self.find(name) is None else self.load(name).defaults

    def _without_interpolations(self, value: Any) -> Any:
        if isinstance(value, str) and "${" in value:
            mark = f"interpolation-{uuid.uuid4().hex}"
            self._set_aside[mark] = value
            return mark
        return _each(self._without_interpolations, value)

    def _restored(self, value: Any) -> Any:
        return self._set_aside.get(value, value) if isinstance(value, str) else _each(self._restored, value)


def mapping_of(text: str, path: Path) -> dict[str, Any]:
    """A checked text as OmegaConf reads it, by section. Raises UserError where it is no mapping."""
    try:
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))
    except Exception as error:
        raise UserError(f"{path} cannot be read: {plain_yaml.explain(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping, but it is a {type(values).__name__}")
    return {str(name): value for name, value in values.items()}


class ConfigFilesSource(ConfigSource):
    """The files of the composition that is going on."""

    @staticmethod
    def scheme() -> str:
        return "gsfnas"

    def load_config(self, config_path: str) -> ConfigResult:
        return _COMPOSED.get().result(config_path, self.provider)

    def available(self) -> bool:
        return True

    def is_config(self, config_path: str) -> bool:
        return _COMPOSED.get().find(config_path) is not None

    def is_group(self, config_path: str) -> bool:
        return bool(_COMPOSED.get().folders(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        return sorted({path.stem for folder in _COMPOSED.get().folders(config_path) for path in folder.glob("*.yaml")})


class ConfigRootsPlugin(SearchPathPlugin):
    """Puts the config roots before everything else on Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if _COMPOSED.get(None) is not None:
            search_path.prepend("gsfnas", "gsfnas://roots")


_COMPOSED: ContextVar[ConfigFiles] = ContextVar("composed")


def _plugins() -> Plugins:
    """Hydra's registry. When it is made it imports every ``hydra_plugins`` on Python's path.

    None of the working directory, which ``python -m gsfnas`` puts there.
    """
    path, here = sys.path[:], Path.cwd()
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != here.resolve()]
    try:
        return Plugins.instance()
    finally:
        sys.path[:] = path


@contextmanager
def _reading(files: ConfigFiles) -> Iterator[None]:
    plugins = _plugins()
    plugins.register(ConfigRootsPlugin)
    plugins.register(ConfigFilesSource)
    token = _COMPOSED.set(files)
    try:
        with initialize(config_path=None, version_base="1.3"):
            yield
    finally:
        _COMPOSED.reset(token)


def _is_inside(name: str) -> bool:
    """Whether a path in a config root stays in it; Hydra has its own ``hydra/``."""
    parts = name.split("/")
    return parts[0] != "hydra" and not any(part in ("", ".", "..") for part in parts) and "\0" not in name


def _header(text: str, path: Path) -> dict[str, str | None]:
    """What ``# @package`` says."""
    try:
        header = ConfigSource._get_header_dict(text[:512])
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {plain_yaml.explain(error)}") from None
    if "hydra" in re.split(r"[.:]", header["package"] or ""):
        raise UserError(f"{path} belongs to the package `hydra`, but Hydra's own settings are not a study's")
    return header


def _each(change: Any, value: Any) -> Any:
    """Containers with something done to each value."""
    if isinstance(value, Mapping):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, list) else value
