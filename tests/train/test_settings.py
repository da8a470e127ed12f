import dataclasses
from pathlib import Path

import pytest
import yaml

import gsfnas
from gsfnas.errors import UserError
from gsfnas.train import TrainSettings


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
    ],
)
def test_a_value_out_of_range_is_one_line(values, said):
    with pytest.raises(UserError) as raised:
        TrainSettings(**values)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_recipe_is_every_setting_but_the_device():
    base = TrainSettings()
    assert dataclasses.replace(base, device="cpu").recipe_hash() == base.recipe_hash()
    assert TrainSettings(warmup_epochs=1).recipe_hash() == TrainSettings(warmup_epochs=1.0).recipe_hash()
    changed = {
        "epochs": 99, "batch_size": 7, "lr": 0.3, "momentum": 0.5, "nesterov": False, "weight_decay": 0.1, "warmup_epochs": 0.2,
        "label_smoothing": 0.3, "dropout": 0.7, "clip_gradient": 3.0, "precision": "32-true",
    }  # fmt: skip
    assert changed.keys() == {field.name for field in dataclasses.fields(base)} - {"device"}
    hashes = {dataclasses.replace(base, **{name: value}).recipe_hash() for name, value in changed.items()}
    assert len(hashes | {base.recipe_hash()}) == len(changed) + 1


def test_the_shipped_recipe_is_the_default():
    path = Path(gsfnas.__file__).parent / "config" / "train" / "quick.yaml"
    assert TrainSettings(**yaml.safe_load(path.read_text())) == TrainSettings()
