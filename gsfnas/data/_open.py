"""Opens data sets by name: the built-in ones and those of users."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from gsfnas import component
from gsfnas.data._settings import SPLITS, DataSettings
from gsfnas.data.sets import DATA_SETS
from gsfnas.data.sets._annotations import check_classes
from gsfnas.data.sets._files import FileSet
from gsfnas.data.sets.base import DataSet
from gsfnas.data.video._clips import VideoData
from gsfnas.data.video._probe import OnProgress
from gsfnas.errors import UserError, shown


def data_set_of(settings: DataSettings) -> DataSet:
    """Instantiates the data set in ``settings`` with its options, without reading any file.

    Raises UserError for an unknown name, for code that cannot be imported or is not trusted, and for an object that is not a
    data set.
    """
    part = component.find(settings.name, DATA_SETS, "data set")
    found: DataSet = component.make(part, settings.options, "data.options")
    component.check_methods(found, ("tasks", "open"), "data set")
    return found


def tasks_of(settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
    """Task -> class names, without opening a clip. Raises UserError for unusable annotations."""
    found = data_set_of(settings)
    if not component.is_outside(settings.name):
        return found.tasks(settings)
    with _blaming(settings.name, found):
        return _checked_tasks(settings.name, found.tasks(settings))


def open_data(settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
    """Opens the data set in ``settings``; ``on_progress(done, total)`` counts the files that are probed.

    For a data set from outside this package, the fingerprint also depends on the version or the source of its code. Raises
    UserError as ``data_set_of`` does, and for unusable files.
    """
    found = data_set_of(settings)
    if not component.is_outside(settings.name):
        return found.open(settings, on_progress)
    with _blaming(settings.name, found):
        data = _checked_data(settings, found.open(settings, on_progress))
    return replace(data, name=settings.name, fingerprint=f"{data.fingerprint}-{component.fingerprint(found)}")


@contextmanager
def _blaming(name: str, data_set: DataSet) -> Iterator[None]:
    """Turns an error of a user's code into one line with its location.

    The error of a ``FileSet`` passes unchanged, since most of its code belongs to this package.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(data_set, FileSet):
            raise
        raise UserError(f"data set {name!r} failed ({component.where(error)})") from error


def _checked_tasks(name: str, tasks: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(tasks, Mapping) or not tasks:
        raise UserError(f"the tasks of data set {name!r} must be a mapping, task -> class names, but are {shown(tasks)}")
    return {str(task): check_classes(f"task {task!r} of {name}", names) for task, names in tasks.items()}


def _checked_data(settings: DataSettings, data: object) -> VideoData:
    """Checks the result of ``open``. Raises UserError for anything that would fail later, in training."""
    name = settings.name
    if not isinstance(data, VideoData):
        raise UserError(f"`open` of data set {name!r} must return a VideoData, but returned {shown(data)}")
    tasks = _checked_tasks(name, data.tasks)
    if missing := [split for split in SPLITS if split not in data.splits or not data.splits[split].labels]:
        raise UserError(f"data set {name!r} has no clips for {missing[0]}; it needs {', '.join(SPLITS)}")
    for split in SPLITS:
        labels = data.splits[split].labels
        if set(labels) != set(tasks):
            raise UserError(
                f"{split} of data set {name!r} has labels of {', '.join(labels)}, but its tasks are {', '.join(tasks)}"
            )
        sizes = {len(values) for values in labels.values()}
        if len(sizes) > 1 or 0 in sizes:
            raise UserError(f"{split} of data set {name!r} must have clips, and as many labels for each task, but has {sizes}")
        for task, values in labels.items():
            most = len(tasks[task]) - 1
            if values.dtype != np.int64 or values.ndim != 1 or values.min() < 0 or values.max() > most:
                raise UserError(f"labels of {task} in {split} of data set {name!r} must be int64 from 0 to {most}, one a clip")
    return data
