import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.record import (
    Epoch,
    Latency,
    ProtocolScore,
    Record,
    best,
    end_attributes,
    epoch_attribute,
    from_attributes,
    latency_from_attributes,
    latency_to_attributes,
    pareto_front,
    protocol_from_attributes,
    protocol_to_attributes,
    start_attributes,
    to_attributes,
)

names = st.text("abcdefgh._/", min_size=1, max_size=8)
numbers = st.floats(-1e50, 1e50)
candidates = st.builds(
    lambda sites: Candidate(BackboneRef.of("micro", {"width": 1}), 8, 32, tuple(sorted(sites.items()))),
    st.dictionaries(
        names, st.builds(lambda channels: Insertion.of("gate_shift_fuse", {"channels": channels}), st.integers(4, 64))
    ),
)
metrics = st.dictionaries(names, numbers, max_size=4)
paths = names.map(lambda name: f"checkpoints/c-{name}").filter(lambda path: ".." not in path.split("/"))
curves = st.lists(st.builds(lambda metrics, path: (metrics, path), metrics, st.none() | paths), max_size=12).map(
    lambda items: tuple(Epoch(number, *item) for number, item in enumerate(items, start=1))
)
records = st.builds(
    Record,
    number=st.integers(0, 1000),
    candidate=candidates,
    phase=st.sampled_from(["anchor", "design", "search", "replicate"]),
    outcome=st.sampled_from(["complete", "failed", "running"]),
    seed=st.integers(0, 2**31),
    replicate=st.integers(0, 5),
    cost=st.dictionaries(names, st.integers(0, 10**15), max_size=5),
    metrics=metrics,
    curve=curves,
    error=st.none() | st.text(max_size=40),
    run_id=names,
    device=names,
    seconds=numbers,
    environment=names,
    configuration=names,
)


@given(records)
def test_a_record_comes_back_from_its_attributes_through_json(record):
    attributes = json.loads(json.dumps(to_attributes(record)))
    assert from_attributes(attributes, record.outcome) == record


@given(records)
def test_attributes_are_written_in_three_steps(record):
    steps = start_attributes(record) | dict(map(epoch_attribute, reversed(record.curve))) | end_attributes(record)
    assert from_attributes(steps, record.outcome) == record
    assert sum(name.startswith("epoch:") for name in steps) == len(record.curve)


def test_epochs_keep_their_order_past_a_thousand():
    names = [epoch_attribute(Epoch(number, {"val_top1": number / 2000}))[0] for number in (1, 12, 999, 1000)]
    assert names == ["epoch:001", "epoch:012", "epoch:999", "epoch:1000"]
    attributes = {name: {"metrics": {}, "checkpoint": None} for name in reversed(names)}
    record = from_attributes(start_attributes(make(0.5, 1)) | attributes, "running")
    assert [epoch.epoch for epoch in record.curve] == [1, 12, 999, 1000]


def test_a_latency_comes_back():
    latency = Latency("c1-0", 1.5, 1.0, 2.0, "cpu", 2, "float32")
    assert latency_from_attributes(json.loads(json.dumps(latency_to_attributes(latency)))) == latency


def make(top1, gmacs, outcome="complete", frames=8):
    candidate = Candidate(BackboneRef("micro"), frames, 32)
    values = {"val_top1": top1, "test_top1": 1 - top1} if outcome == "complete" else {}
    return Record(0, candidate, "search", outcome, 0, 0, {"macs_fvcore": int(gmacs * 1e9)}, values)


def values(record):
    """Validation top-1 and GMACs."""
    return record.value("val_top1"), record.value("macs_fvcore") / 1e9


def test_the_front_holds_what_none_dominates():
    records = [
        make(0.5, 2),
        make(0.4, 1),
        make(0.45, 3),
        make(0.5, 3),
        make(0.7, 5),
        make(0.9, 9, "failed"),
        make(0.4, 1, frames=4),
    ]
    assert [values(record) for record in pareto_front(records)] == [(0.4, 1), (0.4, 1), (0.5, 2), (0.7, 5)]
    assert pareto_front([]) == ()


@pytest.mark.parametrize(
    ("records", "expected"), [([make(0.5, 2), make(0.5, 1), make(0.4, 0.1)], (0.5, 1)), ([make(0, 1, "failed")], None)]
)
def test_the_best_has_the_highest_validation_accuracy_and_of_equals_the_lowest_cost(records, expected):
    found = best(records)
    assert (found and values(found)) == expected


def test_a_score_under_a_protocol_survives_a_storage():
    score = ProtocolScore(
        "c1-0", 3, "accuracy", 2, 3, "test", 960, 6 * 10**9, {"test_top1": 0.25, "test_top1.verb": 0.5}, "cpu"
    )
    assert protocol_from_attributes(json.loads(json.dumps(protocol_to_attributes(score)))) == score
