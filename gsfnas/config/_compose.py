"""From the name of a study and overrides to frozen values."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gsfnas.component import find, is_outside, trust
from gsfnas.config._hydra import PRIMARY, ConfigFiles, mapping_of
from gsfnas.config._override import PARTS, Rewriter, names_part, set_field
from gsfnas.config._resolve import Resolved, escaped, resolve
from gsfnas.config._roots import ConfigRoots, find_roots, is_shipped
from gsfnas.data._settings import DataSettings
from gsfnas.errors import UserError, shown, unknown
from gsfnas.evaluators import EVALUATORS
from gsfnas.executors import EXECUTORS
from gsfnas.samplers import SAMPLERS
from gsfnas.space import Space
from gsfnas.stoppers import STOPPERS
from gsfnas.storages import STORAGES
from gsfnas.study._configuration import RENAMED, without_defaults
from gsfnas.study._settings import StudySettings
from gsfnas.train._protocol import ProtocolSettings
from gsfnas.train._settings import TrainSettings
from gsfnas.typed import field_names, to_settings

SECTIONS: Mapping[str, type[Any]] = {
    "study": StudySettings,
    "data": DataSettings,
    "train": TrainSettings,
    "protocol": ProtocolSettings,
}
# What each part may be called, and what it is where nothing is said.
CHOICES: Mapping[str, Mapping[str, str]] = {
    "sampler": SAMPLERS,
    "stopper": STOPPERS,
    "evaluator": EVALUATORS,
    "executor": EXECUTORS,
    "storage": STORAGES,
}
PART_NAMES: Mapping[str, str] = {
    "sampler": "tpe",
    "stopper": "none",
    "evaluator": "train",
    "executor": "local",
    "storage": "journal",
}
GROUPS = ("space", "backbone", "data", "train", "protocol", *PARTS)
# What a run has of these, and the option of each where none is named.
RUN_GROUPS: Mapping[str, str] = {"data": "twins", "train": "quick", "protocol": "efficiency"}


@dataclass(frozen=True)
class StudyConfig:
    """A study, composed: its settings, which backbone and space, and the whole as YAML that can be run again.

    In ``resolved`` and ``yaml``, which are written to files, what comes from the environment stays an interpolation.
    ``parts`` are the name of each exchangeable part and its options. ``named_by_user`` are the sections whose name
    ``package.module:object`` stands in an override of this call, or in a file of the config root that was given to it; a file
    that merely lies there names no code. ``report_sections`` are those of the report, all shipped ones where None.
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
    parts: Mapping[str, "Part"] = dataclasses.field(default_factory=dict)
    named_by_user: frozenset[str] = frozenset()
    report_sections: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """One exchangeable part of a study: a shipped name or ``package.module:object``, and its options."""

    name: str
    options: Mapping[str, Any]


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
    parts = {section: _part(values, section, path) for section in PARTS}
    sections = _report_sections(values, path)
    named = {"backbone": backbone["name"], "data": settings["data"].name}
    named |= {section: part.name for section, part in parts.items()}
    for name in filter(is_outside, sections or ()):
        if any(override.lstrip("+").startswith("report.sections=") and name in override for override in overrides):
            trust(name)
    space = Space.from_dict(_section(values, "space", path))
    for name in filter(is_outside, space.modules):
        # The whole name, since a file may ask for one that is only part of it.
        whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
        given = any(override.lstrip("+").startswith("space.") and whole.search(override) for override in overrides)
        if given or _is_of_config_root(partial(_asks_for_module, name), path, overrides, config_root):
            trust(name)
    resolved = {
        "study": written["study"],
        "space": _section(found.written, "space", path),
        "backbone": {"name": "micro", **_section(found.written, "backbone", path)},
        "data": written["data"],
        "train": written["train"],
        "protocol": written["protocol"],
        **{
            section: {"name": part.name, **part.options, **_section(found.written, section, path)}
            for section, part in parts.items()
        },
        **({} if sections is None else {"report": {"sections": list(sections)}}),
    }
    return StudyConfig(
        study=settings["study"],
        space=space,
        backbone=backbone["name"],
        backbone_options={option: value for option, value in backbone.items() if option != "name"},
        data=settings["data"],
        train=settings["train"],
        protocol=settings["protocol"],
        resolved=resolved,
        yaml=f"# @package _global_\n{yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120)}",
        parts=parts,
        named_by_user=frozenset(
            section for section, name in named.items() if _is_named_by_user(section, name, path, overrides, config_root)
        ),
        report_sections=sections,
    )


def compose_data(name: str, overrides: Sequence[str] = (), config_root: Path | None = None) -> DataSettings:
    """The settings of a data set alone. Raises UserError as ``compose_study`` does."""
    roots = find_roots(config_root)
    rewrite = Rewriter(roots, _fields({"data": DataSettings}), {}, ("data",))
    path = roots.file("data", "folder" if is_outside(name) else name, "data set")
    found = ConfigFiles(roots).compose(rewrite([f"data={name}", *overrides]), path)
    settings = to_settings(DataSettings, _section(found.values, "data", path), "data")
    if is_outside(settings.name) and names_part([f"data={name}", *overrides], "data", settings.name):
        trust(settings.name)
    return settings


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
    path = roots.file("data", "folder" if is_outside(data) else data, "data set")
    files = ConfigFiles(roots)
    # What the recipe says of the data stands before what the base says of them.
    alone, both = (_section(files.compose(some, path).values, "data", path) for some in (lines[:1], lines))
    theirs = {name for name in both if both[name] != alone.get(name)}
    given = [
        line
        for section, values in base.items()
        for name, value in values.items()
        if section != "data" or name not in theirs
        for line in set_field(f"{section}.{name}", value, fields)
    ]
    found = files.compose([*lines, *given, *rest], path)
    settings = _settings(found, path, RUN_GROUPS)
    if is_outside(name := settings["data"].name) and names_part(overrides, "data", name):
        trust(name)
    return RunConfig(**settings, resolved=_written(settings, found))


def load_space(name: str, config_root: Path | None = None) -> Space:
    """The space of that name. Raises UserError for a name or a file that is none."""
    roots = find_roots(config_root)
    path = roots.file("spaces", name, "space")
    values = mapping_of(roots.read(path), path)
    if not values:
        raise UserError(f"{path} is empty; a space has sites and insertions, or rows")
    try:
        space = Space.from_dict({"name": path.stem, **values})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if config_root is not None and path.is_relative_to(config_root.resolve()):
        trust(*filter(is_outside, space.modules))
    return space


def _study_file(name: str, roots: ConfigRoots) -> Path:
    if name.endswith((".yaml", ".yml")) and Path(name).exists():
        return Path(name).resolve()
    return roots.file("studies", name, "study")


def _compose_study(path: Path, overrides: Sequence[str], roots: ConfigRoots) -> Resolved:
    # From within its own folder: groups that are added to a study in a subfolder would be looked for beside it.
    files = ConfigFiles(ConfigRoots((path.parent, *roots.folders)), path)
    files.check_ends()
    rewrite = Rewriter(roots, _fields(SECTIONS), _chosen_groups(files), GROUPS)
    found = _renamed(files.compose(rewrite(overrides), path))
    sections = [*SECTIONS, "space", "backbone", *PARTS, "report"]
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


def _part(values: Mapping[str, Any], section: str, path: Path) -> Part:
    """A part's name and options, those of a shipped one written out. Raises UserError for a name that is none."""
    options = {"name": PART_NAMES[section], **_section(values, section, path)}
    name = options.pop("name")
    if not isinstance(name, str):
        raise UserError(f"`{section}.name` must be a string, but got {shown(name)}")
    if not is_outside(name) and name not in CHOICES[section]:
        raise unknown(section, name, CHOICES[section])
    defaults: dict[str, Any] = {}
    # The evaluator has its settings in sections of their own, and importing it takes torch.
    if section != "evaluator" and not is_outside(name):
        fields = dataclasses.fields(find(name, CHOICES[section], section))
        defaults = {field.name: field.default for field in fields}
    return Part(name, {**defaults, **options})


def _report_sections(values: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    """``report.sections``: names, in order. Raises UserError for what is no list of them."""
    report = _section(values, "report", path)
    sections = report.pop("sections", None)
    for name in report:
        raise unknown("setting", f"report.{name}", ["report.sections"])
    if sections is not None and not (isinstance(sections, list) and all(isinstance(name, str) for name in sections)):
        raise UserError(f"`report.sections` must be a list of names, but got {shown(sections)}")
    return None if sections is None else tuple(sections)


def _renamed(found: Resolved) -> Resolved:
    """Settings that were spelled otherwise before, under their names of now; a name of now that is there too holds."""
    places = set(found.from_environment)
    for old, new in RENAMED.items():
        (section, name), (other, key) = old.split("."), new.split(".")
        for values in (found.values, found.written):
            if not isinstance(values.get(section), dict) or name not in values[section]:
                continue
            value = values[section].pop(name)
            if values.get(other) is None:
                values[other] = {}
            if isinstance(values[other], dict):
                values[other].setdefault(key, value)
        if (section, name) in places:
            places = (places - {(section, name)}) | {(other, key)}
    return Resolved(found.values, found.written, frozenset(places))


def _is_named_by_user(section: str, name: str, path: Path, overrides: Sequence[str], config_root: Path | None) -> bool:
    """Whether a section's ``package.module:object`` stands in an override, or in a file of the config root that was given."""
    if not is_outside(name):
        return False
    if names_part(overrides, section, name):
        return True
    return _is_of_config_root(lambda values: _section(values, section, path).get("name") == name, path, overrides, config_root)


def _asks_for_module(name: str, values: Mapping[str, Any]) -> bool:
    return name in Space.from_dict(values["space"]).modules


def _is_of_config_root(
    holds: Callable[[Mapping[str, Any]], bool], path: Path, overrides: Sequence[str], config_root: Path | None
) -> bool:
    """Whether something holds of the study as the files of the given config root have it, without the working directory's."""
    if config_root is None or not (path.is_relative_to(config_root.resolve()) or is_shipped(path)):
        return False
    try:
        return holds(_compose_study(path, overrides, find_roots(config_root, with_working_directory=False)).values)
    except UserError:
        # Files of the working directory take part.
        return False


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
            for name, value in without_defaults(section, dataclasses.asdict(values)).items()
            # Options are those of a data set from outside, and few studies have bounds.
            if (section, name) not in (("data", "options"), ("study", "bounds")) or value
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
