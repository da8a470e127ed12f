"""Files that were damaged, or made to harm: each is refused in one line, at once, and nothing of it is run or imported."""

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict

import pytest
import safetensors.torch
import torch
from torch import nn

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, initialise, read_metadata, read_state

STATE = {"conv.weight": torch.arange(600.0), "conv.bias": torch.ones(7)}


def refusal(path, read=read_state):
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 400
    return message


def zipped(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {part.filename: archive.read(part) for part in archive.infolist()}


def with_header(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("read", [read_state, read_metadata])
def test_pipes_and_devices_are_refused_at_once(tmp_path, suffix, read):
    pipe, device = tmp_path / f"pipe{suffix}", tmp_path / f"device{suffix}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        assert refusal(path, read).endswith("it is a pipe or a device, not a regular file")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_changed_number_is_found_by_the_checksums(tmp_path, place):
    path = tmp_path / "a.pth"
    torch.save(STATE, path)
    data = bytearray(path.read_bytes())
    begin = data.find(STATE["conv.weight"].numpy().tobytes())
    data[begin + int(place * 2400)] ^= 0x40
    path.write_bytes(data)
    assert "is damaged: its numbers do not match its own checksums" in refusal(path)


def test_a_changed_name_is_found_by_the_checksums(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes().replace(b"conv.bias", b"conv.bigs"))
    assert "was not written by torch.save, or it is truncated (BadZipFile: Bad CRC-32 for file" in refusal(path)


def test_tensors_that_share_numbers_or_have_none_pass_the_checksums(tmp_path):
    state = {"a.weight": STATE["conv.weight"], "b.weight": STATE["conv.weight"][3:9].view(2, 3), "c.weight": torch.ones(0, 3)}
    torch.save(state, tmp_path / "a.pth")
    read = read_state(tmp_path / "a.pth")
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_an_archive_that_unpacks_to_many_times_its_size_is_refused(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    parts = parts_of(tmp_path / "a.pth")
    zipped(tmp_path / "packed.pth", parts, zipfile.ZIP_DEFLATED)
    assert read_state(tmp_path / "packed.pth").keys() == STATE.keys()
    zipped(tmp_path / "bomb.pth", parts | {"a/data/9": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    assert "claims to hold many times its own size" in refusal(tmp_path / "bomb.pth")


def test_other_archives_are_named_for_what_they_are(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    with tarfile.open(tmp_path / "a.pth.tar", "w") as archive:
        archive.add(tmp_path / "a.pth", "a.pth")
    assert refusal(tmp_path / "a.pth.tar").endswith("is a tar archive; unpack it, and import the weights file in it")
    zipped(tmp_path / "b.pth", {"a.pth": (tmp_path / "a.pth").read_bytes()})
    assert "was not written by torch.save" in refusal(tmp_path / "b.pth")
    index = {"metadata": {"total_size": 9}, "weight_map": {"conv.weight": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "is an index of weights that are split over several files" in refusal(tmp_path / "model.safetensors.index.json")


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused_since_it_is_code(tmp_path):
    torch.jit.script(nn.Linear(2, 3)).save(str(tmp_path / "a.pt"))
    assert "is a TorchScript archive, which holds code" in refusal(tmp_path / "a.pt")


class Calls:
    """Pickled, it is a call of one of the functions that torch itself lets a file call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("size", [10**15, 10**20, -1])
def test_tensors_that_claim_more_than_there_is_are_refused(tmp_path, size):
    storage = torch.storage.TypedStorage(wrap_storage=torch.ones(2).untyped_storage(), dtype=torch.float32)
    rebuilt = Calls(torch._utils._rebuild_tensor_v2, storage, 0, (size,), (1,), False, OrderedDict())
    for name, call in (("a", rebuilt), ("b", Calls(bytearray, 1000 * size)), ("c", Calls(torch.Tensor, 1000 * size))):
        torch.save({"a.b": call}, tmp_path / f"{name}.pth")
        refusal(tmp_path / f"{name}.pth")


def test_a_tensor_that_repeats_one_number_without_end_is_left_over_without_being_made(tmp_path):
    model = build_model(Candidate(BackboneRef.of("resnet18"), 2, 64))
    state = {f"net.{name.removeprefix('backbone.')}": value for name, value in model.state_dict().items() if "backbone" in name}
    torch.save(state | {"criterion.weight": torch.ones(1).expand(10**13)}, tmp_path / "a.pth")
    imported = import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", resolution=64)
    assert imported.found.left_over == ("criterion.weight",)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [10**18], "data_offsets": [0, 4 * 10**18]}},
        {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"candidate": {"a": 1}}},
        {"a": {"dtype": "F32", "shape": [2]}},
        [1],
        b"[" * 10**6,
        b'{"a":' * 10**6,
        b"{" + b" " * 10**6,
        b"\xff" * 100,
        b"NaN",
    ],
    ids=range(15),
)
def test_headers_of_safetensors_that_lie_are_refused(tmp_path, header):
    path = tmp_path / "a.safetensors"
    with_header(path, header, bytes(8))
    for read in (read_state, read_metadata):
        assert "is not a valid safetensors file" in refusal(path, read)


@pytest.mark.parametrize("length", [0, 2**20, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_safetensors_that_is_not_there_is_refused(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    assert "is not a valid safetensors file" in refusal(path)


def test_files_of_nothing_but_size_are_refused(tmp_path):
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"a{suffix}"
        with path.open("wb") as file:
            file.truncate(2**42)
        refusal(path)


def test_reading_a_file_that_names_code_imports_nothing(tmp_path):
    """Neither for its candidate nor for its pixels; the package is of this test, and would leave a mark."""
    (tmp_path / "evil_part.py").write_text("import pathlib\npathlib.Path('imported').touch()\ndef make(**options): ...\n")
    candidate = {"backbone": {"name": "evil_part:make"}, "frames": 2, "resolution": 32, "insertions": {}}
    state = build_model(Candidate(backbone_ref("micro", {"width": 0.25}), 2, 32)).state_dict()
    metadata = {"candidate": json.dumps(candidate), "heads": '{"class": 1000}', "pixels": "evil_part:make"}
    safetensors.torch.save_file(state, tmp_path / "a.safetensors", metadata)
    code = """
from pathlib import Path
from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.weights import import_weights, initialise, read_metadata, read_state
path = Path("a.safetensors")
candidate = Candidate(backbone_ref("micro", {"width": 0.25}), 2, 32)
for call in (
    lambda: read_state(path), lambda: read_metadata(path), lambda: import_weights(path, Path("b.safetensors")),
    lambda: initialise(build_model(candidate), candidate, "a.safetensors"),
):
    try:
        call()
    except UserError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "already names its candidate" in done.stdout
    assert "`pixels` must be JSON with mean, std and order" in done.stdout
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[" * 10**5,
        "3",
        '{"mean": [1, 2, 3], "std": [1, 1, 1]}',
        '{"mean": "123", "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": [1, 2, %s], "std": [1, 1, 1], "order": "rgb"}' % ("9" * 400),
        '{"mean": [1, 2, %s], "std": [1, 1, 1], "order": "rgb"}' % ("9" * 5000),
        '{"mean": [1, 2, NaN], "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 1e999], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 0], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 1], "order": ["rgb"]}',
        '{"mean": [[1], 2, 3], "std": [1, 1, 1], "order": "rgb"}',
    ],
)
def test_pixels_that_cannot_be_are_one_line(tmp_path, text):
    candidate = Candidate(backbone_ref("micro", {"width": 0.25}), 2, 32)
    model = build_model(candidate)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "a.safetensors", {"pixels": text})
    with pytest.raises(UserError, match=r"^`pixels` ") as caught:
        initialise(model, candidate, str(tmp_path / "a.safetensors"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_any_byte_of_a_pickle_may_be_another(tmp_path):
    """Whatever it then says, the answer is a state dict or one line."""
    buffer = io.BytesIO()
    torch.save({"epoch": 3, "state_dict": {"a.b": torch.ones(2)}}, buffer, _use_new_zipfile_serialization=False)
    data, path = buffer.getvalue(), tmp_path / "a.pth"
    generator = torch.Generator().manual_seed(0)
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] = int(torch.randint(256, (), generator=generator))
        path.write_bytes(changed)
        with contextlib.suppress(UserError):
            read_state(path)


def test_a_pickle_alone_is_no_file_of_weights(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a.weight": [1.0, 2.0]}))
    refusal(tmp_path / "a.pkl")
