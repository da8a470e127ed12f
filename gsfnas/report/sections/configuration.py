"""The resolved study, from which it can be run again."""

from gsfnas.metrics import NOT_RUN
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report.sections.base import Section, Shown


class Configuration(Section):
    """The YAML of the study, unchanged."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("The resolved study", code=analysis.study.study_yaml.strip() or NOT_RUN)
