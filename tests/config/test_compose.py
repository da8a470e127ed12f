import dataclasses

import pytest
import yaml

from gsfnas.config import compose_data, compose_study, find_roots
from gsfnas.data import DataSettings
from gsfnas.errors import UserError

STUDIES = sorted(find_roots().files("studies"))


def study_file(folder, text, name="mine"):
    (folder / "studies").mkdir(exist_ok=True)
    path = folder / "studies" / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", STUDIES)
def test_every_shipped_study_composes_under_its_own_name(name):
    config = compose_study(name)
    assert (config.study.name, config.space.name) == (name, name.removeprefix("table-"))


@pytest.mark.parametrize("name", STUDIES)
def test_a_resolved_study_composes_to_itself(name, tmp_path):
    # A space of rows has its sites in each row, and none of its own.
    sites = [] if compose_study(name).space.rows else ["space.sites.kind=after"]
    config = compose_study(name, ["backbone=bninception", "backbone.width=0.25", "train.lr=0.03", *sites])
    (tmp_path / "study.yaml").write_text(config.yaml)
    again = compose_study(str(tmp_path / "study.yaml"))
    assert again == config
    assert yaml.safe_load(config.yaml) == config.resolved


def test_groups_can_still_be_chosen_in_a_resolved_study(tmp_path):
    (tmp_path / "study.yaml").write_text(compose_study("placement").yaml)
    config = compose_study(str(tmp_path / "study.yaml"), ["data=folder", "data.root=x", "backbone=resnet18"])
    assert (config.data.name, config.data.root, config.backbone) == ("folder", "x", "resnet18")


def test_the_documented_command_means_what_it_says():
    words = (
        "backbone=bninception backbone.width=0.25 study.trials=50 train.epochs=12 data.train_clips=3000 data.val_clips=500 "
        "data.test_clips=1000 workers=2"
    )
    config = compose_study("placement", words.split())
    assert (config.backbone, config.backbone_options) == ("bninception", {"width": 0.25})
    assert (config.study.trials, config.parts["executor"].options, config.train.epochs) == (50, {"workers": 2}, 12)
    assert (config.data.train_clips, config.data.val_clips, config.data.test_clips) == (3000, 500, 1000)


def test_a_space_of_another_name_takes_the_place_of_the_whole_space():
    config = compose_study("placement", ["space=full"])
    assert config.space == compose_study("full").space
    assert config.study.name == "placement"


@pytest.mark.parametrize("name", ["resnet18", "my_pkg.module:factory"])
def test_a_backbone_without_a_file_is_a_network_by_name(name):
    config = compose_study("placement", [f"backbone={name}", "backbone.depth=3"])
    assert (config.backbone, config.backbone_options) == (name, {"depth": 3})


def test_overrides_apply_in_order():
    assert compose_study("placement", ["train.epochs=3", "train.epochs=5"]).train.epochs == 5


def test_an_insertion_can_be_changed_in_place_and_as_a_whole():
    assert compose_study("placement", ["space.insertions.0.ratio=0.5"]).space.insertions == ({"module": "gsf", "ratio": 0.5},)
    assert compose_study("placement", ["space.insertions=[{module: tsm}]"]).space.insertions == ({"module": "tsm"},)


@pytest.mark.parametrize("folder", ["/x y/(1), [b]/it's", "a,b", "a=b", "'quoted name'", "C:\\clips"])
def test_a_folder_may_have_any_name(folder):
    assert compose_study("placement", ["data=folder", f"data.root={folder}"]).data.root == folder.strip(
        "'" if folder[0] == "'" else ""
    )


def test_a_study_of_ones_own_may_leave_nearly_everything_to_its_default(tmp_path, monkeypatch):
    study_file(tmp_path, "# @package _global_\ndefaults:\n  - /spaces@space: placement\n")
    monkeypatch.chdir(tmp_path)
    config = compose_study("mine", ["train=quick", "study.trials=5"])
    assert (config.study.name, config.study.trials, config.backbone) == ("mine", 5, "micro")
    assert config.data == DataSettings()


def test_a_study_may_build_on_another(tmp_path, monkeypatch):
    study_file(tmp_path, "defaults:\n  - /studies/placement\n  - _self_\nstudy:\n  trials: 7\n")
    monkeypatch.chdir(tmp_path)
    config = compose_study("mine", ["space=full"])
    assert (config.study.name, config.study.trials, config.study.replicates, config.space.name) == ("mine", 7, 3, "full")


def test_groups_of_ones_own_are_found_beside_the_studies(tmp_path, monkeypatch):
    study_file(tmp_path, "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - /train: long\n")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "long.yaml").write_text("epochs: 77\n")
    monkeypatch.chdir(tmp_path)
    assert compose_study("mine").train.epochs == 77


def test_a_root_may_have_blanks_and_accents_in_its_name(tmp_path):
    root = tmp_path / "zoë's studies (2)"
    root.mkdir()
    study_file(root, "# @package _global_\ndefaults:\n  - /spaces@space: placement\n")
    assert compose_study("mine", config_root=root).study.name == "mine"


def test_every_setting_can_be_overridden_by_its_name():
    config = compose_study("placement")
    same = [
        f"{section}.{field.name}={'null' if value is None else value}"
        for section, settings in (("study", config.study), ("data", config.data), ("train", config.train))
        for field in dataclasses.fields(settings)
        for value in [getattr(settings, field.name)]
        if not isinstance(value, tuple)
    ]
    same.append(f"study.objectives=[{','.join(config.study.objectives)}]")
    assert compose_study("placement", same) == config


@pytest.mark.parametrize(
    "override",
    ["[params<=2.02e5,macs_fvcore>1.93e7]", "['params<=202000', 'macs_fvcore>1.93e7']", "params<=2.02e5, macs_fvcore>19.3e6"],
)
def test_bounds_are_written_as_in_a_shell_or_as_a_list(override, tmp_path):
    config = compose_study("placement", [f"study.bounds={override}"])
    assert config.study.bounds == ("params<=202000", "macs_fvcore>19300000")
    path = tmp_path / "again.yaml"
    path.write_text(config.yaml)
    assert compose_study(str(path)).study.bounds == config.study.bounds
    assert "bounds" not in compose_study("placement").resolved["study"]


def test_rules_are_part_of_the_space():
    config = compose_study("placement", ["++space.couple=[{same: module, within: block}]"])
    (rule,) = config.space.couple
    assert (rule.same, rule.within) == ("module", "block")
    assert "couple" in config.yaml


def test_objectives_are_a_list_in_overrides_and_files(tmp_path):
    usual = compose_study("placement")
    assert usual.study.objectives == ("val_top1", "macs_fvcore")
    assert "objectives" not in usual.yaml
    names = ["val_top1", "latency_estimate_ms", "max:score"]
    config = compose_study("placement", [f"study.objectives=[{','.join(names)}]"])
    assert config.study.objectives == tuple(names)
    assert config.resolved["study"]["objectives"] == names
    (tmp_path / "again.yaml").write_text(config.yaml)
    again = compose_study(str(tmp_path / "again.yaml"), ["study.name=placement"])
    assert again.study == config.study
    text = "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - _self_\nstudy:\n  objectives: [val_loss]\n"
    path = study_file(tmp_path, text)
    assert compose_study(str(path)).study.objectives == ("val_loss",)
    for value, said in (("val_top1", "must be a list"), ("[val_top]", "unknown metric 'val_top'"), ("[]", "must be a list")):
        with pytest.raises(UserError, match=said):
            compose_study("placement", [f"study.objectives={value}"])


def test_the_settings_of_data_alone():
    assert compose_data("twins", ["data.difficulty=1", "data.frames=4"]).frames == 4
    with pytest.raises(UserError, match="unknown data set 'twinz'; did you mean 'twins'"):
        compose_data("twinz")
    with pytest.raises(UserError, match=r"unknown override .train\.epochs."):
        compose_data("twins", ["train.epochs=3"])


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("# @package _global_\nstudy:\n  trials: 3\n", "chooses no space"),
        (
            "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - _self_\ntrian:\n  epochs: 3\n",
            "did you mean 'train'",
        ),
        (
            "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - _self_\ntrain:\n  epoch: 3\n",
            "did you mean 'train.epochs'",
        ),
        (
            "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - _self_\ntrain: 3\n",
            "`train` in .* must be a mapping",
        ),
        ("# @package _global_\ndefaults:\n  - /spaces@space: nowhere\n", "cannot be composed"),
        (
            "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - _self_\nstudy:\n  name: ${nowhere}\n",
            "cannot be composed",
        ),
        ("# @package _global_\ndefaults:\n  - /spaces@space: placement\nstudy:\n  trials: 3\n", "must end with `- _self_`"),
        ("# @package _global_\nstudy: [\n", "cannot be read"),
    ],
)
def test_a_study_that_cannot_be_meant_is_named_in_one_line(tmp_path, monkeypatch, text, fragment):
    study_file(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=fragment) as caught:
        compose_study("mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("trian.epochs=3", "unknown override 'trian.epochs'; did you mean 'train.epochs'"),
        ("worker=2", "did you mean 'workers'"),
        ("train.epochs=many", "`train.epochs` must be an integer, but got 'many'"),
        ("train.epochs=1,2", "`train.epochs` must be an integer, but got '1,2'"),
        ("train.epochs={", "`train.epochs` must be an integer"),
        ("train=slow", "unknown recipe 'slow'"),
        ("data=twin", "unknown data set 'twin'; did you mean 'twins'"),
        ("space=placment", "unknown space 'placment'; did you mean 'placement'"),
        ("space.insertion=[]", "did you mean 'insertions'"),
        ("space.insertions=[{module: gsf}", "cannot be read"),
        ("space.sites.role=conv1,conv2", "takes one value"),
        ("backbone=", "unknown backbone ''"),
        ("study=3", "`study` is a section"),
        ("study.trials=0", "`study.trials` must be an integer of at least 2, but got 0"),
        ("data=folder", "needs `data.root`"),
        ("epochs", "is written key=value"),
        ("=3", "is written key=value"),
        ("~train.epochs", "cannot be taken away"),
        ("hydra.verbose=1", "unknown override 'hydra.verbose'"),
    ],
)
def test_an_override_that_cannot_be_meant_is_named_in_one_line(override, fragment):
    with pytest.raises(UserError, match=fragment) as caught:
        compose_study("placement", [override])
    assert "\n" not in str(caught.value)


def test_data_of_ones_own_take_the_place_of_the_data_that_a_study_chose():
    """Nothing of Twins, far, is left in them; what is set beside them holds."""
    data = compose_study("placement", ["data=my_data:Chosen", "data.root=clips", "data.frames=4"]).data
    assert (data.name, data.root, data.frames, data.resolution, data.far) == ("my_data:Chosen", "clips", 4, 32, 0)
