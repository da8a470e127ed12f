"""Where a backbone stands in a public state dict, and which of its tensors a public name means."""

import re

import pytest
import torch

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, initialise, match
from gsfnas.weights._initialise import fit
from gsfnas.weights._state import State

from .published import shaken

RESNET18 = Candidate(BackboneRef.of("resnet18"), 2, 64)
BOTTLENECK = Candidate(backbone_ref("micro_bottleneck", {"width": 0.25}), 2, 32)


@pytest.fixture(scope="module")
def resnet18():
    return shaken(build_model(RESNET18, {"class": 5}))


@pytest.fixture(scope="module")
def bottleneck():
    return shaken(build_model(BOTTLENECK, {"class": 5}))


def layers(model):
    return {name.removeprefix("backbone."): value for name, value in model.state_dict().items() if name.startswith("backbone.")}


def saved(path, state):
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


def of_mmaction(state):
    """A ResNet's tensors as mmaction2 calls them: a convolution and its norm are one module."""
    named = {}
    for name, tensor in state.items():
        name = re.sub(r"conv(\d)\.", r"conv\1.conv.", name)
        name = re.sub(r"bn(\d)\.", r"conv\1.bn.", name)
        named[name.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")] = tensor
    return named


# In front of a layer's name, and of the head's where the code has one of its own.
PREFIXES = {
    "torchvision": "",
    "lightning": "model.",
    "net": "net.",
    "timm": "backbone.",
    "tsn": "base_model.",
    "lightning-ddp-compile": "model._orig_mod.module.",
    "compile-lightning": "_orig_mod.model.",
    "deep": "learner.student.encoder.backbone.",
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_the_backbone_is_found_behind_any_prefix(tmp_path, resnet18, prefix):
    beside = {f"{prefix}fc.weight": torch.ones(1000, 512), f"{prefix}fc.bias": torch.ones(1000)}
    if prefix:
        beside |= {"criterion.weight": torch.ones(5), "metrics.confusion.matrix": torch.ones(5, 5)}
    source = saved(tmp_path / "a.ckpt", {f"{prefix}{name}": value for name, value in layers(resnet18).items()} | beside)
    imported = import_weights(source, tmp_path / "a.safetensors", frames=2, resolution=64)
    assert imported.candidate == RESNET18
    assert imported.found.missing == ()
    assert len(imported.found.left_over) == len(beside)
    assert imported.notes == ()
    for name, value in layers(resnet18).items():
        assert torch.equal(imported.found.tensors[f"backbone.{name}"], value), name


@pytest.mark.parametrize("prefix", ["", "model.", "model._orig_mod.module."])
def test_mmactions_convolutions_with_norm_are_torchvisions_layers(tmp_path, resnet18, prefix):
    state = {f"{prefix}backbone.{name}": value for name, value in of_mmaction(layers(resnet18)).items()}
    assert f"{prefix}backbone.layer2.0.downsample.bn.running_mean" in state
    head = {f"{prefix}cls_head.fc_cls.{kind}": resnet18.heads["class"].state_dict()[kind] for kind in ("weight", "bias")}
    imported = import_weights(saved(tmp_path / "a.pth", state | head), tmp_path / "a.safetensors", frames=2, resolution=64)
    assert (imported.candidate, imported.classes) == (RESNET18, 5)
    assert (imported.found.missing, imported.found.left_over) == ((), ())
    for name, value in resnet18.state_dict().items():
        assert torch.equal(imported.found.tensors[name], value), name


def test_mmactions_checkpoints_of_imagenet_have_half_of_its_names(tmp_path, resnet18):
    state = {f"backbone.{name.replace('conv1.weight', 'conv1.conv.weight')}": value for name, value in layers(resnet18).items()}
    state |= {"backbone.fc.weight": torch.ones(1000, 512), "backbone.fc.bias": torch.ones(1000)}
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", frames=2, resolution=64)
    assert imported.found.left_over == ("fc.weight", "fc.bias")
    assert imported.classes is None


def test_a_name_is_taken_as_it_is_where_the_network_has_it(bottleneck):
    """A layer may be called ``net`` or ``conv`` in the network itself."""
    network = torch.nn.ModuleDict({"a": torch.nn.ModuleDict({"net": torch.nn.Linear(2, 3)})})
    assert match(network.state_dict(), network).missing == ()
    model = build_model(BOTTLENECK, {"class": 5})
    state = {f"model.net.{name}": value for name, value in layers(bottleneck).items()}
    found = fit(State(state), model)
    assert found.notes == ()
    assert all(torch.equal(found.tensors[f"backbone.{name}"], value) for name, value in layers(bottleneck).items())


def test_training_begins_from_weights_behind_a_prefix(tmp_path, bottleneck):
    state = {f"model.{name}": value for name, value in layers(bottleneck).items()} | {"loss.weight": torch.ones(5)}
    model = build_model(BOTTLENECK, {"class": 5}, seed=1)
    _, found = initialise(model, BOTTLENECK, str(saved(tmp_path / "a.ckpt", state)))
    assert found.left_over == ("loss.weight",)
    assert all(torch.equal(value, layers(bottleneck)[name]) for name, value in layers(model).items())


def test_a_backbone_that_stands_twice_is_not_chosen_between(tmp_path, bottleneck):
    state = {f"{which}.{name}": value for which in ("student", "teacher") for name, value in layers(bottleneck).items()}
    path = saved(tmp_path / "a.pth", state)
    message = r"^the file holds the backbone twice, under 'student\.' and under 'teacher\.'; save only one of them$"
    with pytest.raises(UserError, match=message):
        import_weights(path, tmp_path / "a.safetensors", backbone=BOTTLENECK.backbone, resolution=32)
    with pytest.raises(UserError, match=message):
        initialise(build_model(BOTTLENECK), BOTTLENECK, str(path))


def test_two_names_of_one_tensor_are_refused(tmp_path, bottleneck):
    state = layers(bottleneck) | {"layer1.0.conv1.net.weight": layers(bottleneck)["layer1.0.conv1.weight"]}
    said = r"stand for 'backbone\.layer1\.0\.conv1\.weight', one of them is 'layer1\.0\.conv1\.net\.weight'$"
    with pytest.raises(UserError, match=said):
        import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, bottleneck, dtype):
    state = {name: value.to(dtype) for name, value in layers(bottleneck).items()}
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)
    for name, value in layers(bottleneck).items():
        taken = imported.found.tensors[f"backbone.{name}"]
        assert taken.dtype == value.dtype
        assert torch.equal(taken, value.to(dtype).to(value.dtype)), name


def test_a_counter_of_batches_that_overflowed_in_half_precision_is_left_over(tmp_path, bottleneck):
    state = {name: value.half() for name, value in layers(bottleneck).items()}
    state["bn1.num_batches_tracked"] = torch.tensor(1e9).half()
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)
    assert imported.found.left_over == ("backbone.bn1.num_batches_tracked (of type float16, not int64)",)
    assert imported.notes == ()


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_numbers_that_need_a_scale_are_refused(tmp_path, bottleneck, dtype):
    state = layers(bottleneck)
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"].to(dtype)
    said = rf"1 are missing, the first is 'layer1\.0\.conv1\.weight' \(of type {str(dtype)[6:]}, not float32\)$"
    with pytest.raises(UserError, match=said):
        import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)


def test_weights_that_share_their_memory_are_written_each(tmp_path, bottleneck):
    state = layers(bottleneck)
    first, second = "layer1.0.bn1.weight", "layer1.0.bn2.weight"
    assert state[first].shape == state[second].shape
    state[second] = state[first]
    state["layer1.0.conv1.weight"] = torch.ones(1).expand(state["layer1.0.conv1.weight"].shape)
    state["layer1.0.conv2.weight"] = state["layer1.0.conv2.weight"].transpose(2, 3)
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)
    fresh = build_model(BOTTLENECK, {"class": 5})
    initialise(fresh, BOTTLENECK, str(imported.path))
    assert all(torch.equal(value, state[name]) for name, value in layers(fresh).items())


def test_nan_and_infinity_are_said(tmp_path, bottleneck):
    state = layers(bottleneck)
    for name, value in (("layer1.0.bn1.running_var", float("inf")), ("layer1.0.conv2.weight", float("nan"))):
        state[name] = torch.full_like(state[name], value)
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=BOTTLENECK)
    assert imported.notes == ("2 of the tensors contain NaN or infinity, the first is 'layer1.0.bn1.running_var'",)


def test_what_was_chosen_is_among_the_notes(tmp_path, bottleneck):
    torch.save({"state_dict": layers(bottleneck), "state_dict_ema": layers(bottleneck)}, tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", candidate=BOTTLENECK)
    assert imported.notes == ("the weights under 'state_dict' are used, not those under 'state_dict_ema'",)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, bottleneck):
    source = saved(tmp_path / "a.pth", layers(bottleneck))
    (tmp_path / "out.safetensors").mkdir()
    (tmp_path / "out.safetensors" / "kept").touch()
    (tmp_path / "file").touch()
    for out in (tmp_path / "out.safetensors", tmp_path / "file" / "out.safetensors"):
        with pytest.raises(UserError, match=r"^cannot write .*out\.safetensors: "):
            import_weights(source, out, candidate=BOTTLENECK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "file", "out.safetensors"]


def test_the_command_prints_what_was_chosen_and_no_escapes(tmp_path, bottleneck, capsys):
    from gsfnas import api
    from gsfnas.cli import _show_scores

    state = {f"net.{name}": value for name, value in layers(bottleneck).items()} | {"loss.\x1b[31m": torch.ones(2)}
    torch.save({"model_state": state, "ema": layers(bottleneck)}, tmp_path / "a.pyth")
    candidate = BOTTLENECK.to_json()
    _show_scores.imported(api.import_weights(tmp_path / "a.pyth", candidate=candidate, runs=tmp_path), is_all=False)
    said = capsys.readouterr().out.splitlines()
    assert said[2:] == [
        "the weights under 'model_state' are used, not those under 'ema'",
        r"left over: loss.\x1b[31m",
        str(tmp_path / "a.safetensors"),
    ]
