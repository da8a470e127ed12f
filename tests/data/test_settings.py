"""What data settings refuse, that the YAML groups say what the dataclass says, and that none of it needs torch."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import gsfnas
from gsfnas.data import DataSettings
from gsfnas.errors import UserError

GROUP = Path(gsfnas.__file__).parent / "config" / "data"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "twin"}, "unknown data set 'twin'; did you mean 'twins'"),
        ({"name": "folder"}, "needs `data.root`"),
        ({"root": "videos"}, "belongs to a data set on disk, but this one is 'twins' (got 'videos')"),
        ({"name": "something_v2"}, "data set 'something_v2' needs `data.root`"),
        ({"csv": "clips.csv"}, "`data.csv` belongs to data=folder, but the data set is 'twins'"),
        ({"augment": "papper"}, "unknown `data.augment` 'papper'; did you mean 'paper'"),
        ({"flip": "leftright"}, "did you mean 'left_right'"),
        ({"flip": "plain"}, "`data.flip` of twins is auto, none or twins, but got 'plain'"),
        ({"policy": "autoagument"}, "did you mean 'autoaugment'"),
        ({"short_side": 16}, "`data.short_side` must be from the resolution (32) to 4096, but got 16"),
        ({"workers": -1}, "`data.workers` must be an integer from 0 to 256, but got -1"),
        ({"frames": 0}, "`data.frames` must be an integer from 1 to 1024, but got 0"),
        ({"frames": 2.5}, "`data.frames` must be an integer"),
        ({"resolution": 4}, "`data.resolution` must be an integer from 8"),
        ({"train_clips": 0}, "`data.train_clips` must be an integer of at least 2, but got 0"),
        ({"val_clips": 11}, "`data.val_clips` must be even"),
        ({"test_clips": -2}, "`data.test_clips`"),
        ({"difficulty": 1.5}, "`data.difficulty` must be a number from 0 to 1, but got 1.5"),
        ({"difficulty": float("nan")}, "`data.difficulty`"),
        ({"val_share": 0.0}, "`data.val_share` must be between 0 and 1"),
        ({"val_share": 0.5, "test_share": 0.6}, "add up to 1.1"),
        ({"seed": -1}, "`data.seed` must be an integer from 0 to 9223372036854775807, but got -1"),
        ({"seed": 10**20}, "`data.seed` must be an integer from 0 to"),
        (
            {"train_clips": 10**20 - 1},
            "`data.train_clips` must be an integer of at most 10000000, but got 99999999999999999999",
        ),
        ({"val_clips": 10**20}, "`data.val_clips` must be an integer of at most"),
        ({"test_clips": 10**20}, "`data.test_clips` must be an integer of at most"),
        ({"test_clips": "9"}, "`data.test_clips` must be an integer from 2 to 10000000, but got '9'"),
        ({"frames": 10**20}, "`data.frames` must be an integer from 1 to 1024, but got 100000000000000000000"),
        (
            {"frames": 10**5000},
            "`data.frames` must be an integer from 1 to 1024, but got a value of type int that is too large to be shown",
        ),
        ({"resolution": 10**20}, "`data.resolution` must be an integer from 8 to 1024"),
        ({"workers": 10**20}, "`data.workers` must be an integer from 0 to 256"),
        ({"short_side": 10**20}, "`data.short_side` must be from the resolution (32) to 4096, but got 1000000"),
        ({"short_side": 40.5}, "`data.short_side` must be an integer from the resolution (32) to 4096, but got 40.5"),
        ({"frames": 1024, "resolution": 1024}, "`data.train_clips` must be up to 341 at 1024 frames of 1024 px, which take a"),
        ({"train_clips": 10**7, "frames": 64}, "`data.train_clips` must be up to 5592405 at 64 frames of 32 px"),
        ({"frame_names": "img_*.jpg"}, "`data.frame_names` belongs to a data set on disk, but this one is 'twins' (got"),
        ({"name": "folder", "root": "x", "frame_names": "img_.jpg"}, "must be the name of an image with * for its number"),
        ({"name": "folder", "root": "x", "frame_names": "rgb/*.jpg"}, "must be the name of an image with * for its number"),
        ({"cache_gb": -1.0}, "`data.cache_gb`"),
    ],
)
def test_refusals_are_one_line_with_the_value(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        DataSettings(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_yaml_groups_have_exactly_the_fields_and_the_defaults() -> None:
    defaults = dataclasses.asdict(DataSettings())
    # These belong to data sets from outside.
    assert defaults.pop("options") == {}
    assert yaml.safe_load((GROUP / "twins.yaml").read_text()) == defaults
    assert yaml.safe_load((GROUP / "folder.yaml").read_text()) == {**defaults, "name": "folder"}
    assert all(path.read_text().startswith("# ") for path in GROUP.glob("*.yaml"))


def test_settings_need_neither_numpy_nor_anything_else_that_is_heavy() -> None:
    code = (
        "import sys; from gsfnas.data import DataSettings; DataSettings(); print({'torch', 'av', 'numpy'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_settings_and_opening_need_no_torch() -> None:
    code = "import sys; from gsfnas.data import *; print({'torch', 'av', 'sklearn', 'torchvision', 'PIL'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ({}, 32),
        ({"augment": "paper", "resolution": 224}, 256),
        ({"augment": "paper", "resolution": 229, "short_side": 256}, 256),
    ],
)
def test_the_short_side_is_the_resolution_and_for_the_paper_a_seventh_more(values: dict[str, object], side: int) -> None:
    assert DataSettings(**values).side == side  # type: ignore[arg-type]
