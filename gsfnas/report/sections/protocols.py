"""Runs whose weights were also tested under another protocol."""

from gsfnas.metrics import METRICS
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Protocols(Section):
    """Applies if weights were tested under another protocol."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(protocols(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("Under other protocols", table=protocols(analysis))


def protocols(analysis: StudyAnalysis) -> Table:
    """One row per run and protocol."""
    test, macs = METRICS["test_top1"], METRICS["macs_fvcore"]
    scores = analysis.study.protocols
    decimals = macs.decimals(one.macs_fvcore for one in scores)
    rows = [
        (
            Cell(one.key, is_code=True),
            Cell(str(one.seed), float(one.seed)),
            Cell(one.protocol),
            Cell(f"{one.clips} × {one.crops}", float(one.clips * one.crops)),
            Cell(f"{one.split} ({one.videos:,})"),
            *(Cell(test.text(one.metrics.get(f"{one.split}_{name}"))) for name in ("top1", "top5", "mean_class")),
            Cell(macs.text(one.macs_fvcore, decimals), float(one.macs_fvcore)),
        )
        for one in scores
    ]
    labels = ("Candidate", "Seed", "Protocol", "Clips × crops", "Split (videos)", "Top-1 (%)", "Top-5 (%)", "Mean class (%)")
    numeric = {"Seed", "Top-1 (%)", "Top-5 (%)", "Mean class (%)"}
    columns = (*(Column(label, label in numeric) for label in labels), Column("GMACs a video", True))
    caption = "The weights that are kept, tested in several views of each video: the mean of their logits."
    return Table("protocols", caption, columns, tuple(rows), width="wide")
