"""Code comes in through one gate, and only where the user has named it."""

import sys
from pathlib import Path

import pytest

import gsfnas
from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.component import load, trust, trusted, trusting
from gsfnas.errors import UserError
from gsfnas.model import build_model

SOURCE = """
import functools
import os
from pathlib import Path
from subprocess import call
from torch import nn

Path("imported").touch()


class Net(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.num_features = channels
        self.mix = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, x):
        return self.mix(x).mean((2, 3))


class Thing:
    def __init__(self):
        Path("made").touch()


wide = functools.partial(Net, channels=8)
shell = functools.partial(os.system, "touch made")
number = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package in the working directory; importing it leaves a file there."""
    name = "gate_" + tmp_path.name.replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "nets.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return name


def test_data_imports_nothing(package: str) -> None:
    ref = BackboneRef.of(f"{package}.nets:Net")
    for use in (
        lambda: build_backbone(ref),
        lambda: backbone_sites(ref, 16),
        lambda: backbone_ref(ref.name, is_from_data=True),
        lambda: build_model(Candidate(ref, 2, 16)),
        lambda: gsfnas.price(Candidate.from_json(Candidate(ref, 2, 16).to_json())),
    ):
        with pytest.raises(UserError, match=f"code of the package '{package}'.*--trust {package} .in Python: gsfnas.trust"):
            use()
    assert not Path("imported").exists()
    assert package not in sys.modules


@pytest.mark.parametrize("given", ["", ".nets", ".nets:Net"])
def test_a_package_a_module_or_a_part_is_trusted_within_a_block(package: str, given: str) -> None:
    ref = BackboneRef.of(f"{package}.nets:Net")
    before = trusted()
    with trusting([package + given]):
        assert package + given in trusted()
        assert build_backbone(ref).num_features == 4
    assert trusted() == before
    with pytest.raises(UserError, match="which a file names and you did not"):
        build_backbone(ref)


@pytest.mark.parametrize("given", ["other", ".nets2", ".nets:Thing", ".net"])
def test_a_neighbour_is_not_trusted(package: str, given: str) -> None:
    with trusting([package + given]), pytest.raises(UserError, match="which a file names and you did not"):
        build_backbone(BackboneRef.of(f"{package}.nets:Net"))


def test_the_user_names_it_in_python(package: str) -> None:
    with trusting([]):
        assert build_backbone(backbone_ref(f"{package}.nets:wide")).num_features == 8
        assert f"{package}.nets:wide" in trusted()


@pytest.mark.parametrize("name", ["subprocess:call", "os:system", "builtins:eval", "os.path:join", "importlib:import_module"])
def test_the_standard_library_holds_no_part(name: str) -> None:
    package = name.partition(":")[0]
    for use in (lambda: backbone_ref(name), lambda: trust(name), lambda: trust(package), lambda: load(name, "part")):
        with pytest.raises(UserError, match="is of Python's standard library"):
            use()
    assert not {name, package} & set(trusted())


def test_what_a_module_imports_or_wraps_is_still_of_the_standard_library(package: str) -> None:
    with trusting([package]):
        for name in ("call", "shell", "Path"):
            with pytest.raises(UserError, match="is of Python's standard library"):
                load(f"{package}.nets:{name}", "backbone")
        with pytest.raises(UserError, match=r"must be a torch\.nn\.Module, but Thing is none"):
            build_backbone(BackboneRef.of(f"{package}.nets:Thing"))
        with pytest.raises(UserError, match="cannot call 'number'"):
            load(f"{package}.nets:number", "backbone")
    assert not Path("made").exists()


@pytest.mark.parametrize("name", ["a b", "../x", "x:", ":y", "x:y.z", "x:y:z", "", ".x", "x.", "1x", "x;y", "x\ny"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        trust(name)
    if ":" in name:
        with pytest.raises(UserError):
            backbone_ref(name)
    assert name not in trusted()
