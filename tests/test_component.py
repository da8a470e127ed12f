"""Code comes in through one gate, and only where the user has named it."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import gsfnas
from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.component import find, load, loaded, make, trust, trusted, trusting
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.samplers import Sampler

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
        with pytest.raises(UserError, match=r"^backbone '.*\.nets:number' is an int, not a class or function$"):
            load(f"{package}.nets:number", "backbone")
        with pytest.raises(UserError, match=r"^backbone '.*:Nets': '.*\.nets' has no 'Nets'; did you mean 'Net'\?$"):
            load(f"{package}.nets:Nets", "backbone")
        with pytest.raises(UserError, match=r"has no 'numbers'; did you mean 'number'\?$"):
            load(f"{package}.nets:numbers", "module", is_value=True)
        with pytest.raises(UserError, match=r"has no 'numbers'$"):
            load(f"{package}.nets:numbers", "backbone")
    assert not Path("made").exists()


@pytest.mark.parametrize("name", ["a b", "../x", "x:", ":y", "x:y.z", "x:y:z", "", ".x", "x.", "1x", "x;y", "x\ny"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        trust(name)
    if ":" in name:
        with pytest.raises(UserError):
            backbone_ref(name)
    assert name not in trusted()


def test_what_was_loaded_within_a_block_is_not_loaded_by_later_workers(tmp_path, monkeypatch):
    (tmp_path / "my_short_lived.py").write_text("def part():\n    pass\n")
    monkeypatch.chdir(tmp_path)
    with trusting(["my_short_lived"]):
        load("my_short_lived:part", "sampler")
        assert "my_short_lived" in dict(loaded())
    assert "my_short_lived" not in dict(loaded())
    sys.modules.pop("my_short_lived", None)


def test_a_place_is_the_users_own_and_not_that_of_a_library(tmp_path, monkeypatch):
    """Where a library failed, the line that called it; where nothing but the import failed, none."""
    (tmp_path / "my_reader.py").write_text("import json\n\n\nclass Reader:\n    def __init__(self):\n        json.loads('{')\n")
    monkeypatch.chdir(tmp_path)
    with trusting(["my_reader", "my_missing"]):
        with pytest.raises(UserError, match=r"sampler 'Reader' cannot be made \(JSONDecodeError: .*my_reader.py, line 6\)$"):
            make(load("my_reader:Reader", "sampler"), {}, "sampler")
        with pytest.raises(UserError, match=r"\(ModuleNotFoundError: No module named 'my_missing'\)$"):
            load("my_missing:Reader", "sampler")
    sys.modules.pop("my_reader", None)


def test_arguments_that_are_given_already_are_no_options():
    class Part:
        def __init__(self, data, clips=3):
            self.data, self.clips = data, clips

    assert make(partial(Part, data=1), {"clips": 4}, "evaluator").clips == 4
    for option in ("data", "clip"):
        with pytest.raises(UserError, match=f"unknown setting 'evaluator.{option}'.*choices: evaluator.clips"):
            make(partial(Part, data=1), {option: 4}, "evaluator")


class Tuned:
    def __init__(self, gain: float = 0.5, name: "str | None" = None, anything=None) -> None:
        self.gain = gain


def test_options_of_any_class_are_checked_against_its_annotations():
    assert make(Tuned, {"gain": 1, "name": "x", "anything": [1]}, "evaluator").gain == 1
    with pytest.raises(UserError, match=r"`evaluator\.gain` must be a number, but got 'abc'"):
        make(Tuned, {"gain": "abc"}, "evaluator")


@pytest.mark.parametrize(
    ("name", "written"),
    [("parts.Mine", "parts:Mine"), ("a.parts.Mine", "a.parts:Mine"), ("tpee", "module:Class"), ("x.", "module:Class")],
)
def test_a_part_with_a_dot_for_the_colon_is_told_how_to_write_it(name, written):
    with pytest.raises(UserError, match=rf"^unknown sampler '{name}'.*; one of your own is written {written}$"):
        find(name, {"tpe": "gsfnas.samplers.tpe:TPE"}, "sampler")


class Plain:
    pass


class Derived(Sampler):
    def propose(self, history, asked):
        return None


@dataclass(frozen=True)
class Fieldless(Sampler):
    def propose(self, history, asked):
        return None


@pytest.mark.parametrize("cls", [Plain, Derived, Fieldless])
def test_a_class_without_options_refuses_every_option(cls):
    for _ in range(2):
        with pytest.raises(UserError, match=r"^unknown setting 'sampler.widht'; sampler has no settings$"):
            make(cls, {"widht": 3}, "sampler")
        assert isinstance(make(cls, {}, "sampler"), cls)
