"""Conformance tests of a temporal module: what spaces, prices, training and reports rely on.

Inherit ``ModuleConformance`` and override the fixture ``parameters``: the module's name, and the parameters that a space gives
it. Where they take several forms, make the fixture one of several parameter sets.
"""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsfnas.backbone import backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.cost import count_fvcore, count_ptflops, price
from gsfnas.errors import UserError
from gsfnas.model import build_model, counting_form, counting_module
from gsfnas.modules import label, options, resolve, spec_of

_HEADS = {"class": 5}
# The sites on which each test runs: those of different shapes, from the first layers to the last.
_MOST_SITES = 4


@lru_cache(maxsize=1)
def _network(backbone: BackboneRef) -> nn.Module:
    return build_backbone(backbone)


class ModuleConformance:
    """Tests of one module with one set of ``parameters``, at the sites of ``backbone`` that accept it."""

    frames = 4

    @pytest.fixture
    def parameters(self) -> Mapping[str, Any]:
        raise NotImplementedError("a conformance test needs a fixture `parameters`, as {'module': name, ...}")

    @pytest.fixture
    def backbone(self) -> BackboneRef:
        return BackboneRef.of("micro_bottleneck", {"width": "0.5"})

    @pytest.fixture
    def resolution(self) -> int:
        """Height and width of the frames."""
        return 32

    @pytest.fixture
    def insertions(self, backbone: BackboneRef, resolution: int, parameters: Mapping[str, Any]) -> dict[Site, Insertion]:
        """The module at sites of different shapes."""
        found: dict[tuple[Any, ...], tuple[Site, Insertion]] = {}
        for site in backbone_sites(backbone, resolution):
            try:
                insertion = resolve(site, parameters)
            except UserError:
                continue
            if insertion is not None:
                shape = (site.kind, site.channels, site.height, site.out_channels, site.out_height)
                found.setdefault(shape, (site, insertion))
        assert found, f"no site of {backbone} accepts the module with {dict(parameters)}"
        step = -(-len(found) // _MOST_SITES)
        return dict(list(found.values())[::step])

    def build(self, site: Site, insertion: Insertion, backbone: BackboneRef, seed: int = 0) -> nn.Module:
        """The module at a site, in eval mode, with random weights and statistics."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = copy.deepcopy(_network(backbone).get_submodule(site.layer)) if site.kind == "replace" else None
            module = spec_of(insertion.module).build(site, insertion, self.frames, layer=layer)
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    # Variances must stay positive.
                    tensor.data = tensor.data + 0.1 * torch.rand(tensor.shape)
        return module.eval()

    def features(self, site: Site, clips: int, seed: int = 0) -> Tensor:
        size = (site.channels,) if site.kind == "consensus" else (site.channels, site.height, site.width)
        return torch.randn(clips * self.frames, *size, generator=torch.Generator().manual_seed(seed))

    def test_a_canonical_insertion_resolves_to_itself(self, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            spec = spec_of(insertion.module)
            assert spec.resolve(site, dict(insertion.parameters)) == insertion
            assert resolve(site, {"module": insertion.module, **dict(insertion.parameters)}) == insertion
            spec.check(site, insertion)
            assert all(isinstance(value, int | str) for _, value in insertion.parameters)

    def test_what_it_does_not_know_is_refused_in_one_line(
        self, backbone: BackboneRef, resolution: int, insertions: dict[Site, Insertion], parameters: Mapping[str, Any]
    ) -> None:
        site, insertion = next(iter(insertions.items()))
        with pytest.raises(UserError) as refused:
            resolve(site, {**parameters, "no_such_parameter": 1})
        assert "\n" not in str(refused.value)
        kinds = spec_of(insertion.module).kinds
        for other in backbone_sites(backbone, resolution):
            if other.kind not in kinds:
                with pytest.raises(UserError):
                    resolve(other, parameters)

    def test_it_keeps_the_shape_that_its_site_asks_for(self, backbone: BackboneRef, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            found = tuple(self.build(site, insertion, backbone)(self.features(site, clips=2)).shape)
            if site.kind == "consensus":
                rows, features = spec_of(insertion.module).output(site, insertion, self.frames)
                assert found == (2 * rows, features)
            else:
                assert found == (2 * self.frames, site.out_channels, site.out_height, site.out_width), site.name

    def test_clips_know_nothing_of_each_other(self, backbone: BackboneRef, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            module = self.build(site, insertion, backbone)
            clips = self.features(site, clips=3)
            with torch.no_grad():
                together = module(clips.clone()).chunk(3)
                for number, clip in enumerate(clips.chunk(3)):
                    torch.testing.assert_close(module(clip.clone()), together[number], rtol=1e-4, atol=1e-5)

    def test_gradients_reach_every_weight_and_are_finite(
        self, backbone: BackboneRef, insertions: dict[Site, Insertion]
    ) -> None:
        for site, insertion in insertions.items():
            module = self.build(site, insertion, backbone).train()
            x = self.features(site, clips=2).requires_grad_()
            torch.autograd.backward(module(x.clone()).square().sum())
            for name, tensor in (("the features", x), *module.named_parameters()):
                assert tensor.grad is not None, f"no gradient reaches {name} at {site.name}"
                assert tensor.grad.isfinite().all(), f"the gradient of {name} at {site.name} is not finite"

    def test_weights_and_copies_give_the_same(self, backbone: BackboneRef, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            module, other = (self.build(site, insertion, backbone, seed=seed) for seed in (0, 1))
            x = self.features(site, clips=1)
            other.load_state_dict(module.state_dict())
            with torch.no_grad():
                expected = module(x.clone())
                assert torch.equal(other(x.clone()), expected)
                assert torch.equal(copy.deepcopy(module)(x.clone()), expected)

    def test_published_weights_fit_it(self, backbone: BackboneRef, insertions: dict[Site, Insertion]) -> None:
        """What a published form says that the module's tensors are made of, are tensors of the module."""
        for site, insertion in insertions.items():
            module = self.build(site, insertion, backbone)
            forms = [form for form in spec_of(insertion.module).published() if form.kind == site.kind and form.parts]
            unknown = [set(module.state_dict()) - set(form.parts) for form in forms]
            assert not forms or set() in unknown, f"no published form has {min(unknown, key=len)} of {site.name}"
            for form in forms:
                assert form.find("no.such.tensor") is None
                assert len({part for parts in form.parts.values() for part in parts}) == sum(map(len, form.parts.values()))

    def test_its_counting_form_has_equal_outputs(self, backbone: BackboneRef, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            module = self.build(site, insertion, backbone)
            x = self.features(site, clips=1)
            with torch.no_grad():
                expected = module(x.clone())
                found = counting_module(copy.deepcopy(module))(x.clone())
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_a_network_with_it_costs_what_is_counted(
        self, backbone: BackboneRef, resolution: int, insertions: dict[Site, Insertion]
    ) -> None:
        """Parameters, operations by both counters, activations: to the last digit."""
        held: dict[Site, Insertion] = {}
        for site, insertion in insertions.items():
            if not any(other.holds(site) or site.holds(other) for other in held):
                held[site] = insertion
        pairs = tuple((site.name, insertion) for site, insertion in held.items())
        candidate = Candidate(backbone, self.frames, resolution, pairs)
        assert Candidate.from_json(candidate.to_json()) == candidate
        model = build_model(candidate, _HEADS)
        cost, form = price(candidate, _HEADS).total, counting_form(model)
        clip = torch.zeros(1, self.frames, 3, resolution, resolution)
        fvcore = count_fvcore(form, clip)
        assert cost.params == sum(parameter.numel() for parameter in model.parameters())
        assert (cost.macs_fvcore, cost.activations) == (fvcore.operations, fvcore.activations)
        assert cost.macs_ptflops == count_ptflops(form, clip)

    def test_reports_can_show_it(self, insertions: dict[Site, Insertion]) -> None:
        for site, insertion in insertions.items():
            assert label(insertion).isprintable()
            levels = options(site, insertion)
            assert levels["module"] == insertion.module
            assert all(isinstance(level, str | float) for level in levels.values())
