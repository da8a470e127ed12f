"""The functions of the command line for use from Python: they neither print nor exit.

Names are imported on first use. Long operations report their progress to a ``Watcher``. By default, a study reports to stderr,
and all other operations are silent.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsfnas.api._candidate import find_candidate as find_candidate
    from gsfnas.api._measure import Measured as Measured
    from gsfnas.api._measure import measure as measure
    from gsfnas.api._read import list_studies as list_studies
    from gsfnas.api._read import load_study as load_study
    from gsfnas.api._read import summarise_study as summarise_study
    from gsfnas.api._space import DryRun as DryRun
    from gsfnas.api._space import bind as bind
    from gsfnas.api._space import bind_space as bind_space
    from gsfnas.api._space import num_classes as num_classes
    from gsfnas.api._space import open_space as open_space
    from gsfnas.api._space import restrict as restrict
    from gsfnas.api._study import Study as Study
    from gsfnas.api._table import FoundTable as FoundTable
    from gsfnas.api._table import numbers_of as numbers_of
    from gsfnas.api._table import tables as tables
    from gsfnas.api._table import write as write_tables
    from gsfnas.api._train import Tested as Tested
    from gsfnas.api._train import TestedStudy as TestedStudy
    from gsfnas.api._train import test as test
    from gsfnas.api._train import test_study as test_study
    from gsfnas.api._train import train as train
    from gsfnas.api._train import train_again as train_again
    from gsfnas.api._watcher import ConsoleWatcher as ConsoleWatcher
    from gsfnas.api._watcher import Watcher as Watcher
    from gsfnas.api._weights import import_weights as import_weights
    from gsfnas.config import load_space as load_space
    from gsfnas.study import StudySettings as StudySettings

_MODULE_OF = {
    "ConsoleWatcher": "gsfnas.api._watcher",
    "DryRun": "gsfnas.api._space",
    "FoundTable": "gsfnas.api._table",
    "Measured": "gsfnas.api._measure",
    "Study": "gsfnas.api._study",
    "StudySettings": "gsfnas.study",
    "Tested": "gsfnas.api._train",
    "TestedStudy": "gsfnas.api._train",
    "Watcher": "gsfnas.api._watcher",
    "bind": "gsfnas.api._space",
    "bind_space": "gsfnas.api._space",
    "find_candidate": "gsfnas.api._candidate",
    "import_weights": "gsfnas.api._weights",
    "list_studies": "gsfnas.api._read",
    "load_space": "gsfnas.config",
    "load_study": "gsfnas.api._read",
    "measure": "gsfnas.api._measure",
    "num_classes": "gsfnas.api._space",
    "open_space": "gsfnas.api._space",
    "numbers_of": "gsfnas.api._table",
    "restrict": "gsfnas.api._space",
    "summarise_study": "gsfnas.api._read",
    "tables": "gsfnas.api._table",
    "test": "gsfnas.api._train",
    "test_study": "gsfnas.api._train",
    "train": "gsfnas.api._train",
    "train_again": "gsfnas.api._train",
}

__all__ = [*_MODULE_OF, "write_tables"]


def __getattr__(name: str) -> Any:
    if name == "write_tables":
        return import_module("gsfnas.api._table").write
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gsfnas.api' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
