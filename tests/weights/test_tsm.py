"""Checkpoints of TSM: the published names say before which layers it stands, and ours computes the same.

Temporal Shift Module (Lin et al., ICCV 2019): an eighth of the channels from the next frame, an eighth from the previous one,
zeros at the ends, in front of a block's first convolution; the shortcut sees what was not shifted.
"""

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, initialise
from gsfnas.weights._import import guess_candidate

from .published import shaken

FRAMES = 3


class Shift(nn.Module):
    """The shift as published, written down a second time: it holds the layer before which it stands, as ``net``."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        clips = x.unflatten(0, (-1, FRAMES))
        fold = x.shape[1] // 8
        out = torch.zeros_like(clips)
        out[:, :-1, :fold] = clips[:, 1:, :fold]
        out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
        out[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
        return self.net(out.flatten(0, 1))


class Published(nn.Module):
    """A network as the code of TSM has it: ``base_model`` and ``new_fc``, the mean of the frames' logits."""

    def __init__(self, name, every):
        super().__init__()
        self.base_model = timm.create_model(name, num_classes=0)
        for stage in range(1, 5):
            for block in list(self.base_model.get_submodule(f"layer{stage}"))[::every]:
                block.conv1 = Shift(block.conv1)
        self.new_fc = nn.Linear(self.base_model.num_features, 7)

    def forward(self, clips):
        return self.new_fc(self.base_model(clips)).unflatten(0, (-1, FRAMES)).mean(dim=1)


@pytest.fixture(scope="module", params=[("resnet18", 1), ("resnet50", 2)], ids="{0[0]} every {0[1]}".format)
def network(request):
    torch.manual_seed(0)
    return request.param, shaken(Published(*request.param))


def saved(path, state):
    torch.save({"epoch": 45, "arch": "net", "state_dict": state, "best_prec1": torch.tensor(58.8), "optimizer": {}}, path)
    return path


def test_the_names_say_where_it_stands_and_ours_gives_the_same_logits(tmp_path, network):
    (name, every), model = network
    source = saved(tmp_path / "a.pth", {f"module.{key}": value for key, value in model.state_dict().items()})
    imported = import_weights(source, tmp_path / "a.safetensors", frames=FRAMES, resolution=64)
    candidate = imported.candidate
    depths = [len(model.base_model.get_submodule(f"layer{stage}")) for stage in range(1, 5)]
    assert (candidate.backbone.name, imported.classes) == (name, 7)
    wanted = {f"layer{s}.{b}.conv1.before" for s, depth in enumerate(depths, 1) for b in range(0, depth, every)}
    assert {site for site, _ in candidate.insertions} == wanted
    assert (imported.found.missing, imported.found.left_over) == ((), ())
    sites = {site.name: site for site in backbone_sites(candidate.backbone, 64)}
    for site, insertion in candidate.insertions:
        shifted = {"channels": sites[site].channels // 4, "gate": "1", "fuse": "sum"}
        assert insertion == Insertion.of("gate_shift_fuse", shifted)
    assert imported.notes == (
        f"the tensor names place TSM before layer1.0.conv1 and {len(wanted) - 1} more; a state dict does not record how many "
        "channels TSM shifts, so this assumes 1/8 each way, as published, and no temporal pool (use --candidate for another "
        "share)",
    )
    ours = build_model(candidate, {"class": 7}, seed=1).eval()
    ours.load_state_dict(safetensors.torch.load_file(imported.path))
    clips = torch.randn(2 * FRAMES, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(clips)["class"], model(clips))
        # Of what each frame shows the order matters: the shift is there at all.
        assert not torch.allclose(ours(clips.flip(0))["class"].flip(0), model(clips), atol=1e-4)


def test_mmactions_names_say_the_same(tmp_path, network):
    _, model = network
    state = {}
    for key, value in model.state_dict().items():
        key = key.replace("base_model.", "backbone.").replace("new_fc.", "cls_head.fc_cls.")
        for number in "123":
            key = key.replace(f"conv{number}.", f"conv{number}.conv.").replace(f"bn{number}.", f"conv{number}.bn.")
        state[key.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")] = value
    assert "backbone.layer1.0.conv1.conv.net.weight" in state
    theirs = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", frames=FRAMES, resolution=64)
    plain = saved(tmp_path / "b.pth", model.state_dict())
    ours = import_weights(plain, tmp_path / "b.safetensors", frames=FRAMES, resolution=64)
    assert (theirs.candidate, theirs.classes, theirs.notes) == (ours.candidate, ours.classes, ours.notes)
    assert theirs.found.tensors.keys() == ours.found.tensors.keys()
    assert all(torch.equal(theirs.found.tensors[key], value) for key, value in ours.found.tensors.items())


RESNET18 = timm.create_model("resnet18", num_classes=0).state_dict()
HEAD = {"new_fc.weight": torch.ones(7, 512), "new_fc.bias": torch.ones(7)}


def test_without_net_it_is_taken_as_tsn_and_said(tmp_path):
    state = {f"module.base_model.{name}": value for name, value in RESNET18.items()} | HEAD
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", resolution=64)
    assert imported.candidate.insertions == ()
    assert imported.classes == 7
    assert imported.notes == (
        "the tensor names show no temporal module, so this assumes TSN; if the network has a module without weights, name it "
        "with --candidate",
    )


@pytest.mark.parametrize(
    ("before", "after", "layer"),
    [
        ("layer2.0.downsample.0.", "layer2.0.downsample.0.net.", "layer2.0.downsample.0"),
        ("layer3.1.bn1.", "layer3.1.bn1.net.", "layer3.1.bn1"),
    ],
)
def test_before_what_has_no_site_it_is_refused(tmp_path, before, after, layer):
    state = {f"base_model.{name.replace(before, after)}": value for name, value in RESNET18.items()} | HEAD
    path = saved(tmp_path / "a.pth", state)
    with pytest.raises(UserError) as caught:
        import_weights(path, tmp_path / "a.safetensors", resolution=64)
    assert str(caught.value) == f"the tensor names place TSM before {layer!r}, where backbone resnet18 has no site"
    assert not (tmp_path / "a.safetensors").exists()


def test_a_shift_of_a_whole_block_stands_before_the_block(tmp_path):
    """TSM's other place, `block`: its code wraps the block instead of its first convolution."""
    state = {f"base_model.{name.replace('layer1.0.', 'layer1.0.net.')}": value for name, value in RESNET18.items()} | HEAD
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", resolution=64)
    assert [site for site, _ in imported.candidate.insertions] == ["layer1.0.before"]
    assert (imported.found.missing, imported.found.left_over) == ((), ())


def test_a_share_of_channels_that_ours_cannot_move_is_refused():
    backbone = backbone_ref("micro_bottleneck", {"width": 0.25})
    site = next(site for site in backbone_sites(backbone, 32) if site.kind == "before" and site.channels // 8 % 2)
    state = build_model(Candidate(backbone, 2, 32)).backbone.state_dict()
    state[f"{site.layer}.net.weight"] = state.pop(f"{site.layer}.weight")
    said = f"^TSM before '{site.layer}' shifts {2 * (site.channels // 8)} of {site.channels} channels, but gsfnas shifts a"
    with pytest.raises(UserError, match=said):
        guess_candidate(state, backbone, 2, 32)


TSM = (("layer1.0.conv1.before", Insertion.of("gate_shift_fuse", {"channels": 8, "gate": "1", "fuse": "sum"})),)


def test_a_candidate_may_say_another_share_but_not_fewer_places_without_a_word(tmp_path):
    state = {name.replace("layer1.0.conv1.", "layer1.0.conv1.net."): value for name, value in RESNET18.items()} | HEAD
    path = saved(tmp_path / "a.pth", state)
    shifted, plain = (Candidate(BackboneRef.of("resnet18"), FRAMES, 64, insertions) for insertions in (TSM, ()))
    imported = import_weights(path, tmp_path / "a.safetensors", candidate=shifted)
    assert (imported.candidate, imported.notes) == (shifted, ())
    note = "the tensor names place TSM before layer1.0.conv1, where this network has no module"
    assert import_weights(path, tmp_path / "b.safetensors", candidate=plain).notes == (note,)
    model = build_model(plain, {"class": 7})
    _, found = initialise(model, plain, str(path))
    assert found.notes == (note,)
    assert (found.missing, found.left_over) == ((), ())
    assert torch.equal(model.state_dict()["backbone.layer1.0.conv1.weight"], RESNET18["layer1.0.conv1.weight"])
