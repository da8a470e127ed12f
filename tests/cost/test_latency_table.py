"""The table of latencies: each part is measured once for a device, kept on disk, and summed for any candidate."""

import json
import math
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.cost import LatencyTable, _latency_table
from gsfnas.cost._latency_table import Conditions, parts_of, read_table, write_table
from gsfnas.space import Space

HEADS = (("class", 5),)
BACKBONE = backbone_ref("micro")


@pytest.fixture
def space():
    values = {"name": "small", "optional": True, "insertions": [{"module": "gsf", "ratio": [0.5, 1.0]}, {"module": "tsm"}]}
    sites = [site for site in backbone_sites(BACKBONE, 32) if site.is_default]
    return Space.from_dict(values).bind(BACKBONE, tuple(sites[:2]), frames=2, resolution=32)


@pytest.fixture
def clock(monkeypatch):
    """Passes take 10 ms, and 1 ms for each module; every other pass takes long. Networks are counted."""
    built = []

    def build(candidate, heads):
        built.append(candidate)
        network = nn.Identity()
        network.modules_held = len(candidate.insertions)
        return network

    passes = 0

    def times(model, clips, runs, *at_most):
        nonlocal passes
        found = []
        for _ in range(runs):
            passes += 1
            found.append(10.0 + model.modules_held + 50.0 * (passes % 7 in (2, 3, 4)))
        return found

    monkeypatch.setattr(_latency_table, "build_model", build)
    monkeypatch.setattr("gsfnas.cost._latency._clock_times", times)
    return built


def test_a_candidate_takes_the_sum_of_its_parts(space, clock, tmp_path):
    said = []
    estimate = LatencyTable(HEADS, "cpu", tmp_path).estimate(space, said.append)
    for candidate in space:
        assert estimate(candidate) == {"latency_estimate_ms": pytest.approx(10 + len(candidate.insertions))}
    assert said[0].startswith("measuring the latency of 7 parts of the networks, for latency_estimate_ms (cpu (")
    assert pickle.loads(pickle.dumps(estimate))(space.full) == estimate(space.full)


def test_estimates_are_exact_sums_of_rounded_parts(space, clock, tmp_path, monkeypatch):
    """So that a space can be bounded by them with small integers, and the order of the sites changes no estimate."""
    table = LatencyTable(HEADS, "cpu", tmp_path)
    monkeypatch.setattr(LatencyTable, "_part", lambda self, plain, one: _latency_table._Measured(0.1 + 1 / 3, True))
    estimate = table.estimate(space, print)
    assert estimate.backbone_ms == round((0.1 + 1 / 3) * 1024) / 1024
    assert {value * 1024 % 1 for value in estimate.to_json().values()} == {0.0}


def test_a_part_is_measured_once(space, clock, tmp_path):
    table = LatencyTable(HEADS, "cpu", tmp_path)
    narrow = replace(space, options=(space.options[0], (None,)))
    first = table.estimate(narrow, print)
    # The plain network alone, then each insertion beside the plain network.
    assert len(clock) == 1 + 2 * 3
    whole = table.estimate(space, print)
    assert len(clock) == 1 + 2 * 6
    said = []
    assert LatencyTable(HEADS, "cpu", tmp_path).estimate(space, said.append) == whole
    assert len(clock) == 1 + 2 * 6
    assert said == []
    assert {part: whole.added_ms[part] for part in first.added_ms} == first.added_ms


def test_other_heads_and_other_conditions_are_other_measurements(space, clock, tmp_path, monkeypatch):
    LatencyTable(HEADS, "cpu", tmp_path).estimate(space, print)
    before = len(clock)
    LatencyTable((("class", 6),), "cpu", tmp_path).estimate(space, print)
    assert len(clock) == 2 * before
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    table = LatencyTable(HEADS, "cpu", tmp_path)
    assert "77 threads, float32" in str(table.conditions)
    table.estimate(space, print)
    assert len(clock) == 3 * before
    assert len(list((tmp_path / "latency").iterdir())) == 2


def test_the_cache_is_where_that_of_the_data_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert LatencyTable(HEADS, "cpu").path.parent == tmp_path / "gsfnas" / "latency"


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: "{",
        lambda values: "[]",
        lambda values: json.dumps(values | {"format": 1}),
        lambda values: json.dumps(values | {"conditions": values["conditions"] | {"threads": 99}}),
        lambda values: json.dumps(values | {"milliseconds": [1]}),
        lambda values: json.dumps(values | {"milliseconds": dict.fromkeys(values["milliseconds"], "1")}),
        lambda values: json.dumps(values | {"milliseconds": dict.fromkeys(values["milliseconds"], float("nan"))}),
        lambda values: json.dumps({"format": 2, "conditions": values["conditions"]}),
    ],
)
def test_a_damaged_table_is_measured_again(space, clock, tmp_path, damage):
    table = LatencyTable(HEADS, "cpu", tmp_path)
    estimate = table.estimate(space, print)
    before = len(clock)
    table.path.write_text(damage(json.loads(table.path.read_text())))
    assert table.estimate(space, print) == estimate
    assert len(clock) == 2 * before
    assert read_table(table.path, table.conditions)


def test_what_another_process_has_measured_stays(space, clock, tmp_path, monkeypatch):
    table = LatencyTable(HEADS, "cpu", tmp_path)
    measure = LatencyTable._part

    def meanwhile(self, plain, candidate):
        write_table(self.path, self.conditions, {self._name(candidate): 123.0})
        return measure(self, plain, candidate)

    monkeypatch.setattr(LatencyTable, "_part", meanwhile)
    narrow = replace(space, options=((None, space.options[0][1]), (None,)))
    assert set(table.estimate(narrow, print).added_ms.values()) == {123.0}


def test_what_is_measured_is_kept_when_it_is_interrupted(space, clock, tmp_path, monkeypatch):
    measure, calls = LatencyTable._part, []

    def interrupted(self, plain, candidate):
        calls.append(candidate)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(self, plain, candidate)

    monkeypatch.setattr(LatencyTable, "_part", interrupted)
    table = LatencyTable(HEADS, "cpu", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        table.estimate(space, print)
    assert len(read_table(table.path, table.conditions)) == 2
    table.estimate(space, print)
    assert len(calls) == 3 + 5


def test_a_busy_machine_is_said(space, clock, tmp_path, monkeypatch):
    said = []
    LatencyTable(HEADS, "cpu", tmp_path).estimate(space, said.append)
    assert len(said) == 1
    monkeypatch.setattr(_latency_table, "_PATIENCE", 0.0)
    monkeypatch.setattr(_latency_table, "_DISTURBED", 1.0)
    table = LatencyTable(HEADS, "cpu", tmp_path / "again")
    table.estimate(space, said.append)
    assert said[-1].startswith("the estimates are rough: something else was running on this machine, which disturbed 7 of 7")
    assert said[-1].endswith("another study measures these again")
    assert read_table(table.path, table.conditions) == {}


def test_a_device_that_is_slower_for_a_while_is_so_for_both(space, tmp_path, monkeypatch):
    """What a module adds is a share of the plain network's time."""
    monkeypatch.setattr(
        LatencyTable, "_passes", lambda self, *candidates: [(2.0,)] if len(candidates) == 1 else [(300.0,), (450.0,)]
    )
    estimate = LatencyTable(HEADS, "cpu", tmp_path).estimate(space, print)
    assert estimate.backbone_ms == 2.0
    assert set(estimate.added_ms.values()) == {1.0}


def test_shares_of_a_disturbed_time_are_not_kept(space, tmp_path, monkeypatch):
    def passes(self, *candidates):
        return [(2.0, 9.0, 9.0)] if len(candidates) == 1 else [(2.0,) * 3, (3.0,) * 3]

    monkeypatch.setattr(LatencyTable, "_passes", passes)
    table = LatencyTable(HEADS, "cpu", tmp_path)
    assert set(table.estimate(space, print).added_ms.values()) == {1.0}
    assert read_table(table.path, table.conditions) == {}


def test_a_cache_that_cannot_be_written_is_said(space, clock, tmp_path):
    (tmp_path / "latency").write_text("a file in the way")
    said = []
    estimate = LatencyTable(HEADS, "cpu", tmp_path).estimate(space, said.append)
    assert estimate(space.empty) == {"latency_estimate_ms": 10.0}
    assert "are measured again next time: cannot write" in said[-1]


def test_a_space_needs_the_parts_of_its_candidates(space):
    parts = parts_of(space)
    assert len(parts) == len(set(parts)) == 6
    assert {site for site, _ in parts} == {site.name for site in space.sites}
    first, second = (site.name for site in space.sites)
    rows = {"a": [], "b": [{"pattern": first, "module": "tsm"}], "c": [{"pattern": [first, second], "module": "tsm"}]}
    listed = Space.from_dict({"rows": rows}).bind(BACKBONE, backbone_sites(BACKBONE, 32), frames=2, resolution=32)
    assert {site for site, _ in parts_of(listed)} == {first, second}
    assert len(parts_of(listed)) == 2


def test_a_real_network_is_measured(space, tmp_path):
    """That modules add time is no test's to say: beside other work they may seem to take some away."""
    estimate = LatencyTable(HEADS, "cpu", tmp_path).estimate(space, print)
    assert 0 < estimate.backbone_ms < math.inf
    assert estimate.added_ms
    assert all(math.isfinite(added) for added in estimate.added_ms.values())
    assert Conditions.here("cpu").device.startswith("cpu (")
