"""A candidate as a value: order, JSON, keys, refusals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
values = st.integers(-(2**40), 2**40) | names
options = st.dictionaries(names.filter(lambda name: name not in ("name", "module")), values, max_size=3)
insertions = st.builds(Insertion.of, names, options)
candidates = st.builds(
    lambda name, chosen, frames, resolution, held: Candidate(
        BackboneRef.of(name, chosen), frames, resolution, tuple(held.items())
    ),
    names,
    options,
    st.integers(1, 64),
    st.integers(1, 512),
    st.dictionaries(names, insertions, max_size=4),
)
GOOD: dict[str, Any] = {
    "backbone": {"name": "micro"},
    "frames": 8,
    "resolution": 32,
    "insertions": {"layer1.0.conv1": {"module": "gate_shift_fuse", "channels": 4}},
}


@given(candidates)
def test_json_round_trip(candidate: Candidate) -> None:
    again = Candidate.from_json(candidate.to_json())
    assert again == candidate
    assert again.key == candidate.key
    assert "\n" not in candidate.to_json()


@given(candidates, candidates)
def test_keys_are_equal_exactly_for_equal_candidates(one: Candidate, other: Candidate) -> None:
    assert (one.key == other.key) == (one == other)


@given(candidates)
def test_the_order_in_which_sites_are_named_does_not_matter(candidate: Candidate) -> None:
    backwards = Candidate(candidate.backbone, candidate.frames, candidate.resolution, candidate.insertions[::-1])
    assert (backwards, backwards.key, hash(backwards)) == (candidate, candidate.key, hash(candidate))


@given(candidates)
def test_fields_of_the_json_may_come_in_any_order(candidate: Candidate) -> None:
    shuffled = json.dumps(dict(reversed(list(candidate.to_dict().items()))), indent=2)
    assert Candidate.from_json(shuffled).key == candidate.key


def test_candidates_can_be_sorted() -> None:
    plain = Candidate(BackboneRef("micro"), 8, 32)
    assert sorted([Candidate.from_dict(GOOD), plain]) == [plain, Candidate.from_dict(GOOD)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a candidate must be JSON, but Expecting property name"),
        ("[]", "a candidate must be a JSON object, but got list"),
        ("[" * 10_000, "a candidate must be JSON of a few levels and short numbers"),
        (f'{{"frames": {"9" * 5000}}}', "a candidate must be JSON of a few levels and short numbers"),
        ("{}", r"this one lacks \['backbone', 'frames', 'resolution'\]"),
    ],
)
def test_texts_that_are_no_candidate_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        Candidate.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": {}}, r"has unknown fields \['sites'\]"),
        ({"backbone": "micro"}, "backbone must be an object with a 'name', but got 'micro'"),
        ({"backbone": {"name": "micro", "width": 0.5}}, "backbone: `width` must be an integer or a string, but got 0.5"),
        ({"frames": 0}, "`frames` must be at least 1, but got 0"),
        ({"frames": 4097}, "`frames` must be at most 4096, but got 4097"),
        ({"resolution": 10**30}, "`resolution` must be at most 4096, but got 1000"),
        (
            {"backbone": {"name": ["a" * 10**6]}},
            r"backbone must be an object with a 'name', but got \{'name': .{80,100} \.\.\.$",
        ),
        ({"frames": True}, "`frames` must be an integer, but got True"),
        ({"frames": "8"}, "`frames` must be an integer, but got '8'"),
        ({"resolution": -1}, "`resolution` must be at least 1, but got -1"),
        ({"insertions": []}, "`insertions` must map site names to modules, but got list"),
        ({"insertions": {"a": {"channels": 4}}}, "insertion at 'a' must be an object with a 'module'"),
        ({"insertions": {"a": {"module": "gsf", "ratio": 0.5}}}, "insertion at 'a': `ratio` must be an integer or a string"),
    ],
)
def test_wrong_fields_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Candidate.from_dict(GOOD | change)


def test_one_site_cannot_hold_two_modules() -> None:
    first, second = (Insertion.of("gate_shift_fuse", {"channels": channels}) for channels in (4, 8))
    with pytest.raises(UserError, match="site 'a' is named twice"):
        Candidate(BackboneRef("micro"), 8, 32, (("a", first), ("a", second)))
    with pytest.raises(UserError, match="'a' is named twice"):
        Candidate.from_json('{"insertions": {"a": {"module": "x"}, "a": {"module": "y"}}}')
