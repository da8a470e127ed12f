"""Which of the values in a file are taken for its weights, and what is said where there was a choice."""

import argparse
import pathlib
import sys

import numpy as np
import pytest
import torch
from torch import nn

from gsfnas.errors import UserError
from gsfnas.weights import read_state
from gsfnas.weights._read import IgnoredObject, read_file
from gsfnas.weights._state import PREFERRED

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.ones(2), "bn.num_batches_tracked": torch.tensor(3)}
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}
ADAM = {"state": {0: {"step": torch.tensor(9.0), "exp_avg": torch.ones(2, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def saved(path, data, is_new=True):
    torch.save(data, path, _use_new_zipfile_serialization=is_new)
    return path


def is_equal(state, other=STATE):
    return list(state) == list(other) and all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("name", [*PREFERRED, "a_name_of_its_own"])
def test_the_one_state_dict_is_found_under_any_name_beside_other_values(tmp_path, name):
    beside = {"epoch": 3, "arch": "net", "cfg": "a: 1", "best": torch.tensor(0.5), "rng_state": torch.zeros(9), "scaler": {}}
    path = saved(tmp_path / "a.pth", {**beside, name: STATE, "optimizer": ADAM, "optimizer_state": {}, "lr_schedulers": [ADAM]})
    read = read_file(path)
    assert is_equal(read.tensors)
    assert read.notes == ()


@pytest.mark.parametrize("names", [("model", "state_dict"), ("checkpoint", "net"), ("a", "b", "c")])
def test_a_state_dict_is_found_some_levels_down(tmp_path, names):
    data = STATE
    for name in reversed(names):
        data = {"epoch": 3, name: data}
    assert is_equal(read_state(saved(tmp_path / "a.pth", data)))


@pytest.mark.parametrize(
    ("data", "taken", "others"),
    [
        ({"state_dict_ema": OTHER, "state_dict": STATE}, "'state_dict'", "'state_dict_ema'"),
        ({"model_ema": OTHER, "model": STATE}, "'model'", "'model_ema'"),
        ({"ema": {"decay": 0.9, "shadow": OTHER}, "net": STATE}, "'net'", "'ema.shadow'"),
        ({"ema_state_dict": OTHER, "state_dict": STATE, "message_hub": {}}, "'state_dict'", "'ema_state_dict'"),
        ({"generator": OTHER, "model_state": STATE}, "'model_state'", "'generator'"),
        ({"critic": OTHER, "ema": STATE}, "'ema'", "'critic'"),
        ({**STATE, "teacher": OTHER}, "the top", "'teacher'"),
        ({"model": {"state_dict": STATE}, "model_ema": {"state_dict": OTHER}}, "'model.state_dict'", "'model_ema.state_dict'"),
        ({"model": STATE, **{f"m{i}": {**OTHER} for i in range(5)}}, "'model'", "'m0', 'm1', 'm2' and 2 more"),
    ],
)
def test_of_several_the_order_of_preference_decides_and_is_said(tmp_path, data, taken, others):
    read = read_file(saved(tmp_path / "a.pth", data))
    assert is_equal(read.tensors)
    assert read.notes == (f"the weights under {taken} are used, not those under {others}",)


def test_one_state_dict_under_two_names_is_one(tmp_path):
    read = read_file(saved(tmp_path / "a.pth", {"student": STATE, "teacher": STATE}))
    assert is_equal(read.tensors)
    assert read.notes == ()


@pytest.mark.parametrize(
    ("data", "listed"),
    [
        ({"generator": STATE, "critic": OTHER}, "'generator', 'critic'"),
        ({"a": {"state_dict": STATE}, "b": {"state_dict": OTHER}}, "'a.state_dict', 'b.state_dict'"),
    ],
)
def test_between_equals_nothing_is_chosen(tmp_path, data, listed):
    with pytest.raises(UserError) as caught:
        read_state(saved(tmp_path / "a.pth", data))
    assert str(caught.value).endswith(
        f"a.pth holds several state dicts ({listed}), and their names do not say which to use; save only that one"
    )


def test_the_state_dict_of_one_layer_needs_no_dots(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    assert is_equal(read_state(saved(tmp_path / "a.pth", state)), state)
    assert is_equal(read_state(saved(tmp_path / "b.pth", {"epoch": 1, "model": state})), state)


def test_what_is_no_tensor_among_tensors_is_left_out_and_said(tmp_path):
    beside = {"arch": "net", "raw": b"abc", "version": 3, "none": None, 7: torch.ones(2), "list": [torch.ones(1)]}
    read = read_file(saved(tmp_path / "a.pth", STATE | beside))
    assert is_equal(read.tensors)
    assert read.notes == ("left out, because they are not tensors: 'arch', 'raw', 'version' and 3 more",)


def test_mappings_that_hold_themselves_end(tmp_path):
    data = {"state_dict": dict(STATE)}
    data["self"] = data
    data["state_dict"]["owner"] = data
    assert is_equal(read_state(saved(tmp_path / "a.pth", data)))
    del data["state_dict"]
    with pytest.raises(UserError, match=r"holds no state dict, but a mapping of 'self'$"):
        read_state(saved(tmp_path / "b.pth", data))


VALUES = {
    "float64": np.float64(58.2),
    "float32": np.float32(58.2),
    "int64": np.int64(3),
    "bool": np.bool_(True),
    "str": np.str_("a"),
    "date": np.datetime64("2020-01-01"),
    "array": np.arange(6).reshape(2, 3),
    "strings": np.array(["a", "b"]),
    "objects": np.array([None, "b"], dtype=object),
    "records": np.zeros(2, dtype=[("a", "f4"), ("b", "i8")]),
    "arguments": argparse.Namespace(lr=np.float64(0.1), out=pathlib.Path("runs"), nested=argparse.Namespace(a=[1])),
    "path": pathlib.Path("/data"),
}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_numpys_values_arguments_and_paths_are_left_unread(tmp_path, value, is_new):
    path = saved(tmp_path / "a.pth", {"epoch": 3, "state_dict": STATE, "best": value, "all": [value, {"a": value}]}, is_new)
    assert is_equal(read_state(path))


def test_nothing_of_numpy_or_argparse_is_called_for_them(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.pth", {"state_dict": STATE, "best": np.float64(58.2), "args": argparse.Namespace(lr=0.1)})

    def called(*args):
        raise AssertionError("called")

    class NeverMade:
        __init__ = __new__ = __setstate__ = called

    monkeypatch.setattr("numpy._core.multiarray.scalar", called)
    monkeypatch.setattr(argparse, "Namespace", NeverMade)
    monkeypatch.setattr(np, "dtype", NeverMade)
    assert is_equal(read_state(path))
    monkeypatch.undo()
    # Only for the time of reading does torch know of the stand-ins.
    assert not any(IgnoredObject in each for each in torch.serialization.get_safe_globals() if isinstance(each, tuple))


def test_a_type_of_numpys_that_a_file_would_change_for_all_stays_as_it_is(tmp_path):
    """A pickle may set the byte order of the one type of float64 that all of NumPy shares."""

    class Swapped:
        def __reduce__(self):
            return np.dtype, ("f8", False, False), (3, ">", None, None, None, -1, -1, 0)

    assert is_equal(read_state(saved(tmp_path / "a.pth", {"state_dict": STATE, "best": Swapped()})))
    assert np.dtype("f8").byteorder == "="
    assert float(np.float64(1.5)) == 1.5


@pytest.mark.parametrize("name", ["timeit", "antigravity"])
def test_what_is_left_unread_imports_nothing(tmp_path, name):
    class Named:
        def __reduce__(self):
            return np.dtype, (f"{name}:object",)

    sys.modules.pop(name, None)
    assert is_equal(read_state(saved(tmp_path / "a.pth", {"state_dict": STATE, "best": Named()})))
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.ones(2, 3, device="meta"), "a tensor without values (of the device meta)"),
        (torch.eye(3).to_sparse(), "a sparse tensor"),
        (torch.eye(3).to_sparse().sparse_resize_((10**9, 10**9), 2, 0), "a sparse tensor"),
    ],
)
def test_tensors_without_plain_numbers_are_refused_by_name(tmp_path, tensor, kind):
    with pytest.raises(UserError) as caught:
        read_state(saved(tmp_path / "a.pth", STATE | {"fc.weight": tensor}))
    assert str(caught.value).endswith(f"a.pth: 'fc.weight' is {kind}, but weights are plain tensors of numbers")


@pytest.mark.parametrize("is_new", [True, False])
def test_tensors_of_another_machines_gpu_are_read_on_the_cpu(tmp_path, monkeypatch, is_new):
    monkeypatch.setattr("torch.serialization.location_tag", lambda storage: "cuda:7")
    path = saved(tmp_path / "a.pth", {"state_dict": STATE}, is_new)
    assert b"cuda:7" in path.read_bytes()
    state = read_state(path)
    assert is_equal(state)
    assert {tensor.device.type for tensor in state.values()} == {"cpu"}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_tensors_are_refused_by_name(tmp_path):
    state = STATE | {"fc.weight": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}
    with pytest.raises(UserError, match=r"'fc\.weight' is a quantised tensor, but weights are plain tensors of numbers$"):
        read_state(saved(tmp_path / "a.pth", state))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.module.", "_fsdp_wrapped_module.module."]
)
def test_wrappers_go_from_the_beginning_of_names(tmp_path, prefix):
    assert is_equal(read_state(saved(tmp_path / "a.pth", {f"{prefix}{name}": tensor for name, tensor in STATE.items()})))


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_torchs_own_wrappers_go_from_within_names(tmp_path, wrapper):
    state = {f"model.{wrapper}.layer1.{wrapper}.conv.weight": STATE["conv.weight"], "my_orig_mod.weight": STATE["conv.bias"]}
    assert list(read_state(saved(tmp_path / "a.pth", state))) == ["model.layer1.conv.weight", "my_orig_mod.weight"]


def test_two_tensors_of_one_name_are_refused(tmp_path):
    path = saved(tmp_path / "a.pth", {"conv.weight": torch.ones(2), "module.conv.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"two tensors that are both called 'conv\.weight' once wrapper prefixes are removed$"):
        read_state(path)


def test_names_longer_than_any_networks_are_refused_at_once(tmp_path):
    path = saved(tmp_path / "a.pth", {"a." * 10**6 + "weight": torch.ones(2)})
    with pytest.raises(UserError, match=r"^a tensor's name has at most 500 characters, but .* has one of 2,000,006$"):
        read_state(path)
