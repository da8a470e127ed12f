"""The sites of a backbone at a resolution: its site specs and what follows from them, with measured shapes."""

from collections import defaultdict
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from gsfnas.backbone._build import build_backbone, places_of
from gsfnas.backbone._site_spec import SiteSpec, derived_places
from gsfnas.candidate import BackboneRef, Site
from gsfnas.errors import UserError

# The modules split channels into two groups and interleave the halves of each, so they need at least 4 channels.
FEWEST_CHANNELS = 4


@lru_cache(maxsize=64)
def backbone_sites(ref: BackboneRef, resolution: int) -> tuple[Site, ...]:
    """All sites of a backbone for frames of ``resolution`` x ``resolution`` pixels.

    First its site specs, in their order; then the sites that follow from them: the replacement of each layer, and after, before
    and instead of each block and stage; last the consensus of the frames.

    Builds the backbone and runs one frame through it; the result is cached. Raises UserError if the resolution is too small,
    and if a site of the network's ``sites()`` has an unknown layer, too few channels, or a layer that is not called exactly
    once on (N, C, H, W).
    """
    with torch.random.fork_rng(devices=[]):
        network = build_backbone(ref).eval()
    listed = callable(getattr(network, "sites", None))
    places = places_of(network)
    derived = derived_places(network, places)
    shapes, num_features = _shapes(network, [*places, *derived], ref, resolution)
    sites: dict[str, Site] = {}
    for place in places:
        fault = _fault(shapes[place.layer], place)
        if fault and listed:
            raise UserError(f"backbone {str(ref)!r}: site {place.site_name!r} {fault}")
        if fault:
            continue
        if place.site_name in sites:
            raise UserError(f"backbone {str(ref)!r}: two sites are named {place.site_name!r}")
        sites[place.site_name] = _site(place, shapes[place.layer][0])
    for place in derived:
        if place.site_name not in sites and not _fault(shapes[place.layer], place):
            sites[place.site_name] = _site(place, shapes[place.layer][0])
    sites.setdefault("consensus", Site("consensus", "", "", "consensus", "consensus", num_features, 1, 1))
    return tuple(sites.values())


def _site(place: SiteSpec, call: "Call") -> Site:
    received, returned = call
    read = returned if place.kind == "after" else received
    given = received if place.kind == "before" else returned
    (_, channels, height, width), out = read, given[1:]
    names = (place.site_name, place.layer, place.block, place.role)
    return Site(*names, place.kind, channels, height, width, place.is_default, *out)


Call = tuple[tuple[int, ...], tuple[int, ...]]


def _fault(calls: list[Call], place: SiteSpec) -> str:
    """Why no module can be inserted at a site; empty if one can."""
    if len(calls) != 1:
        return f"stands at layer {place.layer!r}, which must be called once in a forward, but is called {len(calls)} times"
    received, returned = calls[0]
    shapes = {"before": [received], "after": [returned], "replace": [received, returned]}[place.kind]
    shape = next((shape for shape in shapes if len(shape) != 4 or shape[0] != 1), shapes[0])
    if len(shape) != 4 or shape[0] != 1:
        return f"needs features of (N, C, H, W), but layer {place.layer!r} has {shape or 'no tensor'} for one frame"
    if shape[1] < FEWEST_CHANNELS:
        return f"needs at least {FEWEST_CHANNELS} channels, but layer {place.layer!r} has {shape[1]}"
    return ""


def _shapes(network: nn.Module, places: Any, ref: BackboneRef, resolution: int) -> tuple[dict[str, list[Call]], int]:
    """Runs one frame: layer -> the (input shape, output shape) of each of its calls; and the number of features.

    Raises UserError for an unknown layer, a failing forward pass, and an output that is not (1, ``num_features``).
    """
    layers = dict(network.named_modules())
    shapes: dict[str, list[Call]] = defaultdict(list)
    handles = []
    for name in dict.fromkeys(place.layer for place in places):
        if name not in layers:
            raise UserError(f"backbone {str(ref)!r}: a site stands at {name!r}, but there is no such layer")

        def note(layer: nn.Module, args: tuple[Any, ...], output: Any, name: str = name) -> None:
            shapes[name].append((_shape(args[0] if args else None), _shape(output)))

        handles.append(layers[name].register_forward_hook(note))
    try:
        with torch.no_grad():
            features = network(torch.zeros(1, 3, resolution, resolution))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"backbone {str(ref)!r} cannot run on frames of {resolution} px: {reason}") from None
    finally:
        for handle in handles:
            handle.remove()
    wanted = (1, int(network.num_features))  # type: ignore[arg-type]
    if _shape(features) != wanted:
        raise UserError(
            f"backbone {str(ref)!r} must map a frame to {wanted}, one row of `num_features`, but gave {_shape(features)}"
        )
    return shapes, wanted[1]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()
