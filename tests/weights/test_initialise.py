"""The weights that training begins with: the seed's, a file's, ImageNet's through timm."""

import pytest
import safetensors.torch
import timm
import torch

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import InputNormalization, import_weights, initialise
from gsfnas.weights._normalization import CAFFE, IMAGENET

from .published import candidate_of, published, shaken

GSF = candidate_of(backbone_ref("bninception", {"width": 0.25}), 64)
MICRO = Candidate(BackboneRef.of("micro"), 2, 32)
RESNET18 = Candidate(BackboneRef.of("resnet18"), 2, 64)


def is_equal(state, other, *owners):
    """Whether two state dicts agree in all tensors of these owners."""
    names = [name for name in state if name.startswith(owners)]
    assert names
    return all(torch.equal(state[name], other[name]) for name in names)


@pytest.fixture(scope="module")
def trained():
    return shaken(build_model(GSF, {"class": 174}))


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "gsf.pth.tar"
    torch.save({"epoch": 60, "model_state_dict": published(trained, GSF)}, path)
    return path


def test_scratch_leaves_every_weight_alone():
    model = build_model(GSF, {"class": 5}, seed=1)
    assert initialise(model, GSF, "scratch") == (IMAGENET, None)
    assert is_equal(model.state_dict(), build_model(GSF, {"class": 5}, seed=1).state_dict(), "")


@pytest.mark.parametrize("is_imported", [False, True])
def test_a_file_gives_all_its_weights_and_pixels(checkpoint, trained, tmp_path, is_imported):
    file = import_weights(checkpoint, tmp_path / "a.safetensors", candidate=GSF).path if is_imported else checkpoint
    model = build_model(GSF, {"class": 174}, seed=1)
    pixels, found = initialise(model, GSF, str(file))
    assert pixels == CAFFE
    assert found.summary() == f"{len(trained.state_dict())} tensors matched, 0 reshaped, 0 missing, 0 left over"
    assert is_equal(model.state_dict(), trained.state_dict(), "")


@pytest.mark.parametrize(
    ("metadata", "pixels"),
    [
        (
            {"pixels": InputNormalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)).to_text()},
            InputNormalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        ),
        ({"candidate": GSF.to_json()}, IMAGENET),
        ({}, CAFFE),
    ],
)
def test_pixels_are_those_that_a_file_says_or_what_its_kind_expects(trained, tmp_path, metadata, pixels):
    """A file of ours that says none is of a time when all were ImageNet's; public weights of BN-Inception are Caffe's."""
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "a.safetensors", metadata)
    assert initialise(build_model(GSF, {"class": 174}), GSF, str(tmp_path / "a.safetensors"))[0] == pixels


def test_a_head_of_other_classes_stays_fresh(checkpoint, trained):
    model = build_model(GSF, {"class": 5}, seed=1)
    _, found = initialise(model, GSF, str(checkpoint))
    assert found.left_over == (
        "heads.class.weight (of shape (174, 256), not (5, 256))",
        "heads.class.bias (of shape (174,), not (5,))",
    )
    assert is_equal(model.state_dict(), trained.state_dict(), "backbone.", "insertions.")
    assert is_equal(model.state_dict(), build_model(GSF, {"class": 5}, seed=1).state_dict(), "heads.")


def test_insertions_on_other_channels_stay_fresh_whole(checkpoint, trained):
    halved = candidate_of(GSF.backbone, 64, ratio=0.5)
    model, fresh = (build_model(halved, {"class": 174}, seed=1) for _ in range(2))
    _, found = initialise(model, halved, str(checkpoint))
    assert is_equal(model.state_dict(), fresh.state_dict(), "insertions.")
    assert is_equal(model.state_dict(), trained.state_dict(), "backbone.", "heads.")
    assert "insertions.3a-1x1.gate.weight (of shape (2, 8, 3, 3, 3), not (2, 4, 3, 3, 3))" in found.left_over
    assert set(found.missing) == {
        name for name in fresh.state_dict() if name.startswith("insertions.") and "tracked" not in name
    }


def test_the_gates_of_gsf_start_those_of_gsm(checkpoint, trained):
    gsm = candidate_of(GSF.backbone, 64, "gsm")
    model = build_model(gsm, {"class": 174}, seed=1)
    _, found = initialise(model, gsm, str(checkpoint))
    assert is_equal(model.state_dict(), trained.state_dict(), "")
    assert set(found.left_over) == {name for name in trained.state_dict() if ".fuse." in name}
    assert not found.missing


def test_modules_where_the_candidate_has_none_are_left_over(checkpoint, trained):
    plain = Candidate(GSF.backbone, 2, 64)
    model = build_model(plain, {"class": 174}, seed=1)
    _, found = initialise(model, plain, str(checkpoint))
    assert is_equal(model.state_dict(), trained.state_dict(), "")
    # Of each module: the gate's convolution, its BatchNorm, and two convolutions of the fusion.
    assert len(found.left_over) == 10 * (2 + 5 + 4)
    assert not found.missing


def test_a_module_before_a_layer_takes_none_of_one_after_it(tmp_path):
    insertions = (("layer1.0.conv3.before", Insertion.of("gate_shift_fuse", {"channels": 4})),)
    before = Candidate(backbone_ref("micro_bottleneck", {"width": 0.25}), 2, 32, insertions)
    model = build_model(before, {"class": 5})
    torch.save(model.backbone.state_dict() | {"layer1.0.gsf.conv3D.bias": torch.ones(2)}, tmp_path / "a.pth")
    _, found = initialise(model, before, str(tmp_path / "a.pth"))
    assert found.left_over == ("layer1.0.gsf.conv3D.bias",)
    assert "insertions.layer1-0-conv3-before.gate.weight" in found.matched


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^there is no weights file .*none\.pth'$"):
        initialise(build_model(MICRO), MICRO, str(tmp_path / "none.pth"))


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (MICRO, r"^there are no ImageNet weights for backbone micro; use train\.init=scratch"),
        (GSF, r"^there are no ImageNet weights for backbone bninception\(width=0\.25\); use train\.init=scratch"),
        (Candidate(BackboneRef.of("bninception"), 2, 64), r"gsfnas weights import FILE --backbone bninception"),
        (Candidate(BackboneRef.of("inception_v3"), 2, 101), r"gsfnas weights import FILE --backbone inception_v3"),
    ],
)
def test_what_timm_has_no_weights_for_is_refused(candidate, message):
    with pytest.raises(UserError, match=message) as caught:
        initialise(build_model(MICRO), candidate, "imagenet")
    assert "\n" not in str(caught.value)


def replace_download(monkeypatch, download):
    """Lets ``download(name)`` give what timm would for a network with weights; nothing is fetched."""
    create = timm.create_model

    def create_model(name, pretrained=False, **options):
        return download(name) if pretrained else create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", create_model)


def test_imagenet_gives_torchvisions_weights_and_their_pixels_through_timm(monkeypatch):
    network = timm.create_model("resnet18", num_classes=0)
    for tensor in network.state_dict().values():
        tensor.add_(1)
    network.pretrained_cfg = {"mean": (0.5, 0.25, 0.125), "std": (0.5, 1.0, 2.0)}
    asked = []
    replace_download(monkeypatch, lambda name: asked.append(name) or network)
    model, fresh = (build_model(RESNET18, {"class": 5}, seed=1) for _ in range(2))
    pixels, found = initialise(model, RESNET18, "imagenet")
    assert asked == ["resnet18.tv_in1k"]
    assert pixels == InputNormalization((127.5, 63.75, 31.875), (127.5, 255.0, 510.0), "rgb")
    assert (found.missing, found.left_over) == (("heads.class.weight", "heads.class.bias"), ())
    assert is_equal(model.backbone.state_dict(), network.state_dict(), "")
    assert is_equal(model.state_dict(), fresh.state_dict(), "heads.")


def test_a_download_that_fails_is_said_in_one_line(monkeypatch):
    def download(name):
        raise OSError("no route to host\nand more")

    replace_download(monkeypatch, download)
    with pytest.raises(UserError) as caught:
        initialise(build_model(RESNET18), RESNET18, "imagenet")
    assert str(caught.value) == (
        "the ImageNet weights of resnet18.tv_in1k could not be downloaded (OSError: no route to host); download them on a "
        "machine with internet access and use train.init=FILE, or use train.init=scratch"
    )
