"""The old place of what ``pages.ablation`` holds, until its callers ask there."""

from gsfnas.report.pages.ablation import columns, latex, markdown, notes, to_csv

__all__ = ["columns", "latex", "markdown", "notes", "to_csv"]
