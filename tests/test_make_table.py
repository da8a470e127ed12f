"""benchmarks/make_table.py and worth.py: shards that are the journal, tables of a study's runs, simulated studies."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from evaluators._runs import SEEDS, small_space, study_record

from gsfnas.api import Study, load_study
from gsfnas.errors import UserError
from gsfnas.evaluators.benchmark import read_table
from gsfnas.evaluators.table import TableEvaluator
from gsfnas.seeds import training_seed

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="no benchmarks beside the tests")
NAME = "table-placement"
TINY = [
    *("study.trials=4", "study.replicates=2", "study.latency=false", "workers=1", "train.device=cpu", "train.epochs=1"),
    *(
        "train.warmup_epochs=0",
        "train.warm_start=1",
        "train.batch_size=8",
        "data.train_clips=16",
        "data.val_clips=8",
        "data.test_clips=8",
    ),
]


@pytest.fixture
def make_table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("make_table")
    monkeypatch.setattr(found, "SHARDS", tmp_path / "shards")
    return found


@pytest.fixture
def worth(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("worth")


def journal_of(runs):
    return runs / NAME / "journal.log"


def written(runs, lines):
    journal_of(runs).parent.mkdir(parents=True, exist_ok=True)
    journal_of(runs).write_text(lines)


def test_shards_in_order_are_the_journal(make_table, tmp_path):
    runs = tmp_path / "runs"
    written(runs, "one\ntwo\nthr")
    assert "2 lines" in make_table.save(NAME, runs)
    assert make_table.save(NAME, runs) == "no new line"
    written(runs, "one\ntwo\nthree\nfour\n")
    assert "2 lines" in make_table.save(NAME, runs)
    assert len(make_table.shards_of(NAME)) == 2
    make_table.restore(NAME, tmp_path / "elsewhere")
    assert journal_of(tmp_path / "elsewhere").read_text() == "one\ntwo\nthree\nfour\n"


def test_a_journal_of_another_run_is_no_next_shard(make_table, tmp_path):
    runs = tmp_path / "runs"
    written(runs, "one\ntwo\n")
    make_table.save(NAME, runs)
    written(runs, "one\nother\nthree\n")
    with pytest.raises(UserError, match="are not the beginning of"):
        make_table.save(NAME, runs)
    with pytest.raises(UserError, match="exists; remove it, or choose other --runs"):
        make_table.restore(NAME, runs)
    with pytest.raises(UserError, match="there are no shards in"):
        make_table.restore("table-other", runs)


def test_a_study_goes_on_from_its_shards_and_becomes_a_table(make_table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Study.from_config(NAME, [*TINY, "study.replicates=1"])
    first.run()
    make_table.save(NAME, Path("runs"))
    make_table.restore(NAME, Path("again"))
    whole = Study.from_config(NAME, [*TINY, "study.runs=again"]).run()
    assert len(whole.records) == len(whole.replicates) == 4
    assert [one.metrics for one in whole.records] == [one.metrics for one in first.record().records]
    said = make_table.build(NAME, Path("again"), "tiny", tmp_path / "tables")
    assert "4 candidates x 2 seeds" in said
    table = read_table(tmp_path / "tables" / "tiny")
    for record in (*whole.records, *whole.replicates):
        key, replicate = record.candidate.key, record.replicate
        assert table.query(key, replicate) == pytest.approx(dict(record.metrics), rel=1e-6)
        # With the seed, the recipe and the data of its row and card any run can be trained again.
        assert table.seeds[key, replicate] == record.seed == training_seed(table.card["study_seed"], key, replicate)
    assert table.card["data"]["train_clips"] == 16
    assert table.card["train"]["epochs"] == 1
    assert TableEvaluator(str(tmp_path / "tables" / "tiny")).heads == {"class": 20}
    assert load_study("again", NAME).records == whole.records


def test_simulated_studies_see_what_they_would_see(worth, tmp_path):
    from gsfnas.evaluators.benchmark import BenchmarkTable

    space = small_space()
    table = BenchmarkTable.of_study(study_record(space), {"name": "made", "space": "three", "heads": {"class": 10}})
    runs = worth.simulate(table, space, seed=3, trials=6, lag=2, seeds=SEEDS)
    first = [one for one in runs if not one.replicate]
    assert len(first) == len({one.candidate for one in first}) == 6
    assert [one.phase for one in first[:2]] == ["anchor", "anchor"]
    assert len(runs) - 6 in (4, 6)  # two more seeds of the anchors, and of the best where it is none of them
    assert runs == worth.simulate(table, space, seed=3, trials=6, lag=2, seeds=SEEDS)
    truth = worth.truths(table, 3, runs)
    assert set(truth) == {site.name for site in space.sites}
    assert all(abs(value) < 0.1 for value in truth.values())


def test_least_squares_find_known_effects(worth):
    from gsfnas.record import Record

    space = small_space()
    sites = [site.name for site in space.sites]
    true = np.array([0.1, 0.05, -0.02])
    runs = []
    for number, candidate in enumerate(space):
        held = np.array([site in dict(candidate.insertions) for site in sites])
        runs.append(Record(number, candidate, "design", "complete", 0, 0, {}, {"test_top1": 0.5 + float(true @ held)}))
    found = worth.least_squares(runs, sites)
    assert [effect.value for effect in found] == pytest.approx(true)
    assert worth.least_squares(runs[:3], sites) == []
