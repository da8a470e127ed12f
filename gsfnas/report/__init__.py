"""Reports: an analysis of records, sections that show parts of it, pages that lay them out. Neither torch nor optuna."""

from gsfnas.report._ablation import AblationTable, RowCost, StudyRows, ablation_table, accuracies, study_rows
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._build import build_report
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections import SECTIONS
from gsfnas.report.sections._load import SectionLike, check_sections
from gsfnas.report.sections.base import Figure, Section, Shown, StripChart, StripRow

__all__ = [
    "SECTIONS",
    "AblationTable",
    "Cell",
    "Column",
    "Figure",
    "RowCost",
    "Section",
    "SectionLike",
    "Shown",
    "StripChart",
    "StripRow",
    "StudyAnalysis",
    "StudyRows",
    "Table",
    "ablation_table",
    "accuracies",
    "build_report",
    "check_sections",
    "study_rows",
]
