"""The figures' data, and that both drawings take it."""

import os
import subprocess
import sys

import matplotlib as mpl
import plotly.graph_objects as go
import pytest

from gsfnas.metrics import METRICS
from gsfnas.report import Figure, _matplotlib
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._style import module_colours, module_of
from gsfnas.report.sections import accuracy, curves, effects, strips
from gsfnas.testing import records as synthetic


def test_points_carry_front_names_and_spread() -> None:
    points = {point.names: point for point in accuracy.accuracy_points(StudyAnalysis(synthetic.hand_study()))}
    assert points["baseline",].spreads["test_top1"].seeds == 3
    assert points["best",].on_front
    assert not points["full",].on_front
    assert points["full",].spreads == {}
    assert points["best",].sites == "gsf:4 at layer2.1.conv1, gsf:8 at layer3.1.conv1"


def test_one_candidate_with_two_names_is_one_point() -> None:
    names = [point.names for point in accuracy.accuracy_points(StudyAnalysis(synthetic.anchors_study()))]
    assert names == [("full", "best"), ("baseline",)]


def test_strips_are_sorted_by_validation() -> None:
    rows = strips.strips(StudyAnalysis(synthetic.placement_study())).rows
    assert [strip.accuracy for strip in rows] == sorted((strip.accuracy for strip in rows), reverse=True)
    assert rows[-1].cells == ("",) * 8


def test_each_module_has_its_colour() -> None:
    colours = module_colours(StudyAnalysis(synthetic.multi_study()))
    assert list(colours)[:4] == ["gsf", "gsm", "tsm", "tdn"]
    assert len(set(colours.values())) == len(colours) == 6


def test_curves_hold_every_seed_of_the_named() -> None:
    found = curves.curves(StudyAnalysis(synthetic.placement_study()), "val_top1")
    assert [curve.name for curve in found if curve.is_first] == ["baseline", "full", "best"]
    assert len(found) == 9
    assert found[0].epochs == tuple(range(1, 9))


@pytest.mark.parametrize("study", [synthetic.placement_study(), synthetic.multi_study(), synthetic.anchors_study()])
def test_plotly_accepts_the_plots(study: synthetic.StudyRecord) -> None:
    analysis = StudyAnalysis(study)
    points = accuracy.accuracy_points(analysis)
    plot = accuracy.plot(points)
    go.Figure(plot)
    go.Figure(effects.plot(analysis.worth))
    go.Figure(curves.plot([(METRICS["val_top1"], curves.curves(analysis, "val_top1"))]))
    drawn = [
        key for trace in plot["data"] if trace.get("hovertemplate") and trace["xaxis"] == "x" for key in trace["customdata"]
    ]
    assert sorted(drawn) == sorted(point.key for point in points)


def test_the_front_is_drawn_on_validation() -> None:
    analysis = StudyAnalysis(synthetic.hand_study())
    front = accuracy.plot(accuracy.accuracy_points(analysis))["data"][0]
    assert front["name"] == "Pareto front"
    assert front["y"] == pytest.approx([30.0, 62.0])
    assert front["xaxis"] == "x"


def test_drawing_twice_gives_the_same_bytes_and_touches_no_setting() -> None:
    points = accuracy.accuracy_points(StudyAnalysis(synthetic.hand_study()))
    before = dict(mpl.rcParams)
    figure = Figure("accuracy", "", draw=lambda canvas: accuracy.draw(canvas, points, "a title"))
    first, again = _matplotlib.drawn(figure), _matplotlib.drawn(figure)
    assert dict(mpl.rcParams) == before
    assert set(first) == {".png", ".svg"}
    assert first == again


def test_drawing_chooses_no_backend() -> None:
    code = (
        "import os, matplotlib as mpl, gsfnas.report._matplotlib; assert mpl.rcParams._get_backend_or_none() in (None, 'agg')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(
    ("cell", "module"),
    [
        ("gsf:16", "gsf"),
        ("gate 1 fuse learnable:8,bias=0", "gate 1 fuse learnable"),
        ("temporal_pooling", "temporal_pooling"),
        ("my_file:SPEC", "my_file:SPEC"),
        ("my_file:SPEC:reduction=4", "my_file:SPEC"),
    ],
)
def test_the_module_of_a_label(cell, module):
    assert module_of(cell) == module
