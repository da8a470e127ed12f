"""From the name of a study and overrides to frozen values."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsfnas.config._override import Rewriter, quoted
from gsfnas.config._roots import ConfigRoots, find_roots
from gsfnas.config._typed import field_names, to_settings
from gsfnas.data._settings import DataSettings
from gsfnas.errors import UserError, unknown
from gsfnas.space import Space
from gsfnas.study._settings import StudySettings
from gsfnas.train._protocol import ProtocolSettings
from gsfnas.train._settings import TrainSettings

SECTIONS: Mapping[str, type[Any]] = {
    "study": StudySettings,
    "data": DataSettings,
    "train": TrainSettings,
    "protocol": ProtocolSettings,
}
GROUPS = ("space", "backbone", "data", "train", "protocol")
# What a run has of these, and the option of each where none is named.
RUN_GROUPS: Mapping[str, str] = {"data": "twins", "train": "quick", "protocol": "efficiency"}

_SEARCHED: ContextVar[tuple[Path, ...]] = ContextVar("searched", default=())


@dataclass(frozen=True)
class StudyConfig:
    """A study, composed: its settings, which backbone and space, and the whole as YAML that can be run again."""

    study: StudySettings
    space: Space
    backbone: str
    backbone_options: Mapping[str, Any]
    data: DataSettings
    train: TrainSettings
    resolved: Mapping[str, Any]
    yaml: str
    protocol: ProtocolSettings = dataclasses.field(default_factory=ProtocolSettings)


@dataclass(frozen=True)
class RunConfig:
    """What it takes to train and test one candidate; ``resolved`` is the whole as plain values."""

    data: DataSettings
    train: TrainSettings
    protocol: ProtocolSettings
    resolved: Mapping[str, Any]


def compose_study(name: str, overrides: Sequence[str] = (), config_root: Path | None = None) -> StudyConfig:
    """The study of that name, or of a YAML file given by its path, with overrides applied in order.

    Raises UserError for an unknown study, override, option or setting, a value of the wrong type or out of range, and a file
    that cannot be read.
    """
    roots = find_roots(config_root)
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        path = Path(name).resolve()
    else:
        path = roots.file("studies", name, "study")
    rewrite = Rewriter(roots, _fields(SECTIONS), _chosen_groups(path, roots), GROUPS)
    # From within its own folder: groups that are added to a study in a subfolder would be looked for beside it.
    values = _compose(path.stem, rewrite(overrides), ConfigRoots((path.parent, *roots.folders)), path)
    for section in values:
        if section not in {*SECTIONS, "space", "backbone"}:
            raise unknown(f"section of {path}", str(section), [*SECTIONS, "space", "backbone"])
    study = to_settings(StudySettings, {"name": path.stem, **_section(values, "study", path)}, "study")
    data = to_settings(DataSettings, _section(values, "data", path), "data")
    train = to_settings(TrainSettings, _section(values, "train", path), "train")
    protocol = to_settings(ProtocolSettings, _section(values, "protocol", path), "protocol")
    backbone = {"name": "micro", **_section(values, "backbone", path)}
    if "space" not in values:
        raise UserError(f"{path} chooses no space: put `- /spaces@space: NAME` into its defaults, or add space=NAME")
    resolved = {
        "study": dataclasses.asdict(study),
        "space": _section(values, "space", path),
        "backbone": backbone,
        "data": dataclasses.asdict(data),
        "train": dataclasses.asdict(train),
        "protocol": dataclasses.asdict(protocol),
    }
    return StudyConfig(
        study=study,
        space=Space.from_dict(resolved["space"]),
        backbone=str(backbone["name"]),
        backbone_options={option: value for option, value in backbone.items() if option != "name"},
        data=data,
        train=train,
        protocol=protocol,
        resolved=resolved,
        yaml=f"# @package _global_\n{yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120)}",
    )


def compose_data(name: str, overrides: Sequence[str] = (), config_root: Path | None = None) -> DataSettings:
    """The settings of a data set alone. Raises UserError as ``compose_study`` does."""
    roots = find_roots(config_root)
    rewrite = Rewriter(roots, _fields({"data": DataSettings}), {}, ("data",))
    path = roots.file("data", name, "data set")
    values = _compose(None, rewrite([f"data={name}", *overrides]), roots, path)
    return to_settings(DataSettings, _section(values, "data", path), "data")


def compose_run(
    overrides: Sequence[str] = (), config_root: Path | None = None, base: Mapping[str, Mapping[str, Any]] | None = None
) -> RunConfig:
    """Data set, recipe and protocol of one run.

    ``base`` are sections that hold where no override chooses from their group. Raises UserError as ``compose_study`` does.
    """
    roots = find_roots(config_root)
    named = {override.lstrip("+").partition("=")[0] for override in overrides}
    base = {section: values for section, values in (base or {}).items() if section not in named}
    data = str(base["data"]["name"]) if "data" in base else RUN_GROUPS["data"]
    first = [f"{group}={data if group == 'data' else option}" for group, option in RUN_GROUPS.items() if group not in named]
    rewrite = Rewriter(roots, _fields({section: SECTIONS[section] for section in RUN_GROUPS}), {}, tuple(RUN_GROUPS))
    chosen = [override for override in overrides if override.lstrip("+").partition("=")[0] in RUN_GROUPS]
    # The data set first: what a recipe says of it must come after it.
    lines = rewrite(sorted([*first, *chosen], key=lambda override: not override.lstrip("+").startswith("data=")))
    rest = rewrite([override for override in overrides if override not in chosen])
    path = roots.file("data", data, "data set")
    # What the recipe says of the data stands before what the base says of them.
    alone, both = (_section(_compose(None, some, roots, path), "data", path) for some in (lines[:1], lines))
    theirs = {name for name in both if both[name] != alone.get(name)}
    given = [
        f"++{section}.{name}={_literal(value)}"
        for section, values in base.items()
        for name, value in values.items()
        if section != "data" or name not in theirs
    ]
    values = _compose(None, [*lines, *given, *rest], roots, path)
    sections = {name: to_settings(SECTIONS[name], _section(values, name, path), name) for name in RUN_GROUPS}
    return RunConfig(**sections, resolved={name: dataclasses.asdict(section) for name, section in sections.items()})


def _literal(value: Any) -> str:
    """A plain value as Hydra reads it."""
    if value is None:
        return "null"
    return quoted(value) if isinstance(value, str) else str(value).lower()


def load_space(name: str, config_root: Path | None = None) -> Space:
    """The space of that name. Raises UserError for a name or a file that is none."""
    path = find_roots(config_root).file("spaces", name, "space")
    values = _read(path)
    if not values:
        raise UserError(f"{path} is empty; a space has sites and insertions, or rows")
    try:
        return Space.from_dict({"name": path.stem, **values})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _compose(config_name: str | None, overrides: list[str], roots: ConfigRoots, path: Path) -> dict[str, Any]:
    """What Hydra composes, as plain values; a value that is still missing (``???``) is left out."""
    with _searching(roots):
        try:
            config = compose(config_name=config_name, overrides=overrides)
            values = OmegaConf.to_container(config, resolve=True)
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            raise UserError(f"{path} cannot be composed: {_one_line(error)}") from error
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items()}


@contextmanager
def _searching(roots: ConfigRoots) -> Iterator[None]:
    Plugins.instance().register(ConfigRootsPlugin)
    token = _SEARCHED.set(roots.folders)
    try:
        with initialize(config_path=None, version_base="1.3"):
            yield
    finally:
        _SEARCHED.reset(token)


class ConfigRootsPlugin(SearchPathPlugin):
    """Puts the config roots before everything else on Hydra's search path.

    ``hydra.searchpath`` cannot: what it names comes after the primary source.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed(_SEARCHED.get()):
            search_path.prepend("gsfnas", f"file://{folder}")


def _read(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping, before anything is composed."""
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, yaml.YAMLError, OSError) as error:
        raise UserError(f"{path} cannot be read: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping, but it is a {type(values).__name__}")
    return {str(name): value for name, value in values.items()}


def _chosen_groups(path: Path, roots: ConfigRoots) -> dict[str, str]:
    """Group -> option of a study's defaults list and of those of the studies that it builds on, as overrides name them.

    Raises UserError where the list does not say whether the study's own settings come before or after it.
    """
    values = _read(path)
    entries = values.get("defaults") or []
    if entries and len(values) > 1 and "_self_" not in entries:
        raise UserError(f"the defaults of {path} must end with `- _self_`, so that its own settings come after them")
    chosen: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, dict):
            chosen |= {str(group).lstrip("/"): str(option) for group, option in entry.items()}
        elif entry.startswith("/studies/"):
            chosen |= _chosen_groups(roots.file("studies", entry.removeprefix("/studies/"), "study"), roots)
    return chosen


def _section(values: Mapping[str, Any], section: str, path: Path) -> dict[str, Any]:
    found = values.get(section) or {}
    if not isinstance(found, dict):
        raise UserError(f"`{section}` in {path} must be a mapping, but got {found!r}")
    return {str(name): value for name, value in found.items() if value != "???"}


def _fields(sections: Mapping[str, type[Any]]) -> Collection[str]:
    return [name for section, cls in sections.items() for name in field_names(cls, section)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
