"""Each sampler of ours passes the suite that strangers inherit, and a sampler that breaks a rule does not."""

import random
from dataclasses import dataclass, replace

import pytest

from gsfnas.samplers import (
    NSGA2,
    TPE,
    Anchors,
    Design,
    Grid,
    History,
    NamedCandidates,
    Proposal,
    Random,
    Replicates,
    ReplicatesOfAll,
    Sampler,
    chain,
)
from gsfnas.space import BoundRows
from gsfnas.study._scheduler import before_lag
from gsfnas.testing._small import default_chain, fake_record
from gsfnas.testing.fake import make_space
from gsfnas.testing.sampler import SamplerConformance


class TestTPE(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return TPE()


class TestNSGA2(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return NSGA2()


class TestRandom(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return Random()


class TestGrid(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return Grid()


def test_a_grid_may_ask_for_replicates_of_all():
    space = make_space(2)
    assert isinstance(chain(space, Grid(), 0.5)[-1], Replicates)
    assert isinstance(chain(space, Grid(replicate_all=True), 0.5)[-1], ReplicatesOfAll)


class TestAnchors(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return Anchors()

    @pytest.fixture
    def chain(self, sampler):
        return sampler, Random(), Replicates()


class TestDesign(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return Design(0.5)


class TestReplicates(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return Replicates()

    @pytest.fixture
    def chain(self, sampler):
        return Anchors(), Random(), sampler


@pytest.fixture
def rows():
    space = make_space(3)
    named = tuple((f"row {number}", candidate) for number, candidate in enumerate(space))
    return BoundRows(**vars(space) | {"rows": named})


class TestNamedCandidates(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return NamedCandidates()

    @pytest.fixture
    def space(self, rows):
        return rows

    @pytest.fixture
    def chain(self, sampler):
        return sampler, ReplicatesOfAll()


class TestReplicatesOfAll(TestNamedCandidates):
    @pytest.fixture
    def sampler(self):
        return ReplicatesOfAll()

    @pytest.fixture
    def chain(self, sampler):
        return NamedCandidates(), sampler


@dataclass
class InOrder(Sampler):
    """The space from its beginning to its end, with one of these faults."""

    fault: str = ""

    def propose(self, history, asked):
        candidates = list(history.space)
        seen = {proposal.candidate for proposal in asked}
        if self.fault == "repeats":
            return Proposal(candidates[0], 0, history.budget)
        if self.fault == "outside":
            return Proposal(next(one for one in make_space(9) if one not in seen), 0, history.budget)
        if self.fault == "without an end":
            return Proposal(history.space.empty, 1 + len(history.replicates), history.budget)
        if self.fault == "longer":
            return Proposal(candidates[-1], 0, history.budget + 1)
        if self.fault == "unknown replicate":
            return Proposal(candidates[-2], 1, history.budget)
        if self.fault == "silent":
            return None
        if self.fault == "chance":
            random.shuffle(candidates)
        if self.fault == "counts":
            self.count = getattr(self, "count", 0) + 1
            candidates = candidates[self.count % 2 :: 2]
        if self.fault == "place":
            candidates = candidates[:: -1 if any(one.seconds > 5 for one in history.records) else 1]
        if self.fault == "order of asked":
            candidates = candidates[:: -1 if asked and next(iter(asked)).candidate == history.space.full else 1]
        if self.fault == "takes away" and asked:
            asked.pop()
        return next((Proposal(one, 0, history.budget) for one in candidates if one not in seen), None)


class TestInOrder(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return InOrder()


SUITE = SamplerConformance()


def test_what_lies_within_the_lag_is_hidden_altogether():
    """Whatever a record says of its end: also how long it took, and where."""
    candidates = list(make_space())[:6]
    ended, begun = [], []
    for number, candidate in enumerate(candidates):
        ended.append(replace(fake_record(number, candidate), device="cuda:0", source="other"))
        begun.append(replace(fake_record(number, candidate, "running", epochs=0), error=None, seconds=0.0))
    known = before_lag(History(make_space(), 0, 6, 1, 3, tuple(ended)), 4)
    assert list(known.records) == [*ended[:2], *begun[2:]]


@pytest.mark.parametrize(
    ("fault", "test", "said"),
    [
        ("repeats", "test_it_proposes_what_is_in_the_space_and_nothing_twice", "once more"),
        ("outside", "test_it_proposes_what_is_in_the_space_and_nothing_twice", "not in the space"),
        ("longer", "test_it_proposes_what_is_in_the_space_and_nothing_twice", "epochs"),
        ("unknown replicate", "test_it_proposes_what_is_in_the_space_and_nothing_twice", "before the first"),
        ("silent", "test_it_proposes_what_is_in_the_space_and_nothing_twice", "never proposed"),
        ("without an end", "test_it_ends", "without end"),
        ("chance", "test_a_proposal_depends_on_the_history_alone", "proposes"),
        ("counts", "test_a_proposal_depends_on_the_history_alone", "proposes"),
        ("order of asked", "test_a_proposal_depends_on_the_history_alone", "proposes"),
        ("place", "test_it_ignores_time_and_machine", "how long runs took"),
        ("takes away", "test_it_does_not_change_its_arguments", "changed `asked`"),
    ],
)
def test_a_broken_sampler_fails(fault, test, said):
    sampler, space = InOrder(fault), make_space()
    with pytest.raises(AssertionError, match=said):
        getattr(SUITE, test)(sampler, default_chain(sampler), space)


def test_a_sampler_that_cannot_leave_its_process_fails():
    sampler = InOrder()
    sampler.helper = lambda: None
    with pytest.raises(Exception, match="pickle"):
        SUITE.test_it_can_be_pickled(sampler, default_chain(sampler), make_space())


def test_a_sampler_that_sees_too_much_depends_on_the_number_of_workers(tmp_path):
    class Watching(InOrder):
        sees = "now"

        def propose(self, history, asked):
            candidates = list(history.space)
            complete = sum(record.outcome == "complete" for record in history.records)
            seen = {proposal.candidate for proposal in asked}
            return next((Proposal(one, 0, history.budget) for one in candidates[complete:] if one not in seen), None)

    globals()["Watching"] = Watching
    Watching.__qualname__ = "Watching"
    with pytest.raises(AssertionError, match="number of workers"):
        SUITE.test_a_study_is_the_same_with_one_worker_and_with_three([Anchors(), Watching()], make_space(), tmp_path)
