"""Whose the name of a backbone is: the user's, or that of a file which merely lies somewhere. Nothing is imported here."""

import pytest

from gsfnas.config import compose_study

NAME = "my_package.networks:build"


def study(folder, text="", defaults="", name="mine", base="/spaces@space: placement"):
    path = folder / "studies" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\ndefaults:\n  - {base}\n{defaults}  - _self_\n{text}")
    return str(path)


def group(folder, name="own", backbone=NAME):
    (folder / "studies").mkdir(parents=True, exist_ok=True)
    path = folder / "backbone" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"name: {backbone}\nwidth: 2\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def given(tmp_path):
    """A config root that the call is given."""
    (tmp_path / "given" / "studies").mkdir(parents=True)
    return tmp_path / "given"


NAMED = f"backbone:\n  name: {NAME}\n"


def found(*arguments, **options):
    config = compose_study(*arguments, **options)
    assert config.backbone == NAME
    return "backbone" in config.named_by_user


@pytest.mark.parametrize("override", ["backbone={}", "+backbone={}", "backbone='{}'", 'backbone.name="{}"', "backbone.name={}"])
def test_an_override_names_it(here, override):
    assert found("placement", [override.format(NAME)])
    assert found(study(here, NAMED), [override.format(NAME)])
    assert found("placement", [override.format(NAME), "backbone.width=3"])


def test_a_backbone_of_this_package_or_of_timm_needs_no_name(here):
    for overrides in ([], ["backbone=bninception"], ["backbone=resnet18"], ["backbone.name=resnet18"]):
        assert not compose_study("placement", overrides).named_by_user


def test_a_file_of_the_working_directory_names_nothing(here):
    study(here, NAMED)
    group(here)
    assert not found("mine")
    assert not found("studies/mine.yaml")
    assert not found("placement", ["backbone=own"])
    study(here, defaults="  - /backbone: own\n")
    assert not found("mine")
    study(here, base="/studies/mine", name="second")
    assert not found("second")


def test_a_study_given_by_its_path_names_nothing(here, tmp_path):
    path = study(tmp_path / "downloads", NAMED)
    assert not found(path)
    assert not found(path, ["backbone.width=3"])


def test_a_file_of_the_given_root_names_it(here, given):
    study(given, NAMED)
    group(given)
    assert found("mine", config_root=given)
    assert found(str(given / "studies" / "mine.yaml"), config_root=given)
    assert found("placement", ["backbone=own"], config_root=given)
    study(given, defaults="  - /backbone: own\n", name="second")
    assert found("second", config_root=given)
    # The working directory, where it is given.
    study(here, NAMED, name="third")
    assert found("third", config_root=here)


def test_a_given_root_does_not_vouch_for_other_files(here, given, tmp_path):
    study(here, NAMED, name="here")
    group(here)
    assert not found("here", config_root=given)
    assert not found("placement", ["backbone=own"], config_root=given)
    assert not found(study(tmp_path / "downloads", NAMED), config_root=given)
    # A study of the root, which takes its backbone from the working directory.
    study(given, defaults="  - /backbone: own\n")
    assert not found("mine", config_root=given)
    # The same name in both: the root's own comes first.
    group(given)
    assert found("mine", config_root=given)


def test_a_given_root_of_another_backbone_does_not_vouch_either(here, given):
    """The study of the working directory replaces the root's by its own group of the same name, or builds on it."""
    group(given, backbone="my_package.networks:other")
    study(given, defaults="  - /backbone: own\n", name="base")
    study(here, NAMED, base="/studies/base")
    assert not found("mine", config_root=given)


def test_an_interpolation_is_not_a_name_that_was_typed(here, monkeypatch):
    monkeypatch.setenv("BACKBONE", NAME)
    assert not found("placement", ["backbone.name=${oc.env:BACKBONE}"])
    path = study(here, f"backbone: {{name: micro, other: '{NAME}'}}\n")
    assert not found(path, ["backbone.name=${backbone.other}"])


def test_an_override_of_another_name_is_not_this_one(here):
    assert not found(study(here, NAMED), ["backbone.width=my_package.networks:build"])
    config = compose_study(study(here, NAMED), ["backbone=resnet18"])
    assert (config.backbone, config.named_by_user) == ("resnet18", frozenset())


def test_a_link_in_the_given_root_does_not_vouch(here, given, tmp_path):
    (given / "studies" / "link.yaml").symlink_to(study(tmp_path / "downloads", NAMED))
    assert not found(str(given / "studies" / "link.yaml"), config_root=given)
