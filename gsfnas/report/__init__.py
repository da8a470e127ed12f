"""Reports: numbers, then tables, then figures, then pages. Reads records and nothing else; neither torch nor optuna."""

from gsfnas.report._build import build_report

__all__ = ["build_report"]
