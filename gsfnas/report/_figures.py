"""What the figures show, as data; drawn for the eye in ``_matplotlib`` (PNG, SVG) and ``_plotly`` (the page)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.report._analysis import Spread, StudyAnalysis
from gsfnas.spec import FAMILY, label

# Okabe and Ito's palette, told apart with any colour vision, in mid tones that read on white and on black.
PALETTE = ("#2a83c4", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b5a815")
PHASES: Mapping[str, tuple[str, str]] = {
    "anchor": ("anchor", "#7f7f7f"),
    "design": ("balanced design", "#2a83c4"),
    "search": ("sampler", "#e69f00"),
    "row": ("row", "#2a83c4"),
}
FRONT_COLOUR = "#d55e00"
# The three candidates that every search names, in the learning curves.
NAMED: Mapping[str, str] = {"baseline": "#7f7f7f", "full": "#2a83c4", "best": "#d55e00"}
MAX_STRIPS = 60


@dataclass(frozen=True)
class Point:
    """One candidate; accuracies are fractions of its first seed, ``spreads`` those of several seeds where there are."""

    key: str
    names: tuple[str, ...]
    phase: str
    gmacs: float
    accuracy: Mapping[str, float]
    spreads: Mapping[str, Spread]
    on_front: bool
    sites: str


@dataclass(frozen=True)
class Strip:
    """One candidate as a row: one cell a site in depth order, the module's label or nothing."""

    key: str
    names: tuple[str, ...]
    val_top1: float
    gmacs: float
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """One metric of one run over its epochs; the first seed is drawn strong, the others faint."""

    name: str
    metric: str
    is_first: bool
    epochs: tuple[int, ...]
    values: tuple[float, ...]


def accuracy_points(analysis: StudyAnalysis) -> tuple[Point, ...]:
    """Every complete candidate, best first."""
    front = {record.candidate.key for record in analysis.front}
    return tuple(
        Point(
            key=record.candidate.key,
            names=analysis.titles(record),
            phase=record.phase,
            gmacs=record.gmacs,
            accuracy={name: record.metrics[name] for name in ("val_top1", "test_top1") if name in record.metrics},
            spreads={
                name: spread
                for name in ("val_top1", "test_top1")
                if (spread := analysis.spread(record, name)) is not None and spread.std is not None
            },
            on_front=record.candidate.key in front,
            sites=", ".join(f"{label(insertion)} at {site}" for site, insertion in record.candidate.insertions) or "no module",
        )
        for record in analysis.ranked
    )


def strips(analysis: StudyAnalysis) -> tuple[Strip, ...]:
    """The best ``MAX_STRIPS`` candidates, best first."""
    return tuple(
        Strip(
            key=record.candidate.key,
            names=analysis.titles(record),
            val_top1=record.top1,
            gmacs=record.gmacs,
            cells=strip_of(record.candidate, analysis.sites),
        )
        for record in analysis.ranked[:MAX_STRIPS]
    )


def curves(analysis: StudyAnalysis, metric: str) -> tuple[Curve, ...]:
    """Those of the named candidates, each candidate once, under all its names."""
    found = []
    drawn: set[str] = set()
    for record in analysis.titled.values():
        if record.candidate.key in drawn:
            continue
        drawn.add(record.candidate.key)
        name = " = ".join(analysis.titles(record))
        again = [one for one in analysis.study.replicates if one.candidate.key == record.candidate.key]
        for run in (record, *again):
            epochs = [epoch for epoch in run.curve if metric in epoch.metrics]
            if epochs:
                values = tuple(epoch.metrics[metric] for epoch in epochs)
                found.append(Curve(name, metric, run is record, tuple(epoch.epoch for epoch in epochs), values))
    return tuple(found)


def strip_of(candidate: Candidate, sites: Sequence[str]) -> tuple[str, ...]:
    """The module's label at each site, empty where nothing stands."""
    held = dict(candidate.insertions)
    return tuple(label(held[site]) if site in held else "" for site in sites)


def module_of(cell: str) -> str:
    """The module's name in a label: ``gsf`` in ``gsf:16``."""
    return cell.rpartition(":")[0]


def module_colours(analysis: StudyAnalysis) -> dict[str, str]:
    """Module -> colour, the named points of the family first, for the modules that occur."""
    cells = {cell for record in analysis.study.records for cell in strip_of(record.candidate, analysis.sites) if cell}
    order = list(FAMILY)
    modules = sorted({module_of(cell) for cell in cells}, key=lambda name: (order.index(name) if name in order else 99, name))
    return {module: PALETTE[index % len(PALETTE)] for index, module in enumerate(modules)}
