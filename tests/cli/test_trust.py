"""Files may mention code; nothing of it is imported or called until the user has named it on the command line."""

import io
import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

SOURCE = """
from pathlib import Path
from torch import nn

Path("imported").touch()


class Net(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.num_features = channels
        self.mix = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, x):
        return self.mix(x).mean((2, 3))
"""
SHELL = {"name": "subprocess:call", "args": "touch called", "shell": 1}
CLIPS = ("data.train_clips=48", "data.val_clips=48", "data.test_clips=48", "data.resolution=16", "data.frames=2")
QUICK = (*CLIPS, "data.far=0", "train.epochs=1", "train.warm_start=0", "train.warmup_epochs=0")
STUDY = (*QUICK, "study.trials=2", "study.replicates=1", "workers=2")
YAML = """# @package _global_
# What lies in the working directory?
defaults:
  - /spaces@space: placement
  - _self_
space: {sites: {role: mix}, insertions: [{module: gsf, ratio: 1.0}]}
backbone: %s
study: {trials: 2, replicates: 1}
"""


@pytest.fixture
def nets(tmp_path, monkeypatch, gsfnas):
    """A module of the user's in the working directory; whether it was imported, a file there tells."""
    name = "nets_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def candidate(backbone):
    return json.dumps({"backbone": backbone, "frames": 2, "resolution": 16, "insertions": {}})


def data_that_name(backbone, folder, name):
    """A command line for each kind of file that mentions a backbone."""
    (folder / "c.json").write_text(candidate(backbone))
    report = folder / "report"
    report.mkdir()
    quoted = candidate(backbone).replace('"', '""')
    (report / "trials.csv").write_text(f'rank,candidate\n1,"{quoted}"\n')
    weights = {"candidate": candidate(backbone), "heads": '{"class": 24}'}
    safetensors.torch.save_file({"mix.weight": torch.zeros(4, 3, 3, 3)}, folder / "plain.safetensors")
    safetensors.torch.save_file({"backbone.mix.weight": torch.zeros(4, 3, 3, 3)}, folder / "w.safetensors", weights)
    (folder / "studies").mkdir()
    for path in ("studies/mine.yaml", "given.yaml"):
        (folder / path).write_text(YAML % json.dumps(backbone))
    return {
        "candidate": ["cost", "c.json"],
        "candidate to train": ["train", "c.json", *QUICK],
        "candidate of weights": ["weights", "import", "plain.safetensors", "--candidate", "c.json", "--out", "o.safetensors"],
        "standard input": ["cost", "-"],
        "report": ["cost", "report:1"],
        "report to train": ["train", "report:1", *QUICK],
        "weights": ["test", "w.safetensors", "data=twins", *CLIPS],
        "study": ["study", "run", "mine", *STUDY],
        "study, what it costs": ["cost", "--study", "mine"],
        "study by its path": ["study", "run", "given.yaml", *STUDY],
    }[name]


KINDS = [
    "candidate",
    "candidate to train",
    "candidate of weights",
    "standard input",
    "report",
    "report to train",
    "weights",
    "study",
    "study, what it costs",
    "study by its path",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_names_is_not_imported(gsfnas, tmp_path, monkeypatch, nets, kind):
    command = data_that_name({"name": f"{nets}:Net"}, tmp_path, kind)
    monkeypatch.setattr(sys, "stdin", io.StringIO((tmp_path / "c.json").read_text()))
    code, out, err = gsfnas(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"backbone '{nets}:Net' is code of the package '{nets}', which a file names and you did not" in err
    assert f"--trust {nets} " in err
    assert not (tmp_path / "imported").exists()
    assert not list(tmp_path.glob("runs/mine*"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trust", [[], ["--trust", "nets"]])
def test_the_standard_library_is_never_called(gsfnas, tmp_path, monkeypatch, kind, trust):
    command = data_that_name(SHELL, tmp_path, kind)
    monkeypatch.setattr(sys, "stdin", io.StringIO((tmp_path / "c.json").read_text()))
    code, out, err = gsfnas(*command, *trust)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is of Python's standard library" in err
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("place", ["before", "after", "with ="])
def test_the_user_may_trust_a_package(gsfnas, tmp_path, nets, place):
    command = data_that_name({"name": f"{nets}:Net"}, tmp_path, "candidate")
    given = {
        "before": ["--trust", nets, *command],
        "after": [*command, "--trust", nets],
        "with =": [*command, f"--trust={nets}", "--trust", "other"],
    }[place]
    code, _, err = gsfnas(*given)
    unused = "--trust other was not needed: nothing that was read names code of it\n" if place == "with =" else ""
    assert (code, err) == (0, unused)
    assert (tmp_path / "imported").exists()


def test_trust_that_workers_use_is_needed(gsfnas, tmp_path, nets):
    command = data_that_name({"name": f"{nets}:Net"}, tmp_path, "study")
    for _ in range(2):
        code, _, err = gsfnas(*command, "space.sites.role=mix", "--trust", nets)
        assert code == 0
        assert "was not needed" not in err


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        (["--trust"], "--trust takes the name of a package, but got nothing"),
        (["--trust", "--debug2"], "--trust takes the name of a package, but got --debug2"),
        (["--trust", "a/b"], "code is named package or package.module:object, as in my_module:Class, but got 'a/b'"),
        (["--trust", "subprocess"], "subprocess is of Python's standard library"),
    ],
)
def test_trust_that_is_none(gsfnas, trust, said):
    code, out, err = gsfnas("cost", "--space", "placement", *trust)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_code_in_an_argument_is_the_users(gsfnas, tmp_path, nets):
    assert gsfnas("cost", candidate({"name": f"{nets}:Net"}))[0] == 0
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mix.yaml").write_text("sites: {role: mix}\ninsertions: [{module: gsf, ratio: 1.0}]\n")
    assert gsfnas("space", "size", "mix", "--backbone", f"{nets}:Net", "--resolution", "16")[0] == 0
    assert gsfnas("cost", candidate(SHELL))[0] == 2


def test_a_config_root_that_is_given_is_the_users_and_the_working_directory_is_not(gsfnas, tmp_path, nets):
    (tmp_path / "mine" / "studies").mkdir(parents=True)
    (tmp_path / "mine" / "studies" / "own.yaml").write_text(YAML % json.dumps({"name": f"{nets}:Net"}))
    assert gsfnas("cost", "--study", "own", "--config-root", "mine")[0] == 0


def test_a_journal_names_no_code_and_workers_trust_what_the_command_trusts(gsfnas, tmp_path, nets):
    command = ["study", "run", "placement", f"backbone={nets}:Net", "space.sites.role=mix", "study.name=own", *STUDY]
    assert gsfnas(*command)[0] == 0
    again = ["study", "best", "own", "--train", "train.epochs=1"]
    (tmp_path / "imported").unlink()
    code, out, err = gsfnas(*again)
    assert (code, out) == (2, "")
    assert "which a file names and you did not" in err
    assert not list(tmp_path.glob("runs/trained/*"))
    # What needs no network is shown.
    for shown in (["study", "list"], ["study", "best", "own"], ["report", "build", "own"]):
        assert gsfnas(*shown)[0] == 0
    assert not (tmp_path / "imported").exists()
    assert gsfnas(*again, "--trust", nets)[0] == 0
    # The same command, which names the code, goes on.
    assert gsfnas(*command[:-2], "study.trials=2", "workers=1")[0] == 0


def test_plugins_in_the_working_directory_are_not_hydras(tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "own.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    command = [sys.executable, "-m", "gsfnas", "study", "show", "placement"]
    done = subprocess.run(command, check=False, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "imported").exists()
