"""State dicts from files: what is read, what is refused in one line, and that nothing in a file is run."""

import os
import pickle
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from gsfnas.errors import UserError
from gsfnas.weights import read_metadata, read_state

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.tensor([1, 2])}


def is_equal(state, other=STATE):
    return list(state) == list(other) and all(torch.equal(state[name], other[name]) for name in state)


def refusal(path):
    """What is said of a file that is refused: one line, and nothing else on the way."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(UserError) as caught:
            read_state(path)
    assert not said
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


class Code:
    """Pickled, it is a call that makes a folder or a file."""

    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("is_new", [True, False])
def test_a_plain_state_dict_is_read_in_both_formats_of_torch(tmp_path, is_new):
    torch.save(STATE, tmp_path / "a.pth", _use_new_zipfile_serialization=is_new)
    assert is_equal(read_state(tmp_path / "a.pth"))


def test_parameters_are_read_as_tensors(tmp_path):
    torch.save({"conv.weight": nn.Parameter(STATE["conv.weight"]), "conv.bias": STATE["conv.bias"]}, tmp_path / "a.pth")
    assert is_equal(read_state(tmp_path / "a.pth"))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_stripped(tmp_path, prefix):
    torch.save({f"{prefix}{name}": tensor for name, tensor in STATE.items()}, tmp_path / "a.pth")
    assert is_equal(read_state(tmp_path / "a.pth"))


def test_only_the_beginning_of_a_name_is_stripped(tmp_path):
    torch.save({"module.base_model.module.weight": STATE["conv.weight"]}, tmp_path / "a.pth")
    assert list(read_state(tmp_path / "a.pth")) == ["base_model.module.weight"]


def test_safetensors_are_read_with_their_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({f"module.{name}": tensor for name, tensor in STATE.items()}, path, {"source": "here"})
    read = read_state(path)
    assert is_equal({name: read[name] for name in STATE})
    assert len(read) == len(STATE)
    assert read_metadata(path) == {"source": "here"}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert refusal(path).startswith("there is no weights file")
    path.mkdir()
    assert refusal(path).endswith("it is a folder")


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_of_torch_cut_anywhere_is_refused(tmp_path, is_new):
    path = tmp_path / "a.pth"
    torch.save({"epoch": 3, "state_dict": STATE}, path, _use_new_zipfile_serialization=is_new)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        message = refusal(path)
        # The older format can end within the name of a class, which is then another one.
        assert "or it is truncated" in message or ("it is refused" in message and not is_new), length


def test_safetensors_cut_anywhere_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(STATE, path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert "is not a valid safetensors file" in refusal(path), length
    with pytest.raises(UserError, match="is not a valid safetensors file"):
        read_metadata(path)


@pytest.mark.parametrize(
    "text",
    [
        "weights of a network\n",
        "hello",
        "{'a': 1}",
        "# a comment",
        "<html>404</html>",
        "version https://git-lfs.github.com/spec/v1",
    ],
)
def test_a_text_file_is_refused_as_such(tmp_path, text):
    for suffix, message in ((".pth", "was not written by torch.save"), (".safetensors", "is not a valid safetensors file")):
        path = tmp_path / f"a{suffix}"
        path.write_text(text)
        assert message in refusal(path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({}, "but an empty mapping"),
        ({"epoch": 1, "state_dict": {}}, "but a mapping of 'epoch', 'state_dict' (empty)"),
        ({"a": "weights", "b": "more"}, "but a mapping of 'a', 'b'"),
        ({"state_dict": [torch.ones(1)]}, "but a mapping of 'state_dict'"),
        ({1: torch.ones(1)}, "but a mapping of a key of type int"),
        ({"a": {"b": {"c": {"d": STATE}}}}, "but a mapping of 'a'"),
        ({str(i): None for i in range(9)}, "but a mapping of '0', '1', '2' and 6 more"),
        ({"\x1b[31m" + "a" * 99: "red"}, r"but a mapping of '\x1b[31maaa"),
        (np.ones(3), "but only numbers or settings"),
        ([torch.ones(1)], "but a value of type list"),
        (torch.ones(1), "but a value of type Tensor"),
        (None, "but a value of type NoneType"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_what_it_is(tmp_path, data, what):
    torch.save(data, tmp_path / "a.pth")
    message = refusal(tmp_path / "a.pth")
    assert "a.pth holds no state dict" in message
    assert what in message


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize(("call", "name"), [(os.mkdir, "posix.mkdir"), (open, "io.open")])
def test_code_in_a_file_is_named_and_not_run(tmp_path, call, name, is_new):
    made = tmp_path / "made"
    code = Code(call, str(made), *((511,) if call is os.mkdir else ("w",)))
    torch.save(STATE | {"conv.bias": code}, tmp_path / "a.pth", _use_new_zipfile_serialization=is_new)
    assert refusal(tmp_path / "a.pth").endswith(
        f"holds more than tensors and plain values ({name}); it is refused, since loading it would run code"
    )
    assert not made.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_torch_did_not_write_is_refused_and_not_run(tmp_path, protocol):
    made = tmp_path / "made"
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": Code(os.mkdir, str(made))}, protocol))
    refusal(tmp_path / "a.pth")
    assert not made.exists()


@pytest.mark.parametrize("data", [nn.Linear(2, 3), {"model": nn.Linear(2, 3)}, {"state_dict": STATE, "ema": nn.Linear(2, 3)}])
def test_a_pickled_network_is_refused_even_beside_a_state_dict(tmp_path, data):
    torch.save(data, tmp_path / "a.pth")
    assert refusal(tmp_path / "a.pth").endswith(
        "(torch.nn.modules.linear.Linear); it is refused, since loading it would run code"
    )
