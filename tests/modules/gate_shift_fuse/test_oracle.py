"""Equal to equations 1 to 10, whatever the shape, the gate, the fusion and the switches."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Parameters, gate_shift_fuse

from gsfnas.modules.gate_shift_fuse import GateShiftFuse

switch = st.booleans()


@settings(max_examples=60, deadline=None)
@given(
    clips=st.integers(1, 2),
    frames=st.integers(1, 4),
    quarters=st.integers(1, 3),
    untouched=st.integers(0, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    gate=st.sampled_from(["learnable", "1", "-1", "0"]),
    fuse=st.sampled_from(["learnable", "sum"]),
    gate_norm=switch,
    bias=switch,
    interleave=switch,
    channels_last=switch,
    seed=st.integers(0, 2**31),
)
def test_equations(clips, frames, quarters, untouched, size, gate, fuse, gate_norm, bias, interleave, channels_last, seed):
    random = np.random.default_rng(seed)
    num_shifted = 4 * quarters
    channels = num_shifted + untouched
    parameters = Parameters()
    if gate == "learnable":
        parameters.gate_weight = random.normal(size=(2, num_shifted // 2, 3, 3, 3), scale=0.3)
        parameters.gate_bias = random.normal(size=2) if bias else None
        if gate_norm:
            parameters.norm = (*random.normal(size=(3, num_shifted)), random.uniform(0.5, 2, num_shifted))
    if fuse == "learnable":
        parameters.fuse_weight = random.normal(size=(2, 2, 3, 3))
        parameters.fuse_bias = random.normal(size=2) if bias else None
    switches = {"gate_norm": gate_norm, "bias": bias, "interleave": interleave}
    module = GateShiftFuse(channels, frames, num_shifted=num_shifted, gate=gate, fuse=fuse, **switches).double().eval()
    module.load_state_dict(state_of(parameters))

    x = random.normal(size=(clips, channels, frames, *size))
    nchw = torch.from_numpy(x.swapaxes(1, 2).reshape(clips * frames, channels, *size).copy())
    if channels_last:
        nchw = nchw.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        y = module(nchw).unflatten(0, (clips, frames)).transpose(1, 2).numpy()

    np.testing.assert_allclose(y, gate_shift_fuse(x, num_shifted, gate, fuse, interleave, parameters), atol=1e-10)


def state_of(parameters):
    state = {}
    if parameters.gate_weight is not None:
        state["gate.weight"] = parameters.gate_weight
    if parameters.gate_bias is not None:
        state["gate.bias"] = parameters.gate_bias
    if parameters.norm is not None:
        names = ("weight", "bias", "running_mean", "running_var")
        state |= {f"gate.norm.{name}": value for name, value in zip(names, parameters.norm, strict=True)}
        state["gate.norm.num_batches_tracked"] = np.array(0)
    if parameters.fuse_weight is not None:
        state["fuse.weight"] = parameters.fuse_weight
    if parameters.fuse_bias is not None:
        state["fuse.bias"] = parameters.fuse_bias
    return {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}
