"""What a user asks becomes one canonical insertion, or one line that says why not."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.candidate import Insertion, Site
from gsfnas.errors import UserError
from gsfnas.modules import ModuleCost, label, resolve, spec_of
from gsfnas.modules.gate_shift_fuse import FAMILY, GateShiftFuseSpec, Options, shifted_channels

SITE = Site("layer1.0.conv1", "layer1.0.conv1", "layer1.0", "conv1", "after", 64, 28, 28)


def parameters(site=SITE, **asked):
    insertion = resolve(site, asked)
    return None if insertion is None else dict(insertion.parameters)


@pytest.mark.parametrize(
    ("channels", "ratio", "num_shifted"),
    [
        (64, 1, 64),
        (64, 0.25, 16),
        (64, 0.3, 16),
        (66, 1.0, 64),
        (6, 0.1, 4),
        (4, 1, 4),
        (7, 1, 4),
        (400, 0.29, 116),
        (576, 0.125, 72),
    ],
)
def test_shifted_channels_round_down_to_a_multiple_of_four(channels, ratio, num_shifted):
    assert shifted_channels(channels, ratio) == num_shifted


@given(st.integers(4, 4096), st.floats(0, 1, exclude_min=True))
def test_shifted_channels_are_some_and_not_more_than_asked(channels, ratio):
    num_shifted = shifted_channels(channels, ratio)
    assert num_shifted % 4 == 0
    assert num_shifted == 4 or 4 < num_shifted <= channels * ratio + 1e-6


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ({}, {"channels": 64}),
        ({"module": "gsf", "ratio": 0.25}, {"channels": 16}),
        ({"module": "gate_shift_fuse", "channels": 16, "gate": "learnable", "gate_norm": 1}, {"channels": 16}),
        ({"module": "gsm"}, {"channels": 64, "fuse": "sum"}),
        ({"module": "tsm", "ratio": 0.25}, {"channels": 16, "gate": "1", "fuse": "sum"}),
        ({"module": "tdn", "gate_norm": 0, "bias": 0}, {"channels": 64, "gate": "-1", "fuse": "sum"}),
        ({"module": "tsm", "interleave": 1}, {"channels": 64, "gate": "1", "fuse": "sum", "interleave": 1}),
        ({"module": "gate_shift_fuse", "gate": -1, "bias": 0}, {"channels": 64, "gate": "-1", "bias": 0}),
        ({"gate_norm": 0, "bias": 0, "interleave": 0}, {"channels": 64, "gate_norm": 0, "bias": 0, "interleave": 0}),
        ({"channels": 4, "interleave": 0}, {"channels": 4}),
        ({"module": "tsn"}, None),
        ({"module": "tsn", "channels": 4, "interleave": 1}, None),
        ({"module": "tsn", "interleave": 1}, {"channels": 64, "gate": "0", "fuse": "sum", "interleave": 1}),
    ],
)
def test_canonical_parameters(asked, canonical):
    assert parameters(**asked) == canonical


switches = st.fixed_dictionaries({}, optional={name: st.integers(0, 1) for name in ("gate_norm", "bias", "interleave")})


@given(st.sampled_from(sorted(FAMILY)), st.sampled_from([0.05, 0.25, 1.0]), switches)
def test_what_is_canonical_stays_so_and_what_is_written_out_is_not(module, ratio, chosen):
    insertion = resolve(SITE, {"module": module, "ratio": ratio, **chosen})
    if insertion is None:
        return
    spec = spec_of("gate_shift_fuse")
    assert spec.resolve(SITE, dict(insertion.parameters)) == insertion
    spec.check(SITE, insertion)
    with pytest.raises(UserError, match="not canonical"):
        spec.check(SITE, Insertion.of("gate_shift_fuse", {"gate": "learnable", **dict(insertion.parameters), "gate_norm": 1}))
    options = Options.of_insertion(insertion)
    assert (options.gate, options.fuse) == FAMILY[module]
    assert options.interleave == (options.num_shifted > 4 and chosen.get("interleave", options.gate == "learnable"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"module": "gsx"}, "unknown module 'gsx'; did you mean 'gs"),
        ({"ratios": 1}, "unknown parameter of gate_shift_fuse 'ratios'; did you mean 'ratio'?"),
        ({"ratio": 1.25}, r"layer1.0.conv1: `ratio` must be in \(0, 1\], but got 1.25"),
        ({"ratio": 0}, r"must be in \(0, 1\], but got 0"),
        ({"ratio": float("nan")}, r"must be in \(0, 1\], but got nan"),
        ({"ratio": True}, r"must be in \(0, 1\], but got True"),
        ({"channels": 18}, "`channels` must be a multiple of 4 from 4 to 64, but got 18"),
        ({"channels": 68}, "`channels` must be a multiple of 4 from 4 to 64, but got 68"),
        ({"channels": 16, "ratio": 0.5}, "give `ratio` or `channels`, not both"),
        ({"module": "tsm", "gate": 1}, "module 'tsm' fixes `gate` to 1"),
        ({"module": "gate_shift_fuse", "gate": 3}, "`gate` must be one of learnable, 1, -1, 0, but got 3"),
        ({"bias": 2}, "`bias` must be 0 or 1, but got 2"),
        ({"bias": []}, r"`bias` must be 0 or 1, but got \[\]"),
        ({"ratio": "half"}, r"must be in \(0, 1\], but got 'half'"),
        ({"ratio": 10**5000}, r"must be in \(0, 1\], but got a value of type int that is too large to be shown"),
        ({"channels": 10**5000}, "from 4 to 64, but got a value of type int"),
        ({"channels": True}, "from 4 to 64, but got True"),
        ({"channels": None}, "from 4 to 64, but got None"),
        ({"module": ["gsf"]}, r"`module` must be the name of a module, but got \['gsf'\]"),
        ({"module": None}, "`module` must be the name of a module, but got None"),
        ({1: 2}, "unknown parameter of gate_shift_fuse '1'"),
        ({"module": "gate_shift_fuse", "gate": [1]}, r"`gate` must be one of learnable, 1, -1, 0, but got \[1\]"),
        ({"module": "gate_shift_fuse", "gate": True}, "`gate` must be one of learnable, 1, -1, 0, but got True"),
        ({"module": "gate_shift_fuse", "fuse": 10**5000}, "`fuse` must be one of learnable, sum, but got a value of type int"),
    ],
)
def test_refusals_are_one_line(asked, message):
    with pytest.raises(UserError, match=message) as error:
        resolve(SITE, asked)
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def test_sites_that_cannot_take_it_are_refused():
    replace = Site("a", "a", "a", "conv1", "replace", 64, 7, 7)
    with pytest.raises(UserError, match="stands at sites of kind after or before, but a is of kind replace"):
        resolve(replace, {})
    with pytest.raises(UserError, match="two groups need at least 4 channels, but there are 3"):
        resolve(Site("a", "a", "a", "conv1", "after", 3, 7, 7), {})


@pytest.mark.parametrize("module", ["tsm", "tdn"])
def test_shifts_cost_nothing(module):
    insertion = resolve(SITE, {"module": module, "ratio": 0.25})
    assert GateShiftFuseSpec().cost(SITE, insertion, 8) == ModuleCost()


def test_cost_of_gsf_by_hand():
    """64 channels of 28 x 28 in 8 frames: 6,272 positions."""
    cost = GateShiftFuseSpec().cost(SITE, resolve(SITE, {}), 8)
    assert cost.params == 27 * 64 + 2 + 2 * 64 + 36 + 2
    assert cost.macs_fvcore == 6272 * 64 * (27 + 2) + 64 * 8 * 18
    assert cost.macs_ptflops == 6272 * (64 * (27 + 2 + 2) + 2) + 64 * 8 * 19
    assert cost.activations == 6272 * 2 + 64 * 8
    floats = 6272 * 64 + 6272 * 2 + 2 * 64 + 64 * 8 * 3
    assert cost.saved_bytes == 4 * floats


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"ratio": 0.25}, "gsf:16"),
        ({"module": "tsm", "interleave": 1}, "tsm:64,interleave=1"),
        ({"module": "gate_shift_fuse", "gate": 1}, "gate 1 fuse learnable:64"),
        ({"module": "tsn"}, "-"),
    ],
)
def test_labels(asked, text):
    assert label(resolve(SITE, asked)) == text


def test_no_torch_is_needed():
    code = "import sys, gsfnas.modules.gate_shift_fuse; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_candidate_names_the_operator_and_not_a_point_of_it():
    with pytest.raises(UserError, match="a candidate says 'tsm' as module gate_shift_fuse with gate 1, fuse sum"):
        spec_of("tsm")
