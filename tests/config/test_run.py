"""The settings of one run; and options that have a file of their own for a data set."""

import dataclasses
from pathlib import Path

import pytest
import yaml

import gsfnas
from gsfnas.config import compose_run, compose_study
from gsfnas.data import DataSettings
from gsfnas.errors import UserError
from gsfnas.train import ProtocolSettings, TrainSettings

GROUPS = Path(gsfnas.__file__).parent / "config"


def test_without_a_word_a_run_is_the_embedded_one():
    config = compose_run()
    assert (config.data, config.train, config.protocol) == (DataSettings(), TrainSettings(), ProtocolSettings())
    assert config.resolved["train"] == dataclasses.asdict(TrainSettings())


def test_the_paper_is_section_4_2_on_any_data_set():
    config = compose_run(["train=paper", "protocol=accuracy", "data=something_v1", "data.root=x"])
    train = config.train
    assert (train.epochs, train.warmup_epochs, train.batch_size, train.lr, train.momentum) == (60, 10, 32, 0.01, 0.9)
    assert (train.weight_decay, train.dropout, train.clip_gradient, train.init) == (1e-4, 0.5, 20, "imagenet")
    assert (train.nesterov, train.label_smoothing, train.groups, train.peak_lr) == (False, 0, "published", 0.01)
    assert (config.data.augment, config.data.policy) == ("paper", "none")
    assert (config.protocol.clips, config.protocol.crops) == (2, 3)


@pytest.mark.parametrize("order", [1, -1])
def test_diving48_epic_and_kinetics_have_their_own(order):
    def composed(name):
        return compose_run(["train=paper", "protocol=accuracy", f"data={name}", "data.root=x"][::order])

    assert composed("diving48").train == dataclasses.replace(composed("something_v2").train, batch_size=8, lr_batch=8)
    assert composed("diving48").train.peak_lr == 0.01
    assert (composed("epic_kitchens_100").data.policy, composed("epic_kitchens_100").data.augment) == ("autoaugment", "paper")
    assert composed("epic_kitchens_100").train == composed("something_v2").train
    assert composed("kinetics400").protocol == ProtocolSettings("accuracy", 10, 3)
    assert composed("diving48").protocol == ProtocolSettings("accuracy", 2, 3)


def test_what_is_typed_comes_last_in_any_order():
    typed = ["data.augment=light", "train.batch_size=4", "protocol.clips=5", "train=paper", "data=diving48", "data.root=x"]
    config = compose_run([*typed, "protocol=accuracy"])
    assert (config.data.augment, config.train.batch_size, config.protocol.clips) == ("light", 4, 5)


def test_a_base_holds_where_nothing_else_is_asked_for():
    study = compose_study("placement", ["train.lr=0.3", "data.train_clips=48", "data.difficulty=0.1"])
    base = {section: study.resolved[section] for section in ("data", "train")}
    config = compose_run(["train.epochs=3"], base=base)
    assert config.train == dataclasses.replace(study.train, epochs=3)
    assert config.data == study.data
    config = compose_run(["train=paper"], base=base)
    assert (config.train.lr, config.train.epochs) == (0.01, 60)
    # The recipe's own augmentation, the study's clips.
    assert config.data == dataclasses.replace(study.data, augment="paper")
    assert compose_run(["data=twins"], base=base).data == DataSettings()


def test_a_base_with_any_path(tmp_path):
    base = {"data": dataclasses.asdict(DataSettings(name="folder", root=str(tmp_path / "it's [a], {b}")))}
    assert compose_run((), base=base).data.root == str(tmp_path / "it's [a], {b}")


def test_in_a_study_too():
    config = compose_study("placement", ["train=paper", "protocol=accuracy", "data=kinetics400", "data.root=x"])
    assert (config.protocol.clips, config.train.lr, config.data.augment) == (10, 0.01, "paper")
    assert compose_study("placement").protocol == ProtocolSettings()


def test_a_study_that_chooses_the_recipe_gets_the_one_of_the_data_set(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# @package _global_\ndefaults:\n  - /spaces@space: placement\n  - /data: twins\n  - /train: paper\n  - _self_\n"
    )
    assert compose_study(str(path)).train.batch_size == 32
    config = compose_study(str(path), ["data=diving48", "data.root=x"])
    assert (config.train.batch_size, config.data.augment) == (8, "paper")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train=papr", "unknown recipe 'papr'; did you mean 'paper'"),
        ("protocol=acuracy", "unknown protocol 'acuracy'; did you mean 'accuracy'"),
        ("protocol.crops=2", "`protocol.crops` must be 1 or 3, but got 2"),
        ("protocol.clip=2", "did you mean 'protocol.clips'"),
        ("study.trials=3", "unknown override 'study.trials'"),
        ("train.warmup_epochs=9", "`warmup_epochs` must be at least 0 and below `epochs` (8), but got 9.0"),
    ],
)
def test_a_mistake_is_one_line(override, said):
    with pytest.raises(UserError) as caught:
        compose_run([override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_files_of_the_groups_say_every_setting():
    paper = yaml.safe_load((GROUPS / "train" / "paper.yaml").read_text())["train"]
    assert paper.keys() == {field.name for field in dataclasses.fields(TrainSettings)}
    for path in (GROUPS / "protocol").glob("*.yaml"):
        assert yaml.safe_load(path.read_text()).keys() == {field.name for field in dataclasses.fields(ProtocolSettings)}
    assert all(path.read_text().startswith("# ") for group in ("train", "protocol") for path in (GROUPS / group).glob("*.yaml"))
