"""A module of the user's is imported where the user names it, and not where a file alone does."""

import json
import sys

import pytest

SOURCE = """
from pathlib import Path
from torch import nn
from gsfnas.candidate import Insertion
from gsfnas.errors import UserError
from gsfnas.modules import ModuleSpec, check_kind

Path("imported").touch()


class Spec(ModuleSpec):
    name = "{name}:SPEC"
    kinds = frozenset({{"after"}})

    def resolve(self, site, parameters):
        if parameters:
            raise UserError("it has no parameters")
        check_kind(site, self.name, self.kinds)
        return Insertion.of(self.name, {{}})

    def build(self, site, insertion, frames, *, layer=None, inplace=False):
        return nn.Conv2d(site.channels, site.channels, 1, bias=False)


SPEC = Spec()
"""
SPACE = "sites: {{role: conv2, kind: after}}\ninsertions: [{{module: {module}}}]\n"
STUDY = """# @package _global_
# A study in the working directory.
defaults:
  - /spaces@space: placement
  - _self_
space: {{sites: {{role: conv2, kind: after}}, insertions: [{{module: "{module}"}}]}}
study: {{trials: 2, replicates: 1}}
"""
SMALL = ("--resolution", "16", "--frames", "2")


@pytest.fixture
def module(tmp_path, monkeypatch, gsfnas):
    package = "mods_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{package}.py").write_text(SOURCE.format(name=package))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield f"{package}:SPEC"
    sys.modules.pop(package, None)


def candidate(module):
    insertions = {"layer1.0.conv2": {"module": module}}
    return json.dumps({"backbone": {"name": "micro"}, "frames": 2, "resolution": 16, "insertions": insertions})


def files(folder, module):
    """A command line for each kind of file that names a module."""
    (folder / "c.json").write_text(candidate(module))
    (folder / "report").mkdir()
    quoted = candidate(module).replace('"', '""')
    (folder / "report" / "trials.csv").write_text(f'rank,candidate\n1,"{quoted}"\n')
    for name, text in (("spaces", SPACE), ("studies", STUDY)):
        (folder / name).mkdir()
        (folder / name / "mine.yaml").write_text(text.format(module=module))
    return {
        "candidate": ["cost", "c.json"],
        "report": ["cost", "report:1"],
        "space": ["space", "size", "mine", *SMALL],
        "samples": ["space", "sample", "mine", *SMALL],
        "study": ["study", "run", "mine", "--dry-run"],
        "space of a study": ["study", "run", "placement", "space=mine", "--dry-run"],
    }


@pytest.mark.parametrize("kind", ["candidate", "report", "space", "samples", "study", "space of a study"])
def test_a_file_alone_imports_nothing(gsfnas, tmp_path, module, kind):
    command = files(tmp_path, module)[kind]
    code, out, err = gsfnas(*command)
    package = module.partition(":")[0]
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"module '{module}' is code of the package '{package}', which a file names and you did not" in err
    assert not (tmp_path / "imported").exists()
    assert gsfnas(*command, "--trust", package)[0] == 0
    assert (tmp_path / "imported").exists()


def test_a_candidate_on_the_command_line_is_the_users(gsfnas, tmp_path, module):
    assert gsfnas("cost", candidate(module))[0] == 0
    assert (tmp_path / "imported").exists()


def test_a_setting_on_the_command_line_is_the_users(gsfnas, tmp_path, module):
    insertions = f'space.insertions=[{{module: "{module}"}}]'
    assert (
        gsfnas("study", "run", "placement", "space.sites.role=conv2", "space.sites.kind=after", insertions, "--dry-run")[0] == 0
    )
    assert (tmp_path / "imported").exists()


def test_one_module_on_the_command_line_is_trust_in_no_other(gsfnas, tmp_path, module):
    """Nor in one that a file names beside it, whose name begins alike."""
    other = f"{module.partition(':')[0]}_too:SPEC"
    space = f"sites: {{role: conv2, kind: after}}\ninsertions: [{{module: {other}}}]\n"
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine.yaml").write_text(space)
    # What an earlier command of this process named is forgotten.
    assert gsfnas("cost", candidate(module))[0] == 0
    command = ["study", "run", "placement", "space=mine", "--dry-run"]
    code, out, err = gsfnas(*command, "--trust", module.partition(":")[0])
    assert (code, out) == (2, "")
    assert f"module '{other}' is code of the package '{other.partition(':')[0]}', which a file names and you did not" in err


def test_a_config_root_that_is_given_is_the_users(gsfnas, tmp_path, module):
    (tmp_path / "mine" / "spaces").mkdir(parents=True)
    text = SPACE.format(module=module)
    (tmp_path / "mine" / "spaces" / "own.yaml").write_text(text)
    assert gsfnas("space", "size", "own", "--config-root", "mine", *SMALL)[0] == 0
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [touch called]", "!!python/name:os.system"])
def test_yaml_that_calls_is_refused(gsfnas, tmp_path, text):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "bad.yaml").write_text(f"sites: {{role: conv2, kind: after}}\ninsertions: {text}\n")
    code, out, err = gsfnas("space", "size", "bad")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "!!python" in err or "python/" in err
    assert not (tmp_path / "called").exists()


def test_a_module_that_fails_leaves_no_study(gsfnas, tmp_path, module):
    path = tmp_path / f"{module.partition(':')[0]}.py"
    source = path.read_text()
    path.write_text(source.replace("nn.Conv2d(site.channels,", "nn.Conv2d(site.chanels,"))
    small = (
        "data.train_clips=48",
        "data.val_clips=24",
        "data.test_clips=24",
        "data.resolution=16",
        "data.frames=2",
        "data.far=0",
        "train.warm_start=0",
    )
    quick = (*small, "train.epochs=1", "train.warmup_epochs=0", "study.trials=2", "study.replicates=1", "workers=1")
    insertions = f'space.insertions=[{{module: "{module}"}}]'
    command = ["study", "run", "placement", "space.sites.role=conv2", "space.sites.kind=after", insertions, *quick]
    code, out, err = gsfnas(*command, "study.name=own")
    assert (code, out) == (2, "")
    assert "module 'Spec' failed (AttributeError: 'Site' object has no attribute 'chanels'" in err
    assert not (tmp_path / "runs" / "own").exists()
