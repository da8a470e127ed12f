"""The sections of a report. ``SECTIONS`` lists the shipped ones in the order of the page; each is imported on use."""

from gsfnas.report.sections.base import Figure, Plot, Section, Shown, StripChart, StripRow

SECTIONS: dict[str, str] = {
    "summary": "gsfnas.report.sections.summary:Summary",
    "comparison": "gsfnas.report.sections.comparison:Comparison",
    "accuracy": "gsfnas.report.sections.accuracy:Accuracy",
    "strips": "gsfnas.report.sections.strips:Strips",
    "effects": "gsfnas.report.sections.effects:SiteEffects",
    "pairs": "gsfnas.report.sections.pairs:Pairs",
    "options": "gsfnas.report.sections.options:Options",
    "candidates": "gsfnas.report.sections.candidates:Candidates",
    "curves": "gsfnas.report.sections.curves:Curves",
    "seeds": "gsfnas.report.sections.seeds:Seeds",
    "failures": "gsfnas.report.sections.failures:Failures",
    "protocols": "gsfnas.report.sections.protocols:Protocols",
    "latencies": "gsfnas.report.sections.latencies:Latencies",
    "caveats": "gsfnas.report.sections.caveats:Caveats",
    "environment": "gsfnas.report.sections.environment:Environment",
    "configuration": "gsfnas.report.sections.configuration:Configuration",
}

__all__ = ["SECTIONS", "Figure", "Plot", "Section", "Shown", "StripChart", "StripRow"]
