import random
from dataclasses import replace

import pytest

from gsfnas.component import find
from gsfnas.record import Record
from gsfnas.samplers import SAMPLERS, History, anchors, chain, distinct_candidates
from gsfnas.study._scheduler import begun
from gsfnas.testing.fake import BUDGET, fake_price, make_space, metrics_of


def record_of(candidate, number=0, **changes):
    record = Record(
        number, candidate, "search", "complete", 0, 0, fake_price(candidate), metrics_of(candidate, 0, BUDGET, True)
    )
    return replace(record, **changes)


def history(space, records=(), seed=0, trials=10**6):
    return History(space, seed=seed, trials=trials, num_seeds=1, budget=BUDGET, records=tuple(records))


def propose(space, records, sampler="tpe", seed=0):
    """The first proposal of a study's samplers, and under which phase it is recorded."""
    known = history(space, records, seed)
    for one in chain(space, find(sampler, SAMPLERS, "sampler")(), 0.5):
        proposal = one.propose(known, begun(known))
        if proposal is not None:
            return proposal.candidate, one.phase
    return None


def some_records(space, number, seed=0):
    generator = random.Random(seed)
    candidates = dict.fromkeys([*anchors(space), *(space.sample(generator) for _ in range(200))])
    return [record_of(candidate, index) for index, candidate in enumerate(list(candidates)[:number])]


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_proposals_are_new_and_in_the_space_until_it_is_exhausted(sampler):
    space = make_space(4)
    records = []
    while (proposal := propose(space, records, sampler)) is not None:
        candidate, phase = proposal
        assert candidate in space
        assert candidate not in {record.candidate for record in records}
        assert phase == ("anchor" if candidate in anchors(space) else "search")
        records.append(record_of(candidate, len(records)))
    assert len(records) == space.size == 16


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_a_proposal_follows_from_seed_and_records_alone(sampler):
    space = make_space(8)
    records = some_records(space, 12)
    first = propose(space, records, sampler)
    assert first == propose(space, records, sampler)
    others = {propose(space, records, sampler, seed)[0].key for seed in range(8)}
    assert len(others) > 1


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_samplers_learn_from_the_records(sampler):
    # Accuracy is one site's doing and costs nothing: proposals must come to hold that site.
    space = make_space(10)
    held = [
        replace(
            record, metrics={"val_top1": 0.9 if "s3" in dict(record.candidate.insertions) else 0.1}, cost={"macs_fvcore": 1}
        )
        for record in some_records(space, 40)
    ]
    proposals = [propose(space, held, sampler, seed)[0] for seed in range(20)]
    assert sum("s3" in dict(candidate.insertions) for candidate in proposals) >= 15


def test_failed_and_running_candidates_are_not_proposed_again():
    space = make_space(2)
    records = [
        record_of(c, i, outcome=o, metrics={})
        for i, (c, o) in enumerate(zip(space, ["failed", "running", "failed"], strict=False))
    ]
    candidate, _ = propose(space, records)
    assert candidate not in {record.candidate for record in records}


def test_an_empty_candidate_outside_the_space_is_evaluated_too():
    space = make_space(2, (0.25, 0.5), optional=False)
    assert space.empty not in space
    assert distinct_candidates(space) == space.size + 1 == 5
    records = []
    while (proposal := propose(space, records)) is not None:
        records.append(record_of(proposal[0], len(records)))
    assert records[0].candidate == space.empty
    assert len({record.candidate for record in records}) == 5


def test_a_huge_space_is_proposed_from_at_once():
    space = make_space(60, (0.25, 0.5, 0.75))
    assert space.size > 10**30
    assert propose(space, some_records(space, 5))[1] == "search"
