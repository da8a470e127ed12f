"""Which tensors fit a network: all that are its own, those with axes of length 1 too many or too few, and no others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate, Insertion
from gsfnas.model import build_model
from gsfnas.weights import match

GSF = Insertion.of("gate_shift_fuse", {"channels": 4})
NETWORK = build_model(Candidate(backbone_ref("micro", {"width": 0.25}), 2, 16, (("layer1.0.conv1", GSF),)), {"class": 3})
STATE = NETWORK.state_dict()
COUNTED = [name for name in STATE if not name.endswith("num_batches_tracked")]


@given(st.sets(st.sampled_from(sorted(STATE))))
@settings(max_examples=50, deadline=None)
def test_any_part_of_a_networks_own_state_is_matched_and_the_rest_is_missing(names):
    found = match({name: STATE[name] for name in STATE if name in names}, NETWORK)
    assert found.matched == tuple(name for name in STATE if name in names)
    assert found.missing == tuple(name for name in COUNTED if name not in names)
    assert (found.reshaped, found.left_over) == ((), ())
    assert all(tensor is STATE[name] for name, tensor in found.tensors.items())


@given(st.sets(st.sampled_from(sorted(COUNTED))))
@settings(max_examples=50, deadline=None)
def test_an_axis_of_length_1_too_many_is_taken_away(names):
    found = match({name: tensor[None] if name in names else tensor for name, tensor in STATE.items()}, NETWORK)
    assert set(found.reshaped) == names
    assert set(found.matched) == STATE.keys() - names
    assert (found.missing, found.left_over) == ((), ())
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in found.tensors.items())


def test_an_axis_of_length_1_too_few_is_put_back():
    network = torch.nn.Conv2d(3, 4, 1, bias=False)
    weight = torch.randn(4, 3)
    found = match({"weight": weight}, network)
    assert found.reshaped == ("weight",)
    assert torch.equal(found.tensors["weight"], weight[..., None, None])


@pytest.mark.parametrize("shape", [(3, 4), (4, 4), (12,), (2, 6)])
def test_a_tensor_of_another_shape_is_left_over_and_missing(shape):
    found = match({"weight": torch.ones(shape), "bias": torch.ones(4)}, torch.nn.Linear(3, 4))
    assert found.left_over == (f"weight (of shape {shape}, not (4, 3))",)
    assert (found.matched, found.missing) == (("bias",), ("weight",))


def test_a_summary_counts_what_became_of_each_tensor():
    state = {"weight": torch.ones(4, 3, 1), "scale": torch.ones(1), "shift": torch.ones(1)}
    found = match(state, torch.nn.Linear(3, 4))
    assert found.summary() == "0 tensors matched, 1 reshaped, 1 missing, 2 left over"
