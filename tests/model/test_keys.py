"""Equal keys exactly for equal networks."""

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from space._bind import bound
from torch import Tensor

from gsfnas.candidate import Candidate
from gsfnas.model import build_model

from .nets import clips, perturbed

PERTURBED = {"sites": {"role": ["conv1", "conv2"]}}

EVERYTHING = [
    {"module": "gate_shift_fuse", "gate": ["learnable", 1, -1, 0], "fuse": ["learnable", "sum"], "ratio": [0.25, 0.5, 1.0]},
    {"module": "gsf", "gate_norm": [0, 1], "bias": [0, 1], "interleave": [0, 1]},
    {"module": ["tsm", "gsm"], "interleave": [0, 1]},
]


def logits_of(candidate: Candidate) -> Tensor:
    model = perturbed(build_model(candidate, {"class": 5}, seed=1)).double()
    with torch.no_grad():
        logits: Tensor = model(clips(candidate).double())["class"]
    return logits


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=25, deadline=None)
def test_equal_keys_exactly_for_equal_networks(seed: int, near: bool) -> None:
    """Two points, or a point and a neighbour, of a space with every module at every site of a network of 8 to 32 channels."""
    space = bound(PERTURBED | {"insertions": EVERYTHING}, frames=3, width=0.5)
    generator = random.Random(seed)
    one = space.sample(generator)
    site = generator.choice(space.sites).name
    index = generator.randrange(len(dict(zip([s.name for s in space.sites], space.options, strict=True))[site]))
    other = space.decode({**space.encode(one), site: index}) if near else space.sample(generator)
    assert torch.equal(logits_of(one), logits_of(other)) is (one.key == other.key)
    assert torch.equal(logits_of(one), logits_of(Candidate.from_json(one.to_json())))


def test_every_choice_at_one_site_is_another_network() -> None:
    space = bound({"sites": {"pattern": "layer2.1.conv1"}, "insertions": EVERYTHING}, frames=3)
    outputs = [logits_of(candidate) for candidate in space]
    assert space.size > 20
    assert len({tuple(output.flatten().tolist()) for output in outputs}) == space.size
