import dataclasses
from pathlib import Path

import pytest
import yaml

import gsfnas
from gsfnas.errors import UserError
from gsfnas.train import ProtocolSettings, TrainSettings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "`epochs` must be an integer of at least 1, but got 0"),
        ({"batch_size": 2.5}, "`batch_size` must be an integer of at least 1, but got 2.5"),
        ({"lr": 0}, "`lr` must be above 0, but got 0"),
        ({"lr": float("nan")}, "`lr` must be a number, but got nan"),
        ({"lr": "fast"}, "`lr` must be a number, but got 'fast'"),
        ({"momentum": 1.0}, "`momentum` must be in [0, 1), but got 1.0"),
        ({"dropout": -0.1}, "`dropout` must be in [0, 1), but got -0.1"),
        ({"weight_decay": -1}, "`weight_decay` must be at least 0, but got -1"),
        ({"epochs": 5, "warmup_epochs": 5}, "`warmup_epochs` must be at least 0 and below `epochs` (5), but got 5"),
        ({"momentum": 0}, "`nesterov` needs a `momentum` above 0"),
        ({"precision": "bf16"}, "unknown precision 'bf16'"),
        ({"device": "gpu"}, "`device` must be auto, cpu, mps, cuda or cuda:N, but got 'gpu'"),
        ({"accumulate": 0}, "`accumulate` must be an integer of at least 1, but got 0"),
        (
            {"batch_size": 8, "accumulate": 4, "devices": 4},
            "`batch_size` must be at least `accumulate` x `devices` (16), but got 8",
        ),
        ({"devices": 2, "device": "cuda:1"}, "`devices` above 1 needs `device` auto, cpu or cuda, but got 'cuda:1'"),
        ({"groups": "publised"}, "unknown `train.groups` 'publised'; did you mean 'published'"),
        ({"init": ""}, "`init` must be scratch, imagenet or a weights file, but got ''"),
        ({"lr_batch": 0}, "`lr_batch` must be an integer of at least 1, but got 0"),
        ({"epochs": 10**20}, "`epochs` must be an integer of at most 100,000, but got 100000000000000000000"),
        ({"epochs": 10**5000}, "`epochs` must be an integer of at most 100,000, but got a value of type int"),
        ({"epochs": True}, "`epochs` must be an integer of at"),
        ({"epochs": None}, "`epochs` must be an integer of at least 1, but got None"),
        ({"batch_size": 10**9}, "`batch_size` must be an integer of at most 1,000,000, but got 1000000000"),
        ({"devices": 5000}, "`devices` must be an integer of at most 1,024, but got 5000"),
        ({"lr": 10**400}, "`lr` must be a number, but got 1000"),
        ({"lr": float("inf")}, "`lr` must be a number, but got inf"),
        ({"weight_decay": 1e300}, "`weight_decay` must be a number, but got 1e+300"),
        ({"nesterov": 1}, "`nesterov` must be true or false, but got 1"),
        ({"compile": None}, "`compile` must be true or false, but got None"),
        ({"precision": ["a"]}, "`precision` must be a string, but got ['a']"),
        ({"device": 3}, "`device` must be a string, but got 3"),
        ({"device": "cuda:99999999999999999999"}, "`device` must be auto, cpu, mps, cuda or cuda:N, but got 'cuda:999"),
        ({"device": "cuda:\u0663"}, "`device` must be auto, cpu, mps, cuda or cuda:N"),
        ({"groups": {}}, "`groups` must be a string, but got {}"),
        ({"warm_start": -1}, "`warm_start` must be an integer of at least 0, but got -1"),
        ({"warm_start": True}, "`warm_start` must be an integer of at least 0, but got True"),
        ({"warm_start": 10**9}, "`warm_start` must be an integer of at most 100,000, but got 1000000000"),
        ({"init": 3}, "`init` must be a string, but got 3"),
        ({"init": "a\0b"}, "`init` must be scratch, imagenet or a weights file, but got 'a\\x00b'"),
    ],
)
def test_a_value_out_of_range_is_one_line(values, said):
    with pytest.raises(UserError) as raised:
        TrainSettings(**values)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 300
    assert "\n" not in str(raised.value)


def test_the_recipe_is_every_setting_but_the_device():
    base = TrainSettings()
    assert dataclasses.replace(base, device="cpu").recipe_hash() == base.recipe_hash()
    assert TrainSettings(warmup_epochs=1).recipe_hash() == TrainSettings(warmup_epochs=1.0).recipe_hash()
    changed = {
        "epochs": 99, "batch_size": 7, "lr": 0.3, "momentum": 0.5, "nesterov": False, "weight_decay": 0.1, "warmup_epochs": 0.2,
        "label_smoothing": 0.3, "dropout": 0.7, "clip_gradient": 3.0, "precision": "32-true", "lr_batch": 12,
        "groups": "published", "init": "imagenet", "accumulate": 2, "devices": 2, "compile": True, "channels_last": False,
        "cuda_graphs": False, "warm_start": 5,
    }  # fmt: skip
    assert changed.keys() == {field.name for field in dataclasses.fields(base)} - {"device"}
    hashes = {dataclasses.replace(base, **{name: value}).recipe_hash() for name, value in changed.items()}
    assert len(hashes | {base.recipe_hash()}) == len(changed) + 1


def test_the_default_recipe_keeps_the_name_that_it_had_before_it_had_more_settings():
    assert TrainSettings().recipe_hash() == "r1-de3b2c2a501a"


def test_of_a_file_of_weights_the_contents_count(tmp_path):
    first, second, other = (tmp_path / name for name in ("a", "b", "c"))
    first.write_bytes(b"1")
    second.write_bytes(b"1")
    other.write_bytes(b"2")
    hashes = [TrainSettings(init=str(path)).recipe_hash() for path in (first, second, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_name_of_weights_that_is_too_long_is_that_of_no_file():
    assert TrainSettings(init="x" * 10**5).recipe_hash() != TrainSettings().recipe_hash()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": 3}, "`protocol.name` must be letters, digits, '.', '_' and '-', but got 3"),
        ({"name": "a/b"}, "`protocol.name` must be letters"),
        ({"clips": 10**5000}, "`protocol.clips` must be an integer from 1 to 100, but got a value of type int"),
        ({"clips": True}, "`protocol.clips` must be an integer from 1 to 100, but got True"),
        ({"crops": 1.0}, "`protocol.crops` must be 1 or 3, but got 1.0"),
        ({"crops": True}, "`protocol.crops` must be 1 or 3, but got True"),
        ({"crops": [1]}, "`protocol.crops` must be 1 or 3, but got [1]"),
    ],
)
def test_a_protocol_that_cannot_be_is_one_line(values, said):
    with pytest.raises(UserError) as raised:
        ProtocolSettings(**values)
    assert said in str(raised.value)


def test_the_rate_goes_with_the_batch():
    assert TrainSettings(lr=0.01, lr_batch=32, batch_size=32).peak_lr == 0.01
    assert TrainSettings(lr=0.01, lr_batch=32, batch_size=128).peak_lr == pytest.approx(0.04)
    assert TrainSettings(lr=0.01, batch_size=128).peak_lr == 0.01


def test_the_shipped_recipe_is_the_default():
    path = Path(gsfnas.__file__).parent / "config" / "train" / "quick.yaml"
    assert TrainSettings(**yaml.safe_load(path.read_text())) == TrainSettings()
