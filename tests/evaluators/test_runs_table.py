"""Studies on a table of runs: the same records as the runs have, in seconds; damaged tables and other questions are refused."""

import gzip
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators._runs import EPOCHS_OF_A_RUN, SEEDS, metrics_at, small_space, study_record
from gsfnas.api import Study, bind_space
from gsfnas.config import load_space
from gsfnas.data import DataSettings
from gsfnas.errors import UserError
from gsfnas.evaluators.benchmark import CANDIDATES, CARD, EPOCHS, BenchmarkTable, noise_ceiling, read_table
from gsfnas.evaluators.table import TableEvaluator, permutation
from gsfnas.record import Epoch, StudyRecord
from gsfnas.samplers import Grid, ReplicatesOfAll
from gsfnas.space import BoundSpace
from gsfnas.study import StudySettings
from gsfnas.testing.evaluator import EvaluatorConformance
from gsfnas.train import TrainSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = DataSettings(far=3)
    card = {
        "name": "made",
        "space": "three",
        "heads": {"class": 10},
        "data": {"far": settings.far, "frames": 8, "resolution": 32, "train_clips": settings.train_clips},
        "train": {"epochs": 8, "lr": 0.1, "device": "cpu"},
        "latency": {"device": "a CPU", "threads": 1, "precision": "float32", "batch": 1},
    }
    path = tmp_path_factory.mktemp("tables") / "made"
    BenchmarkTable.of_study(study_record(small_space()), card).write(path)
    return path


class TestTableEvaluator(EvaluatorConformance):
    @pytest.fixture
    def evaluator(self, folder: Path) -> TableEvaluator:
        return TableEvaluator(str(folder))

    @pytest.fixture
    def space(self) -> BoundSpace:
        return small_space()


def test_a_table_is_read_as_it_was_written(folder: Path, tmp_path: Path) -> None:
    table, made = read_table(folder), BenchmarkTable.of_study(study_record(small_space()), {})
    assert table.curves == made.curves
    assert table.seeds == made.seeds
    assert table.costs == made.costs
    assert table.latencies == made.latencies
    assert (table.num_seeds, table.epochs, len(table.candidates)) == (SEEDS, EPOCHS_OF_A_RUN, 8)
    table.write(tmp_path)
    for name in (CARD, CANDIDATES, EPOCHS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_query_is_one_epoch_of_one_run(folder: Path) -> None:
    table = read_table(folder)
    key = next(iter(table.candidates))
    assert table.query(key, 1, 1) == pytest.approx(metrics_at(key, 1, 1))
    assert table.query(table.candidates[key], 2) == pytest.approx(metrics_at(key, 2, EPOCHS_OF_A_RUN))
    with pytest.raises(UserError, match="has replicates 0 to 2, but got 3"):
        table.query(key, 3)
    with pytest.raises(UserError, match="has epochs 1 to 2, but got 3"):
        table.query(key, 0, 3)
    with pytest.raises(UserError, match="has no candidate 'c1-0'"):
        table.query("c1-0", 0)


def test_arrays_hold_every_run(folder: Path) -> None:
    table = read_table(folder)
    choices, values = table.arrays(["test_top1", "seconds"])
    assert values.shape == (8, SEEDS, EPOCHS_OF_A_RUN, 2)
    assert [sum(label != "-" for label in one.values()) for one in choices] == [
        len(one.insertions) for one in table.candidates.values()
    ]
    key = list(table.candidates)[3]
    assert values[3, 2, 1, 0] == pytest.approx(metrics_at(key, 2, 2)["test_top1"])
    with pytest.raises(UserError, match="val_top2"):
        table.arrays(["val_top2"])


def test_the_noise_ceiling_is_what_one_seed_knows_of_the_others(folder: Path) -> None:
    table = read_table(folder)
    assert 0.3 < noise_ceiling(table) <= 1
    same = {(key, replicate): table.curves[key, 0] for key, replicate in table.curves}
    assert noise_ceiling(replace(table, curves=same)) == pytest.approx(1)


def run(folder: Path, runs: Path, seed: int = 0, **settings: int) -> StudyRecord:
    asked = StudySettings("on-table", **{"trials": 8, "replicates": SEEDS, "seed": seed, **settings}, runs=str(runs))
    study = Study(small_space(), TableEvaluator(str(folder)), asked, sampler=[Grid(), ReplicatesOfAll()])
    return study.run()


def test_a_study_finds_the_runs_of_the_table(folder: Path, tmp_path: Path) -> None:
    study = run(folder, tmp_path)
    assert len(study.records) == 8
    assert len(study.replicates) == 16
    table = read_table(folder)
    for record in (*study.records, *study.replicates):
        key = record.candidate.key
        replicate = permutation(0, key, SEEDS)[record.replicate]
        assert record.metrics == pytest.approx(table.query(key, replicate))
        assert [epoch.epoch for epoch in record.curve] == [1, 2]
        assert "test_top1" not in record.curve[0].metrics
    # Its latencies are those of the table, not of this machine.
    assert {latency.device for latency in study.latencies} == {"a CPU"}
    assert len(study.latencies) == 8


def test_each_study_sees_all_runs_in_an_order_of_its_own(folder: Path, tmp_path: Path) -> None:
    def values(seed: int) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        study = run(folder, tmp_path / str(seed), seed)
        for record in (*study.records, *study.replicates):
            found.setdefault(record.candidate.key, []).append(record.metrics["val_top1"])
        return found

    first, second = values(1), values(2)
    assert first != second
    assert {key: sorted(found) for key, found in first.items()} == {key: sorted(found) for key, found in second.items()}


def test_more_seeds_than_there_are_is_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`study\.replicates` must be at most 3"):
        run(folder, tmp_path / "runs", replicates=4)
    assert not (tmp_path / "runs").exists()
    evaluator = TableEvaluator(str(folder))
    with pytest.raises(UserError, match=r"asks for replicate 4; study\.replicates must be at most 3"):
        next(evaluator.evaluate(small_space().empty, seed=0, replicate=3, budget=2))


def test_other_settings_than_the_tables_are_named(folder: Path) -> None:
    def said(train: TrainSettings | None, data: DataSettings | None, space: BoundSpace) -> str:
        with pytest.raises(UserError) as caught:
            TableEvaluator(str(folder), train, data).check(space, "cpu")
        return str(caught.value)

    good = DataSettings(far=3, workers=3, cache="/elsewhere")
    assert TableEvaluator(str(folder), TrainSettings(), good).check(small_space(), "cpu")
    assert "data.far: 3 -> 0" in said(None, DataSettings(), small_space())
    assert "train.lr: 0.1 -> 0.2" in said(TrainSettings(lr=0.2), good, small_space())
    other = replace(small_space(), frames=16)
    assert "frames: 8 -> 16" in said(None, replace(good, frames=16), other)
    assert "backbone: micro18 -> micro" in said(None, good, bind_space(load_space("placement"), "micro", {}, 8, 32))
    assert "has no candidate with gate_shift_fuse at layer4.0.conv1" in said(None, good, small_space(("layer4.*",)))


def damaged(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged"
    shutil.copytree(folder, path)
    return path


def rewritten(path: Path, name: str, edit) -> None:
    """Changes a file's text, and its checksum in the card."""
    content = gzip.compress(edit(gzip.decompress((path / name).read_bytes()).decode()).encode())
    (path / name).write_bytes(content)
    card = json.loads((path / CARD).read_text())
    card["files"][name] = hashlib.sha256(content).hexdigest()
    (path / CARD).write_text(json.dumps(card))


def test_a_flipped_bit_is_noticed(folder: Path, tmp_path: Path) -> None:
    path = damaged(folder, tmp_path)
    content = bytearray((path / EPOCHS).read_bytes())
    content[100] ^= 1
    (path / EPOCHS).write_bytes(content)
    with pytest.raises(UserError, match=rf"{EPOCHS} is damaged: its checksum is not the one in card.json"):
        read_table(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "`version` must be 1, that of tables of this gsfnas, but got 2"),
        ({"name": 3}, "`name` must be a text, but got 3"),
        ({"heads": {"class": 0}}, "`heads.class` must be an integer of at least 1, but got 0"),
        ({"epochs": "8"}, "`epochs` must be an integer of at least 1, but got '8'"),
        ({"epochs": 3}, "lacks epochs of replicate 0"),
        ({"seeds": 4}, "lacks epochs of replicate 3"),
        ({"seeds": 2}, "epoch 1 of replicate 2 of 'c1-"),
    ],
)
def test_a_wrong_card_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = damaged(folder, tmp_path)
    card = json.loads((path / CARD).read_text())
    (path / CARD).write_text(json.dumps(card | change))
    with pytest.raises(UserError, match=re.escape(said)):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (EPOCHS, r"^key,", "id,", "must begin with the columns key, replicate, seed, epoch"),
        (EPOCHS, r"\n[^\n]*\Z", "", "lacks epochs of replicate 2"),
        (EPOCHS, r",3\.5,", ",inf,", "line 2: `seconds` must be a number, but got 'inf'"),
        (EPOCHS, r",3\.5,", ",x,", "line 2: `seconds` must be a number, but got 'x'"),
        (EPOCHS, r",3\.5,[^\n]*", "", "line 2: it must have 8 values"),
        (EPOCHS, r",1,3", ",2,3", "line 2: epoch 2 of replicate 0"),
        (CANDIDATES, r"(?s)\n.*", "", "must have a row for each candidate, but has none"),
        (CANDIDATES, r"\nc1-.", "\nc1-x", "`key` must be c1-"),
        (CANDIDATES, r",10,100,", ",-10,100,", "`params` must be an integer of at least 0, but got '-10'"),
    ],
)
def test_a_wrong_row_is_refused(folder: Path, tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    path = damaged(folder, tmp_path)
    rewritten(path, name, lambda text: re.sub(old, new, text.rstrip("\n"), count=1))
    with pytest.raises(UserError, match=re.escape(said)):
        read_table(path)


def test_a_file_that_is_no_gzip_is_refused(folder: Path, tmp_path: Path) -> None:
    path = damaged(folder, tmp_path)
    (path / EPOCHS).write_bytes(b"key,replicate")
    card = json.loads((path / CARD).read_text())
    card["files"][EPOCHS] = hashlib.sha256(b"key,replicate").hexdigest()
    (path / CARD).write_text(json.dumps(card))
    with pytest.raises(UserError, match="is no gzip file"):
        read_table(path)
    (path / CARD).write_text("[1")
    with pytest.raises(UserError, match=r"card.json is no JSON"):
        read_table(path)


def test_a_name_that_is_no_table_is_refused_with_those_there_are() -> None:
    for name in ("placement7", "x" * 5000, "a\0b"):
        with pytest.raises(UserError, match="unknown table '"):
            read_table(name)


def test_a_study_without_all_runs_is_no_table() -> None:
    whole = study_record(small_space())
    with pytest.raises(UserError, match="has no complete run of c1-"):
        BenchmarkTable.of_study(replace(whole, replicates=whole.replicates[:-1]), {})
    untested = [replace(one, curve=tuple(Epoch(e.epoch, {"val_top1": 0.5}) for e in one.curve)) for one in whole.records]
    with pytest.raises(UserError, match=r"evaluator\.test_each_epoch=true"):
        BenchmarkTable.of_study(replace(whole, records=tuple(untested)), {})
