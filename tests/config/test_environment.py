"""Interpolations: those of the environment are used as what they come to and written as they stand; the others are resolved."""

import pytest
import yaml

from gsfnas.config import compose_data, compose_run, compose_study
from gsfnas.errors import UserError
from gsfnas.study import differences

SECRET = "a-secret-of-the-machine"


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("N", "12")
    monkeypatch.setenv("W", "0.25")
    monkeypatch.delenv("UNSET", raising=False)


def study(folder, text, name="mine"):
    """A study of text after its defaults, in a config root."""
    (folder / "studies").mkdir(exist_ok=True)
    path = folder / "studies" / f"{name}.yaml"
    path.write_text(f"# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - /data: folder\n  - _self_\n{text}")
    return str(path)


ALL = """
study: {trials: "${oc.decode:${oc.env:N}}", runs: runs, name: "${study.runs}"}
data: {root: "/data/${oc.env:TOKEN}/clips", cache: "${data.root}/cache", csv: "${oc.env:UNSET,null}", seed: "${study.trials}"}
backbone: {width: "${oc.decode:${oc.env:W}}", labels: [plain, "${oc.env:TOKEN}", "${study.runs}"]}
space:
  insertions: [{module: gsf, ratio: [0.5, "${oc.decode:${oc.env:W}}"]}]
protocol: {clips: "${oc.select:study.trials}"}
"""


def test_what_comes_from_the_environment_is_used_and_not_written(tmp_path):
    config = compose_study(study(tmp_path, ALL), ["train.init=${oc.env:TOKEN}.safetensors", "data.train_clips=${data.frames}"])
    assert (config.study.trials, config.study.name, config.protocol.clips, config.data.seed) == (12, "runs", 12, 12)
    assert (config.data.root, config.data.cache) == (f"/data/{SECRET}/clips", f"/data/{SECRET}/clips/cache")
    assert (config.data.csv, config.data.train_clips, config.train.init) == (None, 8, f"{SECRET}.safetensors")
    assert config.backbone_options == {"width": 0.25, "labels": ["plain", SECRET, "runs"]}
    assert [insertion["ratio"] for insertion in config.space.insertions] == [0.5, 0.25]
    resolved = config.resolved
    assert SECRET not in config.yaml + str(resolved)
    assert (resolved["study"]["trials"], resolved["study"]["name"]) == ("${oc.decode:${oc.env:N}}", "runs")
    assert resolved["data"]["root"] == "/data/${oc.env:TOKEN}/clips"
    # What refers to the environment by way of another setting.
    assert (resolved["data"]["cache"], resolved["data"]["seed"]) == ("${data.root}/cache", "${study.trials}")
    assert (resolved["data"]["csv"], resolved["data"]["train_clips"]) == ("${oc.env:UNSET,null}", 8)
    assert resolved["backbone"]["labels"] == ["plain", "${oc.env:TOKEN}", "runs"]
    assert resolved["space"]["insertions"][0]["ratio"] == [0.5, "${oc.decode:${oc.env:W}}"]
    assert resolved["train"]["init"] == "${oc.env:TOKEN}.safetensors"
    assert yaml.safe_load(config.yaml) == resolved


def test_the_written_study_runs_again_to_the_same(tmp_path, monkeypatch):
    config = compose_study(study(tmp_path, ALL))
    (tmp_path / "again.yaml").write_text(config.yaml)
    assert compose_study(str(tmp_path / "again.yaml")) == config
    monkeypatch.setenv("N", "13")
    again = compose_study(str(tmp_path / "again.yaml"))
    assert (again.study.trials, again.resolved) == (13, config.resolved)


def test_a_study_goes_on_under_the_same_configuration(tmp_path, monkeypatch):
    path = study(tmp_path, "data: {val_clips: '${oc.decode:${oc.env:N}}', root: '${oc.env:TOKEN}'}\n")
    before = compose_study(path).resolved
    monkeypatch.setenv("TOKEN", "another disk")
    assert differences(before, compose_study(path).resolved) == []
    found = differences(before, compose_study(path, ["data.val_clips=12"]).resolved)
    assert found == ["data.val_clips: ${oc.decode:${oc.env:N}} -> 12"]


def test_a_run_is_written_likewise_and_is_a_base():
    config = compose_run(["data=folder", "data.root=${oc.env:TOKEN}/clips", "train.lr=${oc.decode:${oc.env:W}}"])
    assert (config.data.root, config.train.lr) == (f"{SECRET}/clips", 0.25)
    assert (config.resolved["data"]["root"], config.resolved["train"]["lr"]) == (
        "${oc.env:TOKEN}/clips",
        "${oc.decode:${oc.env:W}}",
    )
    base = {section: config.resolved[section] for section in ("data", "train")}
    assert compose_run((), base=base) == config
    assert compose_run(["train.lr=0.5"], base=base).data == config.data


def test_the_name_of_the_data_may_come_from_it(monkeypatch):
    monkeypatch.setenv("SET", "twins")
    base = {"data": {"name": "${oc.env:SET}", "frames": 4}}
    assert (compose_run((), base=base).data.name, compose_run((), base=base).data.frames) == ("twins", 4)
    assert compose_data("folder", ["data.root=${oc.env:TOKEN}"]).root == SECRET


def test_an_interpolation_that_another_file_sets_anew_is_gone(tmp_path):
    study(tmp_path, "data: {root: '${oc.env:UNSET}'}\n")
    path = tmp_path / "studies" / "second.yaml"
    path.write_text("# @package _global_\ndefaults:\n  - /studies/mine\n  - _self_\ndata:\n  root: clips\n")
    config = compose_study("second", config_root=tmp_path)
    assert (config.data.root, config.resolved["data"]["root"]) == ("clips", "clips")


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("\\${x}", "${x}"),
        ("\\${oc.env:TOKEN}", "${oc.env:TOKEN}"),
        ("a\\\\\\${oc.env:TOKEN}\\", "a\\${oc.env:TOKEN}\\"),
        ("\\${", "${"),
        ("$x", "$x"),
        ("C:\\clips\\", "C:\\clips\\"),
        ("it's", "it's"),
    ],
)
def test_text_that_only_looks_like_an_interpolation_stays_text(tmp_path, marked, text):
    """Marked by a backslash wherever it is written, here and in what is written of it."""
    config = compose_run((), base={"data": {"name": "folder", "root": marked}})
    assert (config.data.root, config.resolved["data"]["root"]) == (text, marked)
    assert compose_run((), base={"data": config.resolved["data"]}) == config


def test_without_the_environment_the_text_is_what_it_was(tmp_path):
    config = compose_study("placement")
    assert (
        config.yaml == f"# @package _global_\n{yaml.safe_dump(config.resolved, sort_keys=False, allow_unicode=True, width=120)}"
    )
    assert "${" not in config.yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: {root: '${oc.env:UNSET}'}", "`data.root` asks for the environment variable 'UNSET', which is not set"),
        (
            "data: {root: '${oc.decode:${oc.env:UNSET}}'}",
            "`data.root` asks for the environment variable 'UNSET', which is not set",
        ),
        ("data: {root: '${oc.env:TOKEN}', cache: '${data.nowhere}'}", "`data.cache` is '${data.nowhere}'"),
        ("data: {root: '${data.cache}', cache: '${data.root}'}", "leads back to itself"),
        ("data: {root: '${data.root}'}", "Recursive interpolation detected"),
        ("data: {root: '${'}", "no viable alternative at input '${'"),
        ("data: {root: '${nope:1}'}", "Unsupported interpolation type nope"),
        ("data: '${oc.create:${oc.env:TOKEN}}'", "`data`"),
        (
            "data: '${oc.create:{root: \"${oc.env:TOKEN}\"}}'",
            "must be written out; its settings alone may come from the environment",
        ),
        ("data: {root: '" + "${oc.env:TOKEN}" * 800 + "'}", "aliases and long interpolations expand to too much"),
        ("backbone: {x: [" + ", ".join(["'${data.frames}'"] * 301) + "]}", "more than 300 interpolations"),
    ],
)
def test_an_interpolation_that_cannot_be_is_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        compose_study(study(tmp_path, f"{text}\n"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_interpolations_of_interpolations_do_not_fill_memory(tmp_path):
    """Twenty-four levels of two each: 2^24 texts; the same as lists."""
    texts = "".join(f'  x{level}: "${{backbone.x{level + 1}}}${{backbone.x{level + 1}}}"\n' for level in range(24))
    lists = "".join(f'  x{level}: ["${{backbone.x{level + 1}}}", "${{backbone.x{level + 1}}}"]\n' for level in range(24))
    for bomb in (texts, lists):
        with pytest.raises(UserError, match="come to too much"):
            compose_study(study(tmp_path, f"backbone:\n{bomb}  x24: aaaaaaaa\n"))
    # Nor while files are merged, which would resolve what stands below.
    study(tmp_path, f"backbone:\n{texts}  x24: a\n", "below")
    above = tmp_path / "studies" / "above.yaml"
    above.write_text("# @package _global_\ndefaults:\n  - /studies/below\n  - _self_\nbackbone:\n  x0: 1\n  x1: 1\n  x2: 1\n")
    with pytest.raises(UserError, match="come to too much"):
        compose_study("above", config_root=tmp_path)
