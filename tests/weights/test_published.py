"""Published checkpoints of GSM and GSF, from their own names to a file of ours and into a network."""

import json

import pytest
import safetensors.torch
import torch

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, read_metadata
from gsfnas.weights._import import guess_backbone, guess_candidate

from .published import PLACES, candidate_of, published, shaken

CAFFE = [104, 117, 128], [1, 1, 1], "bgr"
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], "rgb"

# Backbone, module, the ratio of channels that it touches, pixels of a side, and the mean, std and order of the weights' pixels.
CHECKPOINTS = {
    "bninception-gsf": ("bninception", "gsf", 1.0, 64, CAFFE),
    "bninception-gsm": ("bninception", "gsm", 1.0, 64, CAFFE),
    "inception_v3-gsf": ("inception_v3", "gsf", 1.0, 101, CAFFE),
    "resnet50-gsf": ("resnet50", "gsf", 0.25, 64, IMAGENET),
}
NARROW = backbone_ref("bninception", {"width": 0.25})


class Checkpoint:
    """A network, its weights as the public code saves them, and what an import makes of them."""

    def __init__(self, folder, backbone, module, ratio, resolution, pixels):
        self.candidate = candidate_of(BackboneRef.of(backbone), resolution, module, ratio)
        self.model = shaken(build_model(self.candidate, {"class": 174}, seed=3))
        self.pixels = pixels
        source = folder / "published.pth.tar"
        state = published(self.model, self.candidate, module)
        torch.save({"epoch": 60, "arch": backbone, "model_state_dict": state, "best_prec1": torch.tensor(53.1)}, source)
        self.imported = import_weights(source, folder / "ours.safetensors", frames=2, resolution=resolution)


@pytest.fixture(scope="module", params=CHECKPOINTS.values(), ids=CHECKPOINTS)
def checkpoint(request, tmp_path_factory):
    return Checkpoint(tmp_path_factory.mktemp("published"), *request.param)


def test_names_and_shapes_tell_the_candidate_and_its_classes(checkpoint):
    assert checkpoint.imported.candidate == checkpoint.candidate
    assert len(checkpoint.candidate.insertions) == len(PLACES[checkpoint.candidate.backbone.name])
    assert checkpoint.imported.classes == 174


def test_every_tensor_has_its_place(checkpoint):
    found = checkpoint.imported.found
    assert set(found.matched) == set(checkpoint.model.state_dict())
    assert (found.reshaped, found.missing, found.left_over) == ((), (), ())


def test_the_file_loads_into_an_equal_network(checkpoint):
    candidate = checkpoint.candidate
    fresh = build_model(candidate, {"class": 174}, seed=4).eval()
    fresh.load_state_dict(safetensors.torch.load_file(checkpoint.imported.path))
    clips = torch.randn(1, 2, 3, candidate.resolution, candidate.resolution, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = checkpoint.model(clips)["class"]
        assert logits.isfinite().all()
        assert torch.equal(fresh(clips)["class"], logits)
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor), name


def test_the_file_says_candidate_heads_pixels_and_source(checkpoint):
    metadata = dict(read_metadata(checkpoint.imported.path))
    assert Candidate.from_json(metadata.pop("candidate")) == checkpoint.candidate
    assert json.loads(metadata.pop("heads")) == {"class": 174}
    mean, std, order = checkpoint.pixels
    pixels = {"mean": pytest.approx(mean), "std": pytest.approx(std), "order": order}
    assert json.loads(metadata.pop("pixels")) == pixels
    assert metadata == {"source": "published.pth.tar"}


@pytest.mark.parametrize(("name", "resolution"), [("bninception", 224), ("inception_v3", 229)])
def test_the_resolution_is_the_published_one_unless_given(tmp_path, name, resolution):
    backbone = backbone_ref(name, {"width": 0.25})
    candidate = candidate_of(backbone, resolution)
    torch.save(published(build_model(candidate, {"class": 5}), candidate), tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", backbone=backbone)
    assert (imported.candidate.frames, imported.candidate.resolution) == (8, resolution)


def test_the_head_is_of_the_task_that_is_named(tmp_path):
    candidate = candidate_of(NARROW, 64)
    torch.save(published(build_model(candidate, {"class": 5}), candidate), tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", candidate=candidate, task="verb")
    assert {"heads.verb.weight", "heads.verb.bias"} <= set(safetensors.torch.load_file(imported.path))
    assert json.loads(read_metadata(imported.path)["heads"]) == {"verb": 5}


def test_a_checkpoint_without_counters_of_batches_is_whole(tmp_path):
    candidate = candidate_of(NARROW, 64)
    model = shaken(build_model(candidate, {"class": 5}))
    state = published(model, candidate)
    torch.save({name: state[name] for name in state if not name.endswith("num_batches_tracked")}, tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", candidate=candidate)
    assert imported.found.missing == ()
    fresh = build_model(candidate, {"class": 5}, seed=1).eval()
    fresh.load_state_dict(safetensors.torch.load_file(imported.path))
    assert torch.equal(fresh(torch.ones(2, 3, 64, 64))["class"], model(torch.ones(2, 3, 64, 64))["class"])


@pytest.mark.parametrize(
    ("last", "blocks", "name"),
    [
        ("conv2", (2, 2, 2, 2), "resnet18"),
        ("conv2", (3, 4, 6, 3), "resnet34"),
        ("conv3", (3, 4, 6, 3), "resnet50"),
        ("conv3", (3, 4, 23, 3), "resnet101"),
        ("conv3", (3, 8, 36, 3), "resnet152"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "base_model.", "backbone."])
def test_the_numbers_of_blocks_tell_a_resnet(tmp_path, last, blocks, name, prefix):
    state = {
        f"{prefix}layer{stage}.{block}.{layer}.weight": torch.zeros(0)
        for stage, depth in enumerate(blocks, start=1)
        for block in range(depth)
        for layer in ("conv1", "conv2", last)
    }
    assert guess_backbone(state, tmp_path) == BackboneRef.of(name)


def test_gsm_in_inception_v3_stands_elsewhere_in_one_block_than_gsf():
    layers = {"mixed_3_tower_conv_Conv2D": 64, "mixed_4_conv_Conv2D": 192}
    state = {f"base_model.gsm_{layer}.conv3D.weight": torch.zeros(2, c // 2, 3, 3, 3) for layer, c in layers.items()}
    candidate, _ = guess_candidate(state, BackboneRef.of("inception_v3"), 16, 101)
    assert [site for site, _ in candidate.insertions] == ["mixed_3.double_3x3_reduce", "mixed_4.1x1"]
    assert {insertion.get("fuse", "learnable") for _, insertion in candidate.insertions} == {"sum"}


def test_names_of_no_network_ask_for_one(tmp_path):
    torch.save({"blocks.0.weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(
        UserError,
        match=r"other\.pth has the tensor names of no known network .*'blocks\.0\.weight'.* --backbone or --candidate$",
    ):
        import_weights(tmp_path / "other.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_module_after_a_layer_without_a_site_is_refused(tmp_path):
    candidate = candidate_of(NARROW, 64)
    state = published(build_model(candidate, {"class": 5}), candidate)
    state["module.base_model.gsf_conv2_3x3.conv3D.weight"] = torch.zeros(2, 8, 3, 3, 3)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"^the file has a module after 'conv2_3x3', where backbone bninception.* has no site$"):
        import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", backbone=NARROW)


@pytest.mark.parametrize("gate", [{}, {"module.base_model.gsf_inception_4a_1x1.conv3D.weight": torch.zeros(2)}])
def test_a_module_without_its_gate_is_refused(tmp_path, gate):
    candidate = candidate_of(NARROW, 64)
    state = published(build_model(candidate, {"class": 5}), candidate)
    del state["module.base_model.gsf_inception_4a_1x1.conv3D.weight"]
    torch.save(state | gate, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"^the module after 'inception_4a_1x1' lacks its gate's convolution$"):
        import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", backbone=NARROW)


@pytest.mark.parametrize("part", ["channel_conv1.weight", "temporal.weight"])
def test_a_part_that_ours_has_not_is_left_over_under_its_own_name(tmp_path, part):
    """Of a fusion, one convolution without the other; and a part of a module that is not the published one."""
    candidate = candidate_of(NARROW, 64, "gsm")
    name = f"base_model.gsm_inception_4a_1x1.{part}"
    state = published(build_model(candidate, {"class": 5}), candidate, "gsm") | {name: torch.ones(1, 2, 3, 3)}
    torch.save(state, tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", candidate=candidate)
    assert imported.found.left_over == (name,)


def test_a_file_of_ours_needs_no_import_and_another_ending_is_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "ours.safetensors", {"candidate": "{}"})
    for source, out, said in (
        ("ours.safetensors", "out.safetensors", "already names its candidate"),
        ("ours.safetensors", "out.pth", "are written as safetensors, so the file must end in"),
    ):
        with pytest.raises(UserError, match=said):
            import_weights(tmp_path / source, tmp_path / out)
    assert not list(tmp_path.glob("out*"))
