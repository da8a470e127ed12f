"""Alias of ``gsfnas.report.pages.ablation``, for callers that still import from here."""

from gsfnas.report.pages.ablation import columns, latex, markdown, notes, to_csv

__all__ = ["columns", "latex", "markdown", "notes", "to_csv"]
