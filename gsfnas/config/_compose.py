"""From the name of a study and overrides to frozen values."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gsfnas.config._hydra import PRIMARY, ConfigFiles, mapping_of
from gsfnas.config._override import Rewriter, names_backbone, set_field
from gsfnas.config._resolve import Resolved, escaped, resolve
from gsfnas.config._roots import ConfigRoots, find_roots, is_shipped
from gsfnas.config._typed import field_names, to_settings
from gsfnas.data._settings import DataSettings
from gsfnas.errors import UserError, shown, unknown
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


@dataclass(frozen=True)
class StudyConfig:
    """A study, composed: its settings, which backbone and space, and the whole as YAML that can be run again.

    In ``resolved`` and ``yaml``, which are written to files, what comes from the environment stays an interpolation.
    ``is_backbone_named_by_user`` is true for a backbone ``package.module:object`` that an override of this call names, or a
    file of the config root that was given to it; a file that merely lies there names no code.
    """

    study: StudySettings
    space: Space
    backbone: str
    backbone_options: Mapping[str, Any]
    data: DataSettings
    train: TrainSettings
    resolved: Mapping[str, Any]
    yaml: str
    protocol: ProtocolSettings = dataclasses.field(default_factory=ProtocolSettings)
    is_backbone_named_by_user: bool = False


@dataclass(frozen=True)
class RunConfig:
    """What it takes to train and test one candidate; ``resolved`` is the whole as plain values, as files have it."""

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
    path = _study_file(name, roots)
    found = _compose_study(path, overrides, roots)
    values = found.values
    settings = _settings(found, path, SECTIONS, study={"name": path.stem})
    backbone = {"name": "micro", **_section(values, "backbone", path)}
    if not isinstance(backbone["name"], str):
        raise UserError(f"`backbone.name` must be a string, but got {shown(backbone['name'])}")
    if "space" not in values:
        raise UserError(f"{path} chooses no space: put `- /spaces@space: NAME` into its defaults, or add space=NAME")
    written = _written(settings, found)
    resolved = {
        "study": written["study"],
        "space": _section(found.written, "space", path),
        "backbone": {"name": "micro", **_section(found.written, "backbone", path)},
        "data": written["data"],
        "train": written["train"],
        "protocol": written["protocol"],
    }
    return StudyConfig(
        study=settings["study"],
        space=Space.from_dict(_section(values, "space", path)),
        backbone=backbone["name"],
        backbone_options={option: value for option, value in backbone.items() if option != "name"},
        data=settings["data"],
        train=settings["train"],
        protocol=settings["protocol"],
        resolved=resolved,
        yaml=f"# @package _global_\n{yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120)}",
        is_backbone_named_by_user=_is_named_by_user(backbone["name"], path, overrides, config_root),
    )


def compose_data(name: str, overrides: Sequence[str] = (), config_root: Path | None = None) -> DataSettings:
    """The settings of a data set alone. Raises UserError as ``compose_study`` does."""
    roots = find_roots(config_root)
    rewrite = Rewriter(roots, _fields({"data": DataSettings}), {}, ("data",))
    path = roots.file("data", name, "data set")
    found = ConfigFiles(roots).compose(rewrite([f"data={name}", *overrides]), path)
    return to_settings(DataSettings, _section(found.values, "data", path), "data")


def compose_run(
    overrides: Sequence[str] = (), config_root: Path | None = None, base: Mapping[str, Mapping[str, Any]] | None = None
) -> RunConfig:
    """Data set, recipe and protocol of one run.

    ``base`` are sections, as a file has them, that hold where no override chooses from their group. Raises UserError as
    ``compose_study`` does.
    """
    roots = find_roots(config_root)
    named = {override.lstrip("+").partition("=")[0] for override in overrides}
    base = {section: values for section, values in (base or {}).items() if section not in named}
    data = _name_of_data(base.get("data", {}))
    first = [f"{group}={data if group == 'data' else option}" for group, option in RUN_GROUPS.items() if group not in named]
    fields = _fields({section: SECTIONS[section] for section in RUN_GROUPS})
    rewrite = Rewriter(roots, fields, {}, tuple(RUN_GROUPS))
    chosen = [override for override in overrides if override.lstrip("+").partition("=")[0] in RUN_GROUPS]
    # The data set first: what a recipe says of it must come after it.
    lines = rewrite(sorted([*first, *chosen], key=lambda override: not override.lstrip("+").startswith("data=")))
    rest = rewrite([override for override in overrides if override not in chosen])
    path = roots.file("data", data, "data set")
    files = ConfigFiles(roots)
    # What the recipe says of the data stands before what the base says of them.
    alone, both = (_section(files.compose(some, path).values, "data", path) for some in (lines[:1], lines))
    theirs = {name for name in both if both[name] != alone.get(name)}
    given = [
        set_field(f"{section}.{name}", value, fields)
        for section, values in base.items()
        for name, value in values.items()
        if section != "data" or name not in theirs
    ]
    found = files.compose([*lines, *given, *rest], path)
    settings = _settings(found, path, RUN_GROUPS)
    return RunConfig(**settings, resolved=_written(settings, found))


def load_space(name: str, config_root: Path | None = None) -> Space:
    """The space of that name. Raises UserError for a name or a file that is none."""
    roots = find_roots(config_root)
    path = roots.file("spaces", name, "space")
    values = mapping_of(roots.read(path), path)
    if not values:
        raise UserError(f"{path} is empty; a space has sites and insertions, or rows")
    try:
        return Space.from_dict({"name": path.stem, **values})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _study_file(name: str, roots: ConfigRoots) -> Path:
    if name.endswith((".yaml", ".yml")) and Path(name).exists():
        return Path(name).resolve()
    return roots.file("studies", name, "study")


def _compose_study(path: Path, overrides: Sequence[str], roots: ConfigRoots) -> Resolved:
    # From within its own folder: groups that are added to a study in a subfolder would be looked for beside it.
    files = ConfigFiles(ConfigRoots((path.parent, *roots.folders)), path)
    files.check_ends()
    rewrite = Rewriter(roots, _fields(SECTIONS), _chosen_groups(files), GROUPS)
    found = files.compose(rewrite(overrides), path)
    sections = [*SECTIONS, "space", "backbone"]
    for section in found.values:
        if section not in sections:
            raise unknown(f"section of {path}", section, sections)
        if (section,) in found.from_environment:
            raise UserError(f"`{section}` in {path} must be written out; its settings alone may come from the environment")
    return found


def _chosen_groups(files: ConfigFiles, study: str = PRIMARY) -> dict[str, str]:
    """Group -> option of a study's defaults list and of those of the studies that it builds on, as overrides name them.

    Raises UserError where a list does not say whether the study's own settings come before or after it.
    """
    file = files.load(study)
    if file.defaults and len(file.values) > 1 and not any(entry.is_self for entry in file.defaults):
        raise UserError(f"the defaults of {file.path} must end with `- _self_`, so that its own settings come after them")
    chosen: dict[str, str] = {}
    for entry in file.defaults:
        if entry.group is not None:
            chosen |= {} if entry.option is None else {entry.group: entry.option}
            continue
        for name in entry.names:
            if name.startswith("studies/") and files.find(name) is not None:
                chosen |= _chosen_groups(files, name)
    return chosen


def _is_named_by_user(backbone: str, path: Path, overrides: Sequence[str], config_root: Path | None) -> bool:
    """Whether a backbone ``package.module:object`` stands in an override, or in a file of the config root that was given."""
    if ":" not in backbone:
        return False
    if names_backbone(overrides, backbone):
        return True
    if config_root is None or not (path.is_relative_to(config_root.resolve()) or is_shipped(path)):
        return False
    try:
        found = _compose_study(path, overrides, find_roots(config_root, with_working_directory=False))
    except UserError:
        # Files of the working directory take part.
        return False
    return bool(_section(found.values, "backbone", path).get("name") == backbone)


def _name_of_data(values: Mapping[str, Any]) -> str:
    name = values.get("name", RUN_GROUPS["data"])
    if not isinstance(name, str):
        raise UserError(f"`data.name` must be a string, but got {shown(name)}")
    return str(resolve({"name": name}, "the data of the run").values["name"])


def _settings(found: Resolved, path: Path, sections: Collection[str], **first: Mapping[str, Any]) -> dict[str, Any]:
    """The sections as values; what ``first`` says of one holds where the files say nothing."""
    return {
        section: to_settings(SECTIONS[section], {**first.get(section, {}), **_section(found.values, section, path)}, section)
        for section in sections
    }


def _written(settings: Mapping[str, Any], found: Resolved) -> dict[str, dict[str, Any]]:
    """Settings as files have them: with what comes from the environment as it was written."""
    return {
        section: {
            name: found.written[section][name] if (section, name) in found.from_environment else escaped(value)
            for name, value in dataclasses.asdict(values).items()
        }
        for section, values in settings.items()
    }


def _section(values: Mapping[str, Any], section: str, path: Path) -> dict[str, Any]:
    found = values.get(section) or {}
    if not isinstance(found, dict):
        raise UserError(f"`{section}` in {path} must be a mapping, but got {shown(found)}")
    return {str(name): value for name, value in found.items() if value != "???"}


def _fields(sections: Mapping[str, type[Any]]) -> Collection[str]:
    return [name for section, cls in sections.items() for name in field_names(cls, section)]
