"""Modules at the sites of a backbone: in their place in the graph, copied, compiled, exported."""

import copy
import io
import pickle

import pytest
import torch
from space._bind import bound
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.insertion import insert
from gsfnas.model import build_model
from gsfnas.modules import resolve

from .nets import Chain, Scale, clips, perturbed, place


def test_after_changes_what_a_layer_returns_and_before_what_it_receives() -> None:
    x = torch.ones(1, 4, 1, 1)
    chain = Chain()
    assert chain(x).eq(3).all()
    (after,) = insert(chain, {place("after"): Scale(10.0)})
    assert chain(x).eq(2 * 10 + 1).all()
    (before,) = insert(chain, {place("before"): nn.ReLU()})
    assert chain(-x).eq(1).all()
    before.remove()
    assert chain(-x).eq(-2 * 10 + 1).all()
    after.module = Scale(100.0)
    assert chain(x).eq(2 * 100 + 1).all()
    after.remove()
    assert chain(x).eq(3).all()


def test_insertion_leaves_the_parameter_names_alone() -> None:
    backbone = build_backbone(backbone_ref("micro"))
    names = list(backbone.state_dict())
    sites = [site for site in backbone_sites(backbone_ref("micro"), 32) if site.kind in ("after", "before")]
    inserted = insert(backbone, {site: Scale(1.0) for site in sites})
    added = {f"{one.place}.factor" for one in inserted}
    assert [name for name in backbone.state_dict() if name not in added] == names
    assert len(backbone.state_dict()) == len(names) + len(added)


def test_a_container_with_a_module_runs_its_own_children_first() -> None:
    network = nn.Sequential(nn.Sequential(Scale(2.0), Scale(3.0)), nn.ReLU())
    x = torch.ones(1, 4, 1, 1)
    added = insert(network, {place("after", "0"): Scale(10.0), place("before", "0"): Scale(-1.0)})
    assert network(-x).eq(60).all()
    second = insert(network, {place("after", "0"): Scale(0.5)})
    assert network(-x).eq(30).all()
    assert [name for name, _ in network.named_modules()][1:] == ["0", "0.0", "0.1", "0.after", "0.before", "0.after_2", "1"]
    for one in (*added, *second):
        one.remove()
    assert type(network[0]) is nn.Sequential
    assert network(-x).eq(0).all()


def test_insertions_are_printed_in_their_place() -> None:
    candidate = bound("placement").full
    model = build_model(candidate, {"class": 3})
    printed = str(model)
    assert printed.count("(after): GateShiftFuse(") == len(candidate.insertions)
    assert "Occupied" not in printed


def test_parameters_stay_in_the_order_that_optimisers_know() -> None:
    model = build_model(bound("placement").full, {"class": 3})
    backbone = build_backbone(bound("placement").full.backbone)
    wanted = [*(parameter.shape for parameter in backbone.parameters())]
    wanted += [parameter.shape for parameter in model.insertions.parameters()]
    wanted += [parameter.shape for parameter in model.heads.parameters()]
    assert [parameter.shape for parameter in model.parameters()] == wanted
    assert [parameter.shape for parameter in nn.Sequential(model).parameters()] == wanted
    state = model.state_dict()
    owners = [name.split(".")[0] for name in state]
    assert owners == sorted(owners, key=["backbone", "insertions", "heads"].index)


@pytest.mark.parametrize("kind", ["after", "before"])
def test_fusing_a_backbone_leaves_what_a_module_stands_between(kind: str) -> None:
    """Convolution and BatchNorm are fused where nothing is between them, and the outputs stay."""
    from torch.fx.experimental.optimization import fuse

    backbone = BackboneRef.of("resnet18")
    sites = [site for site in backbone_sites(backbone, 32) if site.kind == kind][:3]
    insertion = resolve(sites[0], {"module": "gsf", "channels": 16})
    assert insertion is not None
    model = perturbed(build_model(Candidate(backbone, 4, 32, tuple((site.name, insertion) for site in sites)), {"class": 3}))
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = model.backbone(x)
    fused = fuse(model.backbone)
    torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    called = [str(node.target) for node in fused.graph.nodes if node.op == "call_module"]
    assert [name for name in called if name.endswith(kind)] == [f"{site.layer}.{kind}" for site in sites]
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules())
    left = sum(isinstance(fused.get_submodule(name), nn.BatchNorm2d) for name in called)
    assert left < norms / 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_quantisation_observes_what_goes_into_a_module_and_what_comes_out() -> None:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_fx

    backbone = backbone_ref("micro")
    sites = [site for site in backbone_sites(backbone, 32) if site.is_default]
    gsf = [(site.name, resolve(site, {"module": "gsf", "ratio": 0.25})) for site in sites]
    pairs = tuple((name, insertion) for name, insertion in gsf if insertion)
    model = build_model(Candidate(backbone, 2, 32, pairs), {"class": 3}).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = model.backbone(x)
    prepared = prepare_fx(model.backbone, get_default_qconfig_mapping("x86"), (x,))
    torch.testing.assert_close(prepared(x), expected, rtol=1e-4, atol=1e-4)
    called = [str(node.target) for node in prepared.graph.nodes if node.op == "call_module"]
    assert [name for name in called if name.endswith(".after")] == [f"{site.layer}.after" for site in sites]
    assert sum("post_process" in name for name in called) > len(sites)


def test_candidates_that_are_compiled_in_one_process_keep_their_own_modules() -> None:
    torch.compiler.reset()
    try:
        for candidate in (bound("placement").empty, bound("placement").full):
            model = perturbed(build_model(candidate, {"class": 3}))
            x = clips(candidate)
            with torch.no_grad():
                torch.testing.assert_close(torch.compile(model, backend="eager")(x)["class"], model(x)["class"])
    finally:
        torch.compiler.reset()


def test_insert_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UserError, match=r"unknown layer 'twise'; did you mean 'twice'\?"):
        insert(Chain(), {place("after", "twise"): nn.Identity()})
    with pytest.raises(UserError, match=r"is of kind after, before, replace, but .*twice\.consensus is of kind consensus"):
        insert(Chain(), {place("consensus"): nn.Identity()})


def test_copies_call_their_own_modules() -> None:
    """Deep copies and pickles of a model, and a deep copy of its backbone alone."""
    model = perturbed(build_model(bound("full").full, {"class": 3}))
    x = clips(bound("full").full)
    expected = model(x)["class"]
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    alone = copy.deepcopy(model.backbone)
    features = alone(x.flatten(0, 1))
    with torch.no_grad():
        for parameter in model.insertions.parameters():
            parameter.zero_()
    assert not torch.equal(model(x)["class"], expected)
    assert torch.equal(alone(x.flatten(0, 1)), features)
    for twin in twins:
        assert torch.equal(twin(x)["class"], expected)
        with torch.no_grad():
            for parameter in twin.insertions.parameters():
                parameter.zero_()
        assert torch.equal(twin(x)["class"], model(x)["class"])


def test_state_dict_round_trip() -> None:
    candidate = bound("full").full
    model = perturbed(build_model(candidate, {"class": 3}))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = build_model(candidate, {"class": 3}, seed=5).eval()
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(clips(candidate))["class"], model(clips(candidate))["class"])
