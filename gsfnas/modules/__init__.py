"""Temporal modules: what turns a 2D CNN's features, frame by frame, into features of a video. One folder or file a module."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from gsfnas.candidate import Insertion, Site
from gsfnas.component import blaming, check_methods, find, is_outside, load
from gsfnas.errors import UserError, shown, unknown
from gsfnas.modules.base import ModuleCost, ModuleSpec, Output, PublishedForm, check_kind, plain_label, plain_options

# Name -> spec of a module; candidates store these names.
MODULES: Mapping[str, str] = {
    "gate_shift_fuse": "gsfnas.modules.gate_shift_fuse.spec:SPEC",
    "temporal_conv": "gsfnas.modules.temporal_conv.spec:SPEC",
    "temporal_pooling": "gsfnas.modules.temporal_pooling.spec:SPEC",
}
# Other names of a module, with parameters that they fix; the module's spec says which.
ALIASES: Mapping[str, str] = {
    "gsf": "gate_shift_fuse",
    "gsm": "gate_shift_fuse",
    "tsm": "gate_shift_fuse",
    "tdn": "gate_shift_fuse",
    "tsn": "gate_shift_fuse",
}

_METHODS = ("resolve", "check", "build", "cost", "output", "label", "options", "published")


def resolve(site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
    """The canonical insertion for ``{"module": name, ...}``.

    The name is one of ``MODULES`` or ``ALIASES``, or ``package.module:OBJECT``. None if the module would be the identity.
    Raises UserError for an unknown module or parameter, and an invalid value.
    """
    rest = dict(parameters)
    name = rest.pop("module", "gsf")
    if not isinstance(name, str):
        raise UserError(f"`module` must be the name of a module, but got {shown(name)}")
    if name not in ALIASES:
        spec = spec_of(name)
        with blaming(spec, "module"):
            return spec.resolve(site, rest)
    spec = spec_of(ALIASES[name])
    for part, value in spec.aliases[name].items():
        if part in rest:
            raise UserError(f"module {name!r} fixes `{part}` to {value}; ask for {spec.name} to choose it")
        rest[part] = value
    return spec.resolve(site, rest)


def spec_of(name: str) -> ModuleSpec:
    """The spec of a module by the name that candidates store.

    Raises UserError for an unknown name, and for code from outside that the user has not named.
    """
    if name in ALIASES:
        spec = spec_of(ALIASES[name])
        fixed = ", ".join(f"{part} {value}" for part, value in spec.aliases[name].items())
        raise UserError(f"a candidate says {name!r} as module {spec.name} with {fixed} and its `channels`")
    if is_outside(name):
        return _checked(load(name, "module", is_value=True), name)
    if name not in MODULES:
        raise unknown("module", name, [*MODULES, *ALIASES])
    return _shipped(name)


@cache
def _shipped(name: str) -> ModuleSpec:
    found: ModuleSpec = find(name, MODULES, "module")
    return found


def _checked(found: Any, name: str) -> ModuleSpec:
    spec: ModuleSpec = check_methods(found, _METHODS, "module", ("name", "kinds"))
    if spec.name != name:
        raise UserError(f"the `name` of module {name!r} must be the name that it is asked for by, but got {shown(spec.name)}")
    return spec


def label(insertion: Insertion | None) -> str:
    """A short label for tables and figures: ``gsf:16`` is GSF on 16 channels, ``-`` is no insertion."""
    if insertion is None:
        return "-"
    spec = _known(insertion.module)
    return plain_label(insertion) if spec is None else spec.label(insertion)


def options(site: Site | None, insertion: Insertion) -> Mapping[str, str | float]:
    """The module of an insertion and its parameters, for statistics; see ``ModuleSpec.options``."""
    spec = _known(insertion.module)
    found = plain_options(insertion) if spec is None else spec.options(site, insertion)
    return {"module": insertion.module, **found}


def published_forms(names: Iterable[str] = ()) -> list[PublishedForm]:
    """How published code stores the modules here, and those of ``names`` from outside."""
    return [form for name in dict.fromkeys([*MODULES, *names]) for form in spec_of(name).published()]


def _known(name: str) -> ModuleSpec | None:
    """The spec of a module; None if it cannot be had, as for code that is not trusted: reports show such records too."""
    try:
        return spec_of(name)
    except UserError:
        return None


__all__ = [
    "ALIASES",
    "MODULES",
    "ModuleCost",
    "ModuleSpec",
    "Output",
    "PublishedForm",
    "check_kind",
    "label",
    "options",
    "published_forms",
    "resolve",
    "spec_of",
]
