"""The closed form says what the counters say of the counting form, to the last digit."""

import io

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from hypothesis import given, settings
from hypothesis import strategies as st
from ptflops import get_model_complexity_info
from torch import nn

from gsfnas.candidate import Site
from gsfnas.modules.gate_shift_fuse import GateShiftFuseSpec

SPEC = GateShiftFuseSpec()

parameters = st.fixed_dictionaries(
    {
        "gate": st.sampled_from(["learnable", "1", "-1", "0"]),
        "fuse": st.sampled_from(["learnable", "sum"]),
        "ratio": st.sampled_from([0.125, 0.3, 0.5, 1.0]),
    },
    optional={name: st.integers(0, 1) for name in ("gate_norm", "bias", "interleave")},
)
sizes = st.tuples(st.integers(1, 6), st.integers(2, 6))


def case(channels, size, parameters, frames):
    site = Site("x", "x", "b", "r", "after", channels, *size)
    insertion = SPEC.resolve(site, parameters)
    if insertion is None:
        return None
    return SPEC.cost(site, insertion, frames), SPEC.build(site, insertion, frames)


class OneClip(nn.Module):
    """A clip as a batch of one: ptflops divides by the size of the batch."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, clip):
        return self.module(clip[0])


@settings(max_examples=40, deadline=None)
@given(channels=st.integers(4, 40), size=sizes, parameters=parameters, frames=st.integers(1, 9))
def test_parameters_operations_and_activations(channels, size, parameters, frames):
    made = case(channels, size, parameters, frames)
    if made is None:
        return
    cost, module = made
    form = module.counting_form()
    x = torch.zeros(frames, channels, *size)
    flops = FlopCountAnalysis(form, (x,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    activations = ActivationCountAnalysis(form, (x,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    macs, _ = get_model_complexity_info(
        OneClip(form), tuple(x.shape), as_strings=False, print_per_layer_stat=False, backend="pytorch", ost=io.StringIO()
    )
    assert cost.params == sum(p.numel() for p in module.parameters())
    assert cost.macs_fvcore == flops.total()
    assert cost.macs_ptflops == macs
    assert cost.activations == activations.total()


@settings(max_examples=40, deadline=None)
@given(channels=st.integers(4, 40), size=sizes, parameters=parameters, frames=st.integers(1, 9))
def test_saved_bytes(channels, size, parameters, frames):
    made = case(channels, size, parameters, frames)
    if made is None:
        return
    cost, module = made
    features = torch.randn(frames, channels, *size).requires_grad_() * 1
    parameters = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = module.train()(features)
    assert y.requires_grad
    assert cost.saved_bytes == sum(storage.nbytes() for storage in kept.values())


def test_the_papers_formula():
    """27 C parameters and 27 C H W T operations for the gates, 36 and 18 C T for the fusion (section 3.1; 36 C T is a slip)."""
    site = Site("x", "x", "b", "r", "after", 64, 28, 28)
    plain = {"gate_norm": 0, "bias": 0, "interleave": 0}
    cost = SPEC.cost(site, SPEC.resolve(site, plain), 8)
    assert cost.params == 27 * 64 + 36
    assert cost.macs_fvcore == 28 * 28 * 8 * 27 * 64 + 64 * 8 * 18
