"""Modules that replace a layer, a block or the consensus of the frames."""

import copy
import pickle

import pytest
import torch
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import Candidate, Site
from gsfnas.errors import UserError
from gsfnas.insertion import insert
from gsfnas.model import build_model, counting_form
from gsfnas.modules import resolve
from gsfnas.weights import initialise

from .nets import Chain, Scale, clips, perturbed, place

BACKBONE = backbone_ref("micro_bottleneck")
SITES = {site.name: site for site in backbone_sites(BACKBONE, 32)}
CONV2 = "layer1.0.conv2"


def candidate_of(**modules: str) -> Candidate:
    """Sites as keywords, with ``__`` for a dot."""
    pairs = []
    for key, module in modules.items():
        site = SITES[key.replace("__", ".")]
        insertion = resolve(site, {"module": module})
        assert insertion is not None
        pairs.append((site.name, insertion))
    return Candidate(BACKBONE, 4, 32, tuple(pairs))


MIXED = candidate_of(
    layer1__0__conv2="gsf",
    layer1__0__conv2__replace="temporal_conv",
    layer2__1__replace="temporal_conv",
    layer3="tsm",
    consensus="temporal_pooling",
)


def test_sites_follow_from_the_layers() -> None:
    assert SITES["layer1.0.conv2.replace"] == Site(
        "layer1.0.conv2.replace", CONV2, "layer1.0", "conv2", "replace", 8, 16, 16, False, 8, 8, 8
    )
    assert SITES["layer1.0.conv2.replace"].stride == 2
    assert not any(site.is_default for site in SITES.values() if site.name != site.layer), "as before there were other kinds"
    block, stage, last = SITES["layer2.0"], SITES["layer2"], list(SITES.values())[-1]
    assert (block.role, block.kind, block.channels, block.height) == ("block", "after", 64, 4)
    assert (stage.role, stage.kind, SITES["layer2.replace"].channels, SITES["layer2.replace"].out_channels) == (
        "stage",
        "after",
        32,
        64,
    )
    assert (last.name, last.kind, last.channels) == ("consensus", "consensus", 256)


def test_what_replaces_a_layer_takes_its_name_and_place() -> None:
    chain = Chain()
    x = torch.ones(1, 4, 1, 1)
    (replaced, after) = insert(chain, {place("replace"): Scale(5.0), place("after"): Scale(10.0)})
    assert chain(x).eq(51).all()
    replaced.module = Scale(7.0)
    assert chain(x).eq(71).all(), "what is after the layer stays when the module is exchanged"
    after.remove()
    assert chain(x).eq(8).all()


def test_at_the_start_a_replaced_network_gives_what_it_gave() -> None:
    """Filters begin as the identity and the pooling as the mean."""
    candidate = candidate_of(layer1__0__conv2__replace="temporal_conv", consensus="temporal_pooling")
    x = clips(candidate)
    plain = build_model(Candidate(BACKBONE, 4, 32), {"class": 3}).eval()
    model = build_model(candidate, {"class": 3}).eval()
    torch.testing.assert_close(model(x)["class"], plain(x)["class"], rtol=1e-4, atol=1e-6)
    assert "(conv2): TemporalConv(" in str(model)


def test_states_name_what_replaces_by_its_site_and_the_rest_as_before() -> None:
    model, plain = build_model(MIXED, {"class": 3}), build_model(Candidate(BACKBONE, 4, 32), {"class": 3})
    state, names = model.state_dict(), set(plain.state_dict())
    gone = {name for name in names if name.startswith(("backbone.layer1.0.conv2.", "backbone.layer2.1."))}
    assert gone
    assert {name for name in state if not name.startswith("insertions.")} == names - gone
    theirs = {name.split(".")[1] for name in state if name.startswith("insertions.")}
    assert theirs == {"layer1-0-conv2", "layer1-0-conv2-replace", "layer2-1-replace", "consensus"}
    owners = [name.split(".")[0] for name in state]
    assert owners == sorted(owners, key=["backbone", "insertions", "heads"].index)
    other = build_model(MIXED, {"class": 3}, seed=5)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(clips(MIXED))["class"], model.eval()(clips(MIXED))["class"])
    own = [parameter.shape for parameter in model.insertions.parameters()]
    assert sum(shape.numel() for shape in own) == sum(
        tensor.numel() for name, tensor in state.items() if name.startswith("insertions.") and not _is_statistic(name)
    )


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_copies_pickles_layouts_and_the_counting_form_give_the_same() -> None:
    model = perturbed(build_model(MIXED, {"class": 3}))
    x = clips(MIXED)
    with torch.no_grad():
        expected = model(x)["class"]
        assert torch.equal(copy.deepcopy(model)(x)["class"], expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(x)["class"], expected)
        torch.testing.assert_close(counting_form(model)(x)["class"], expected, rtol=1e-4, atol=1e-4)
        laid = copy.deepcopy(model).to(memory_format=torch.channels_last)
        torch.testing.assert_close(laid(x)["class"], expected, rtol=1e-4, atol=1e-4)
    program = torch.export.export(model, (x,), strict=False).module()
    torch.testing.assert_close(program(x)["class"], expected, rtol=1e-4, atol=1e-4)


def test_a_replaced_layer_is_made_from_the_weights_that_it_had(tmp_path) -> None:  # type: ignore[no-untyped-def]
    plain = perturbed(build_model(Candidate(BACKBONE, 4, 32), {"class": 3}))
    torch.save({"state_dict": plain.state_dict()}, tmp_path / "plain.pth")
    candidate = candidate_of(layer1__0__conv2__replace="temporal_conv", consensus="temporal_pooling")
    model = build_model(candidate, {"class": 3}, seed=1)
    _, found = initialise(model, candidate, str(tmp_path / "plain.pth"), seed=1)
    assert found is not None
    assert found.missing == ("insertions.consensus.conv.weight",)
    assert found.left_over == ()
    assert found.notes[-1] == "made from the layers that they replace: layer1.0.conv2.replace"
    x = clips(candidate)
    torch.testing.assert_close(model.eval()(x)["class"], plain(x)["class"], rtol=1e-4, atol=1e-4)
    # A file of the network itself has weights of the module, and nothing is made again.
    trained = perturbed(build_model(candidate, {"class": 3}))
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "own.pth")
    _, found = initialise(model, candidate, str(tmp_path / "own.pth"), seed=1)
    assert found is not None
    assert (found.missing, found.left_over) == ((), ())
    assert torch.equal(model.eval()(x)["class"], trained(x)["class"])
    other = build_model(candidate, {"class": 3}, seed=1)
    torch.save({"state_dict": {"layer1.0.conv1.weight": torch.zeros(3)}}, tmp_path / "none.pth")
    with pytest.raises(UserError, match="does not hold the weights of micro_bottleneck"):
        initialise(other, candidate, str(tmp_path / "none.pth"))


def test_sites_inside_a_replaced_layer_must_be_empty() -> None:
    both = candidate_of(layer2__1__replace="temporal_conv", layer2__1__conv1="gsf")
    message = r"site layer2\.1\.conv1 is inside layer2\.1, which the module at layer2\.1\.replace replaces; leave one of them"
    with pytest.raises(UserError, match=message):
        build_model(both)
    build_model(candidate_of(layer2__1__replace="temporal_conv", layer2__1="gsf", layer2__1__before="gsf"))


def test_a_consensus_is_no_place_in_a_backbone() -> None:
    backbone = build_backbone(BACKBONE)
    with pytest.raises(UserError, match="site consensus is of kind consensus"):
        insert(backbone, {SITES["consensus"]: nn.Identity()})
