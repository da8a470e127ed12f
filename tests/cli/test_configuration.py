"""What the commands say of configuration that cannot be, and what they print and store of the environment."""

import os

import pytest
import yaml

from gsfnas.api._train import _settings_of
from gsfnas.errors import UserError

SECRET = "a-secret-of-the-machine"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
STUDY = """# @package _global_
# Does it stay what it is?
defaults:
  - /spaces@space: placement
  - /data: folder
  - _self_
data:
  root: ${oc.env:TOKEN}
"""


@pytest.mark.parametrize(("command", "group"), [("study", "studies"), ("space", "spaces")])
def test_a_list_names_files_that_are_none_and_lists_the_rest(gsfnas, tmp_path, command, group):
    (tmp_path / group).mkdir()
    os.mkfifo(tmp_path / group / "pipe.yaml")
    (tmp_path / group / "bomb.yaml").write_text(BOMB)
    (tmp_path / group / "mine.yaml").write_text("# Is it listed?\nname: mine\n")
    (tmp_path / os.fsdecode(f"{group}/odd".encode() + b"\x1b[31m\xe9.yaml")).write_text("# Is it harmless?\n")
    code, out, err = gsfnas(command, "list")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line[:1].strip()}
    assert rows["mine"] == "Is it listed?"
    assert rows["placement"].startswith("Which")
    assert rows["odd\\x1b[31m\\xe9"] == "Is it harmless?"
    assert rows["pipe"].startswith("cannot read")
    assert "\x1b" not in out
    assert "aliases and long interpolations expand to too much" in " ".join(out.split())
    for name in ("pipe", "bomb"):
        code, _, err = gsfnas(command, "show", name)
        assert (code, err.count("\n")) == (2, 1)


def test_show_prints_no_value_of_the_environment_and_can_be_run_again(gsfnas, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", SECRET)
    (tmp_path / "mine.yaml").write_text(STUDY)
    code, out, _ = gsfnas("study", "show", "mine.yaml", "train.init=${oc.env:TOKEN}.pt")
    assert code == 0
    assert SECRET not in out
    assert (yaml.safe_load(out)["data"]["root"], yaml.safe_load(out)["train"]["init"]) == (
        "${oc.env:TOKEN}",
        "${oc.env:TOKEN}.pt",
    )
    (tmp_path / "again.yaml").write_text(out)
    assert gsfnas("study", "show", "again.yaml") == (0, out, "")
    monkeypatch.delenv("TOKEN")
    code, out, err = gsfnas("study", "show", "mine.yaml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "`data.root` asks for the environment variable 'TOKEN', which is not set" in err


def test_the_settings_of_a_run_are_checked_before_they_are_built(tmp_path):
    for text, said in (
        (BOMB, "aliases and long interpolations expand to too much"),
        ("a: 1\na: 2\n", "'a' is there twice"),
        ("- a\n", "must be a mapping"),
    ):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(UserError, match=said):
            _settings_of(tmp_path)


@pytest.mark.slow
def test_a_study_and_a_run_store_no_value_of_the_environment(gsfnas, tmp_path, monkeypatch):
    """Not the study, its report, nor the candidate that is trained again; and the study goes on."""
    monkeypatch.setenv("TOKEN", str(tmp_path / SECRET))
    monkeypatch.setenv("TRIALS", "2")
    small = ["data.train_clips=48", "data.val_clips=48", "data.test_clips=48", "data.resolution=16", "backbone.width=0.25"]
    small += [
        "train.epochs=1",
        "train.warmup_epochs=0",
        "train.warm_start=0",
        "study.replicates=1",
        "workers=1",
        "study.name=small",
    ]
    small += [
        "data.cache=${oc.env:TOKEN}",
        "study.trials=${oc.decode:${oc.env:TRIALS}}",
        "study.seed=${oc.decode:${oc.env:TRIALS}}",
    ]
    assert gsfnas("study", "run", "placement", *small)[0] == 0
    assert gsfnas("study", "run", "placement", *small)[0] == 0
    assert gsfnas("study", "best", "small", "--train", "train.epochs=1", "--train", "data.cache=${oc.env:TOKEN}")[0] == 0
    files = [path for folder in ("runs", "reports") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert any(path.name == "run.yaml" for path in files)
    assert any(path.name == "study.yaml" for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    # Under another value it is another study, although the configuration reads the same.
    monkeypatch.setenv("TRIALS", "3")
    code, _, err = gsfnas("study", "run", "placement", *small)
    assert code == 2
    assert "begun with another configuration (study.proposals" in err
