"""Public ImageNet weights as files: the layers' names alone, BatchNorms of shape (1, C), a classifier that is none of ours."""

import json

import pytest
import safetensors.torch
import torch

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, initialise, read_metadata
from gsfnas.weights._normalization import CAFFE, IMAGENET

from .published import as_caffe_port, candidate_of, public_imagenet, shaken

NARROW = backbone_ref("bninception", {"width": 0.25})


def saved(path, state, is_old=False):
    torch.save(state, path, _use_new_zipfile_serialization=not is_old)
    return path


@pytest.mark.parametrize(
    ("name", "resolution", "head", "reshaped", "pixels"),
    [
        ("bninception", 64, "fc", 4 * 69, CAFFE),
        pytest.param("bninception", 64, "last_linear", 4 * 69, CAFFE, marks=pytest.mark.extra),
        pytest.param("inception_v3", 101, "top_cls_fc", 4 * 94, CAFFE, marks=pytest.mark.extra),
        ("resnet18", 64, "fc", 0, IMAGENET),
    ],
)
def test_a_backbone_is_imported_without_a_head(tmp_path, name, resolution, head, reshaped, pixels):
    candidate = Candidate(BackboneRef.of(name), 8, resolution)
    model = shaken(build_model(candidate))
    source = saved(tmp_path / "imagenet.pth", as_caffe_port(public_imagenet(model, head)), is_old=True)
    imported = import_weights(source, tmp_path / "imagenet.safetensors", resolution=resolution)
    found = imported.found
    assert (imported.candidate, imported.classes) == (candidate, None)
    assert (len(found.reshaped), found.missing, found.left_over) == (reshaped, (), (f"{head}.weight", f"{head}.bias"))
    metadata = read_metadata(imported.path)
    assert json.loads(metadata["heads"]) == {}
    assert metadata["pixels"] == pixels.to_text()
    for layer, tensor in safetensors.torch.load_file(imported.path).items():
        assert torch.equal(tensor, model.state_dict()[layer]), layer


def test_training_starts_from_the_backbone_with_fresh_insertions_and_heads(tmp_path):
    candidate = candidate_of(NARROW, 64)
    weights, model = shaken(build_model(candidate)), build_model(candidate, {"class": 5}, seed=1)
    fresh = build_model(candidate, {"class": 5}, seed=1).state_dict()
    source = saved(tmp_path / "imagenet.pth", as_caffe_port(public_imagenet(weights, "fc")))
    pixels, found = initialise(model, candidate, str(source))
    assert pixels == CAFFE
    assert set(found.missing) == {
        name for name in fresh if name.startswith(("insertions.", "heads.")) and "tracked" not in name
    }
    for name, tensor in model.state_dict().items():
        is_loaded = name.startswith("backbone.") and not name.endswith("num_batches_tracked")
        assert torch.equal(tensor, (weights.state_dict() if is_loaded else fresh)[name]), name


def test_weights_of_another_network_are_refused_with_counts(tmp_path):
    resnet = build_model(Candidate(BackboneRef.of("resnet18"), 2, 64))
    source = saved(tmp_path / "resnet18.pth", public_imagenet(resnet, "fc"))
    with pytest.raises(UserError) as caught:
        import_weights(source, tmp_path / "out.safetensors", backbone=BackboneRef.of("bninception"), resolution=64)
    assert str(caught.value) == (
        f"{source} does not hold the weights of bninception: 0 tensors of the backbone fit and {69 * 6} are missing, the first "
        "is 'conv1_7x7_s2.weight'"
    )
    assert not (tmp_path / "out.safetensors").exists()


def test_a_backbone_that_lacks_a_tensor_is_refused_and_nothing_loaded(tmp_path):
    candidate = candidate_of(NARROW, 64)
    state = public_imagenet(shaken(build_model(candidate)), "fc") | {"new_fc.bias": torch.ones(1000)}
    del state["inception_4a_1x1.bias"]
    state["inception_5b_pool_proj.weight"] = torch.ones(3, 3, 1, 1)
    model, fresh = build_model(candidate), build_model(candidate).state_dict()
    with pytest.raises(
        UserError, match=r"412 tensors of the backbone fit and 2 are missing, the first is 'inception_4a_1x1\.bias'$"
    ):
        initialise(model, candidate, str(saved(tmp_path / "a.pth", state)))
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.state_dict().items())
