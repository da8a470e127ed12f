"""Studies: one or more workers propose, evaluate and record candidates. A study can be interrupted and resumed at any time."""

from gsfnas.executors.local import num_cores
from gsfnas.seeds import run_id, training_seed
from gsfnas.storages._locks import FileLock
from gsfnas.study._configuration import MAY_DIFFER, RENAMED, differences
from gsfnas.study._protocols import measure_study
from gsfnas.study._read import (
    StudyPlan,
    StudySummary,
    data_of_study,
    list_studies,
    load_study,
    plan_study,
    study_names,
    summarise_study,
)
from gsfnas.study._run import Afterwards, Circumstances, Parts, run_study
from gsfnas.study._settings import StudySettings

__all__ = [
    "MAY_DIFFER",
    "RENAMED",
    "Afterwards",
    "Circumstances",
    "FileLock",
    "Parts",
    "StudyPlan",
    "StudySettings",
    "StudySummary",
    "data_of_study",
    "differences",
    "list_studies",
    "load_study",
    "measure_study",
    "num_cores",
    "plan_study",
    "run_id",
    "run_study",
    "study_names",
    "summarise_study",
    "training_seed",
]
