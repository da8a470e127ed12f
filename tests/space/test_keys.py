"""Keys are written into every study: a reviewed file holds some of them, so that none changes unnoticed.

``python tests/space/test_keys.py`` writes the file anew; a change in it means that ``KEY_VERSION`` must change too.
"""

import json
from pathlib import Path
from typing import Any

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.modules import resolve

GOLDEN = Path(__file__).parents[1] / "golden_keys.json"

GSF = {"module": "gsf", "ratio": 0.25}
# What is asked for: backbone, options, frames, resolution, {site: module}.
EQUATIONS = {"module": "gsf", "gate_norm": 0, "bias": 0, "interleave": 0}
ASKED: dict[str, tuple[str, dict[str, Any], int, int, dict[str, dict[str, Any]]]] = {
    "micro, nothing": ("micro", {}, 8, 32, {}),
    "micro, width 0.5": ("micro", {"width": 0.5}, 8, 32, {}),
    "micro, one GSF": ("micro", {}, 8, 32, {"layer2.0.conv1": GSF}),
    "micro, published TSM": ("micro", {}, 8, 32, {"layer2.0.conv1.before": {"module": "tsm", "ratio": 0.25}}),
    "micro, the family": (
        "micro",
        {},
        8,
        32,
        {
            "layer1.0.conv1": {"module": "gsf"},
            "layer1.1.conv1": {"module": "gsm"},
            "layer1.2.conv1": {"module": "tsm"},
            "layer2.0.conv1": {"module": "tdn"},
            "layer2.1.conv1": {"module": "tsn"},
            "layer2.2.conv1": {"module": "gate_shift_fuse", "gate": 0, "fuse": "learnable"},
        },
    ),
    "micro, the equations": (
        "micro",
        {},
        8,
        32,
        {"layer3.1.conv2": EQUATIONS},
    ),
    "micro_bottleneck, nothing": ("micro_bottleneck", {}, 8, 32, {}),
    "bninception, 4c": ("bninception", {}, 8, 224, {"4c.1x1": {"module": "gsf", "ratio": 1.0}}),
    "bninception, width 0.25": ("bninception", {"width": "0.25"}, 8, 64, {"3c.3x3_reduce": GSF}),
    "inception_v3, published": ("inception_v3", {}, 8, 229, {"mixed_8.3x3_reduce": {"module": "gsf", "ratio": 1.0}}),
    "resnet50, one GSF of table 4": ("resnet50", {}, 8, 224, {"layer3.2.conv3": GSF}),
    "convnext_nano": ("convnext_nano", {}, 16, 224, {"stages.0.blocks.0.conv_dw": GSF}),
}


def keys() -> dict[str, dict[str, Any]]:
    found = {}
    for name, (backbone, options, frames, resolution, modules) in ASKED.items():
        ref = backbone_ref(backbone, options)
        sites = {site.name: site for site in backbone_sites(ref, resolution)} if modules else {}
        held = {site: resolve(sites[site], module) for site, module in modules.items()}
        insertions = tuple((site, insertion) for site, insertion in held.items() if insertion is not None)
        candidate = Candidate(ref, frames, resolution, insertions)
        found[name] = {"key": candidate.key, "candidate": candidate.to_dict()}
    return found


def test_keys_are_those_of_the_reviewed_file() -> None:
    assert keys() == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys(), indent=1) + "\n")
