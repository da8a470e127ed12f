"""The shipped recipe learns from Twins what no order-blind network can."""

from pathlib import Path

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.data import DataSettings
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.space import Space
from gsfnas.train import TrainSettings


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_gsf_everywhere_passes_the_bound_of_order_blind_networks(tmp_path: Path) -> None:
    data = DataSettings(val_clips=96, test_clips=480, cache=str(tmp_path / "cache"))
    backbone = backbone_ref("micro")
    sites = backbone_sites(backbone, data.resolution)
    space = Space("all", ({"module": "gsf", "ratio": 0.25},)).bind(
        backbone, sites, frames=data.frames, resolution=data.resolution
    )
    evaluator = TrainEvaluator(TrainSettings(epochs=6), data)
    evaluator.prepare(space, Context(tmp_path, "cpu", threads=1))
    *_, last = evaluator.evaluate(space.full, seed=0, budget=6)
    evaluator.close()
    # An order-blind network gives both members of a pair one answer, so at most half of its answers are right.
    assert last.metrics["test_top1"] > 0.6
