"""Compares configurations: a study can be resumed only with the configuration that it was started with."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gsfnas.errors import UserError
from gsfnas.metrics import DEFAULT_OBJECTIVES

# Patterns of dotted keys that may change when a study is resumed: they affect how much is run and where, not the results.
MAY_DIFFER = (
    "study.name",
    "study.trials",
    "study.hours",
    "study.workers",
    "study.replicates",
    "study.latency",
    "study.runs",
    "study.reports",
    "study.report*",
    "protocol.*",
    "*.device",
    "data.root",
    "data.cache",
    "data.cache_gb",
    "data.workers",
    "executor.*",
    "storage.*",
    "workers",
    "runs",
    "reports",
    "report.*",
    # Checked where estimates are needed, which is only as long as runs are left.
    "study.latency_table",
    "study.latency_parts.*",
)

# Former names of settings, which journals and users' files may still contain.
RENAMED: Mapping[str, str] = {
    "study.sampler": "sampler.name",
    "study.workers": "executor.workers",
    "study.delay": "study.lag",
    "study.design_share": "study.initial_fraction",
}

# Settings that are left out of configurations and identities where they have these values, as they were before they existed.
LEFT_OUT: Mapping[str, Any] = {"study.objectives": tuple(metric.objective for metric in DEFAULT_OBJECTIVES)}

_SHOWN = 4
# What stands for a setting that is not there.
_NOTHING = "nothing"
_PROPOSALS = "study.proposals"
# The sections whose settings have defaults.
_SECTIONS = ("data", "study", "train", "protocol", "sampler", "stopper", "evaluator", "executor", "storage", "report")


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens ``{"train": {"lr": 1}}`` to ``{"train.lr": 1}``; lists are kept as values."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flatten(item, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = item
    return flat


def without_defaults(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a section as plain values, without those of ``LEFT_OUT`` that have the value stated there."""
    kept = {name: value for name, value in values.items() if LEFT_OUT.get(f"{section}.{name}", ...) != value}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """``dotted.key: old -> new`` for each changed key that must not change."""
    implied = {key: list(value) for key, value in LEFT_OUT.items()}
    before, after = (implied | {RENAMED.get(key, key): value for key, value in flatten(one).items()} for one in (old, new))
    # Settings that a later version added. If they change results, the fingerprints of recipe and data differ too.
    later = {key for key in after.keys() - before.keys() if key.partition(".")[0] in _SECTIONS}
    keys = [key for key in sorted({*before, *after} - later) if not any(fnmatchcase(key, pattern) for pattern in MAY_DIFFER)]
    found = [key for key in keys if before.get(key) != after.get(key) or (key in before) != (key in after)]
    # This is a hash over several settings; it adds nothing if a changed setting is listed already.
    if len(found) > 1 and _PROPOSALS in found:
        found.remove(_PROPOSALS)
    return [_change(key, _show(before, key), _show(after, key)) for key in found]


def refuse(name: str, runs: Path, found: list[str]) -> UserError:
    """The error for a study name that is taken by a study with another configuration."""
    shown = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    own = f"for a study of its own: study.name={_free_name(name, runs)}"
    before = [_override(text) for text in found[:_SHOWN]]
    # A default may have changed since, and the user may know of no setting.
    if len(found) <= _SHOWN and all(before):
        own = f"to go on with it as it was begun: {' '.join(filter(None, before))}; {own}"
    return UserError(f"study {name!r} was begun with another configuration ({shown}); {own}")


def _override(change: str) -> str | None:
    """``data.far=0`` for the change ``data.far: 0 -> 3``, which takes it back; None where no one override does."""
    key, _, values = change.partition(": ")
    before, _, _ = values.partition(" -> ")
    section, _, rest = key.partition(".")
    if section == "study" and rest.split(".")[0] in ("proposals", "sampler", "stopper", "latency_table"):
        return None
    if (
        not rest
        or section not in ("backbone", *_SECTIONS)
        or not re.fullmatch(r"[A-Za-z0-9_.:+-]+", before)
        or before == _NOTHING
    ):
        return None
    group = rest == "name" and section not in ("study", "train")
    return f"{section if group else key}={'null' if before == 'None' else before}"


def _free_name(name: str, runs: Path) -> str:
    stem, _, number = name.rpartition("-")
    if not (stem and number.isdigit()):
        stem, number = name, "1"
    count = int(number) + 1
    while (runs / f"{stem}-{count}").exists():
        count += 1
    return f"{stem}-{count}"


def _change(key: str, before: str, after: str) -> str:
    """One changed key; of a recipe, what follows its own fingerprint are those of the code of parts from outside."""
    if key == "recipe" and before.partition("+")[0] == after.partition("+")[0]:
        return "the code of a part of yours has changed since"
    return f"{key}: {before} -> {after}"


def _show(flat: Mapping[str, Any], key: str) -> str:
    return str(flat[key]) if key in flat else _NOTHING
