"""Scores of a finished study's weights under other protocols: records beside its own."""

import pytest
from rich.console import Console

from gsfnas.errors import UserError
from gsfnas.record import ProtocolScore
from gsfnas.storages._locks import study_lock
from gsfnas.study import load_study, measure_study

from .same import numbers

ACCURACY = ("accuracy", 2, 3, "test", "twins-1")


class Scorer:
    """Knows a score at once, and what it was asked for."""

    def __init__(self, protocol=ACCURACY):
        self.protocol, self.asked = protocol, []

    def __call__(self, record, weights):
        assert weights.read_text() == "weights"
        self.asked.append((record.candidate.key, record.seed))
        name, clips, crops, split, data = self.protocol
        metrics = {f"{split}_top1": 0.5, f"{split}_top5": 0.9, f"{split}_mean_class": 0.4}
        macs = record.cost["macs_fvcore"] * clips * crops
        return ProtocolScore(record.candidate.key, record.seed, name, clips, crops, split, 48, macs, metrics, data, "cpu")


def measured(lab, scorer):
    return measure_study(lab.folder / "runs", "placement", scorer.protocol, scorer, Console(quiet=True))


def test_records_are_added_and_none_is_changed(lab):
    before = lab.run(trials=8)
    journal = (lab.folder / "runs" / "placement" / "journal.log").read_bytes()
    scorer = Scorer()
    after = measured(lab, scorer)
    assert numbers(after) == numbers(before)
    assert after.records == before.records
    assert after.latencies == before.latencies
    kept = {path.parent.name for path in (lab.folder / "runs").glob("placement/checkpoints/*/weights.safetensors")}
    assert {f"{key}-{seed}" for key, seed in scorer.asked} == kept
    assert len(kept) == len(after.protocols) >= 2
    assert (lab.folder / "runs" / "placement" / "journal.log").read_bytes().startswith(journal)
    assert load_study(lab.folder / "runs", "placement").protocols == after.protocols


def test_what_is_known_is_not_measured_again(lab):
    lab.run(trials=8)
    first, again = Scorer(), Scorer()
    measured(lab, first)
    measured(lab, again)
    assert again.asked == []
    other = Scorer(("accuracy", 2, 3, "test", "twins-2"))
    assert len(measured(lab, other).protocols) == len(first.asked) + len(other.asked) == 2 * len(first.asked)


def test_an_interruption_keeps_what_was_measured(lab):
    lab.run(trials=8)

    class Stops(Scorer):
        def __call__(self, record, weights):
            if self.asked:
                raise KeyboardInterrupt
            return super().__call__(record, weights)

    with pytest.raises(KeyboardInterrupt):
        measured(lab, Stops())
    rest = Scorer()
    measured(lab, rest)
    assert len(load_study(lab.folder / "runs", "placement").protocols) == len(rest.asked) + 1


def test_a_study_can_ask_for_it_from_the_start(lab):
    scorer = Scorer()
    study = lab.run(trials=8, protocol=ACCURACY, score=scorer)
    assert len(study.protocols) == len(scorer.asked) >= 2
    lab.run(trials=8, protocol=ACCURACY, score=scorer)
    assert len(scorer.asked) == len(study.protocols)


def test_a_study_that_runs_or_keeps_no_weights_is_refused(lab):
    lab.run(trials=4)
    with study_lock(lab.folder / "runs" / "placement", "placement"), pytest.raises(UserError, match="is being run by"):
        measured(lab, Scorer())
    for path in (lab.folder / "runs").glob("placement/checkpoints/*/weights.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match="has no weights in"):
        measured(lab, Scorer())
    with pytest.raises(UserError, match="unknown study"):
        measure_study(lab.folder / "runs", "placemnt", ACCURACY, Scorer(), Console(quiet=True))
