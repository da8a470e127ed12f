"""Equal to the published modules, on vectors recorded from them: those in ``tests/golden``, and more where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gsfnas.modules.gate_shift_fuse import GateShiftFuse

GOLDEN = Path(__file__).parents[2] / "golden"
SHIPPED = sorted(GOLDEN.glob("*.npz"))
# The larger ones, some with the running statistics (eval), are too large for the repository and may stand beside it.
MORE = Path(__file__).parents[4] / "shared" / "golden"
FILES = {path.stem: path for path in [*sorted(MORE.glob("*.npz")), *SHIPPED]}


def test_vectors_of_each_module_come_with_the_tests():
    assert [path.name.partition("_")[0] for path in SHIPPED] == ["gsf", "gsf", "gsm"]
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 300_000


@pytest.mark.parametrize("path", [pytest.param(FILES[name], id=name) for name in sorted(FILES)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
def test_outputs_gradients_and_statistics_are_the_published_ones(path, memory_format):
    with np.load(path) as file:
        case = {name: torch.from_numpy(file[name]) if file[name].ndim else file[name].item() for name in file}
    fuse = {"gsf": "learnable", "gsm": "sum"}[case["kind"]]
    module = GateShiftFuse(case["channels"], case["frames"], ratio=case["ratio_percent"] / 100, fuse=fuse)
    parameters = {"gate.weight": "gate_weight", "gate.bias": "gate_bias", "gate.norm.weight": "gate_bn_weight"}
    parameters |= {"gate.norm.bias": "gate_bn_bias"}
    state = {name: case[ours] for name, ours in parameters.items()}
    state |= {f"gate.norm.{name}": case[f"gate_bn_{name}"] for name in ("running_mean", "running_var")}
    expected = {name: case[f"grad_{ours}"] for name, ours in parameters.items()}
    if fuse == "learnable":
        for kind in ("weight", "bias"):
            state[f"fuse.{kind}"] = torch.cat([case[f"fuse_{kind}_{group}"] for group in range(2)])
            expected[f"fuse.{kind}"] = torch.cat([case[f"grad_fuse_{kind}_{group}"] for group in range(2)])
    state["gate.norm.num_batches_tracked"] = torch.tensor(0)
    module.load_state_dict(state)
    module.train(case["train"])

    x = case["x"].to(memory_format=memory_format).requires_grad_()
    y = module(x)
    y.backward(case["grad_y"])

    torch.testing.assert_close(y, case["y"], atol=1e-5, rtol=0)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(module.gate.norm, name), case[f"after_gate_bn_{name}"], atol=1e-5, rtol=0)
    assert relative(x.grad, case["grad_x"]) < 1e-4
    assert {name for name, _ in module.named_parameters()} == expected.keys()
    for name, parameter in module.named_parameters():
        assert relative(parameter.grad, expected[name]) < 1e-4, name


def relative(value, expected):
    return ((value - expected).abs().max() / expected.abs().max()).item()
