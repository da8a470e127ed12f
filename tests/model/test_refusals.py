"""Candidates and heads that do not fit are refused."""

from dataclasses import replace

import pytest

from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model

GOOD = Candidate(BackboneRef("micro"), 2, 32, (("layer1.0.conv1", Insertion.of("gate_shift_fuse", {"channels": 4})),))


def holding(**parameters: int | str) -> Candidate:
    return replace(GOOD, insertions=(("layer1.0.conv1", Insertion.of("gate_shift_fuse", parameters)),))


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (replace(GOOD, backbone=BackboneRef("mikro")), "unknown backbone 'mikro'"),
        (
            replace(GOOD, backbone=BackboneRef("micro", (("width", "1"),))),
            "is not canonical: write 'micro'",
        ),
        (
            replace(GOOD, insertions=(("layer1.0.conv7", GOOD.insertions[0][1]),)),
            "unknown site of backbone micro 'layer1.0.conv7'",
        ),
        (replace(GOOD, insertions=(("layer1.0.conv1", Insertion("gsff")),)), "unknown module 'gsff'"),
        (holding(channels=4, fuse="learnable"), "is not canonical"),
        (holding(channels=4, gate="0", fuse="sum"), "is not canonical"),
        (holding(channels=20), "`channels` must be a multiple of 4 from 4 to 16, but got 20"),
        (holding(ratio=1), "is not canonical"),
    ],
)
def test_candidates_that_do_not_fit_are_refused_in_one_line(candidate: Candidate, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build_model(candidate)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "at least one head"),
        ({"class": 0}, "head 'class' must have a positive number of classes, but got 0"),
        ({"a.b": 3}, "a task's name must have no dot"),
    ],
)
def test_heads_that_cannot_be_are_refused(heads: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(GOOD, heads)
