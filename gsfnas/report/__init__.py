"""Reports: numbers, then tables, then figures, then pages. Reads records and nothing else; neither torch nor optuna."""

from gsfnas.report._ablation import AblationTable, RowCost, StudyRows, ablation_table, accuracies, study_rows
from gsfnas.report._build import build_report

__all__ = ["AblationTable", "RowCost", "StudyRows", "ablation_table", "accuracies", "build_report", "study_rows"]
