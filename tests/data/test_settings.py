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
        ({"root": "videos"}, "belongs to data=folder"),
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
        ({"seed": -1}, "`data.seed`"),
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
    assert yaml.safe_load((GROUP / "twins.yaml").read_text()) == defaults
    assert yaml.safe_load((GROUP / "folder.yaml").read_text()) == {**defaults, "name": "folder"}
    assert all(path.read_text().startswith("# ") for path in GROUP.glob("*.yaml"))


def test_settings_and_opening_need_no_torch() -> None:
    code = "import sys, gsfnas.data; print({'torch', 'av', 'sklearn', 'torchvision', 'PIL'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
