"""Builds backbones by name: those of this package, of timm, and of the user."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from gsfnas.backbone._custom import build_custom, find_factory
from gsfnas.backbone._site_spec import SiteSpec
from gsfnas.backbone._timm import build_timm, check_timm_name, timm_places
from gsfnas.backbone._width import canonical_width
from gsfnas.candidate import BackboneRef, Value
from gsfnas.component import find, is_outside, trust
from gsfnas.errors import UserError, shown, unknown

# The networks of this package; their only option is ``width``.
BACKBONES: Mapping[str, str] = {
    "micro": "gsfnas.backbone._micro:Micro",
    "micro14": "gsfnas.backbone._micro:Micro14",
    "micro18": "gsfnas.backbone._micro:Micro18",
    "micro_bottleneck": "gsfnas.backbone._micro:MicroBottleneck",
    "bninception": "gsfnas.backbone._bninception:BNInception",
    "inception_v3": "gsfnas.backbone._inception_v3:InceptionV3",
}


def backbone_ref(name: str, options: Mapping[str, Any] | None = None, *, is_from_data: bool = False) -> BackboneRef:
    """The canonical reference of a backbone: defaults omitted, ``width`` as a string, ``timm`` replaced by the network's name.

    Names: micro, micro14, micro18, micro_bottleneck, bninception, inception_v3, any of timm, ``timm`` with an option ``name``,
    and ``package.module:factory``, whose options are passed to the factory. A factory named here becomes trusted, so set
    ``is_from_data`` for a name that was read from a file. Raises UserError for an unknown name or option, and for a factory
    that is not trusted.
    """
    options = dict(options or {})
    if name == "timm":
        if not isinstance(options.get("name"), str):
            raise UserError(f"backbone timm needs the `name` of one of timm's networks, but got {shown(options.get('name'))}")
        return backbone_ref(options.pop("name"), options, is_from_data=is_from_data)
    if is_outside(name):
        if not is_from_data:
            trust(name)
        find_factory(name)
        if "name" in options:
            raise UserError(f"backbone {name!r}: an option of a factory cannot be called `name`, which is the backbone's own")
        return BackboneRef.of(name, {option: _value(option, value) for option, value in options.items()})
    if name in BACKBONES:
        width = canonical_width(options.pop("width", 1))
        _no_more(name, options, ["width"])
        return BackboneRef.of(name, {} if width == "1" else {"width": width})
    check_timm_name(name, list(BACKBONES))
    _no_more(name, options, [])
    return BackboneRef.of(name)


def build_backbone(ref: BackboneRef) -> nn.Module:
    """Builds the network of a canonical reference: (N, 3, H, W) -> (N, num_features), initialised with torch's generator.

    Raises UserError for an unknown or non-canonical reference.
    """
    options = dict(ref.options)
    canonical = backbone_ref(ref.name, options, is_from_data=True)
    if canonical != ref:
        raise UserError(f"backbone {str(ref)!r} is not canonical: write {str(canonical)!r}")
    if is_outside(ref.name):
        return build_custom(ref)
    if ref.name in BACKBONES:
        network: nn.Module = find(ref.name, BACKBONES, "backbone")(float(options.get("width", 1)))
        return network
    return build_timm(ref.name)


def places_of(network: nn.Module) -> Sequence[SiteSpec]:
    """The site specs from the network's ``sites()``, or, without that method, those derived from its layers."""
    listed = getattr(network, "sites", None)
    return listed() if callable(listed) else timm_places(network)


def _no_more(name: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for option in options:
        raise unknown(f"option of backbone {name}", str(option), known)


def _value(name: str, value: Any) -> Value:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return repr(value)
    if not isinstance(value, int | str):
        raise UserError(f"backbone option `{name}` must be an integer or a string, but got {shown(value)}")
    return value
