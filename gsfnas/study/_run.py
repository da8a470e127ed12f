"""A whole study: search, replicates, latency, clean-up; begun, taken up or extended by the same call."""

import errno
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError
from gsfnas.evaluator import Evaluator
from gsfnas.record import Latency, StudyRecord
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.study import _propose
from gsfnas.study._attributes import ASKED, CONFIGURATION, DESIGN, ENDED, ENVIRONMENT
from gsfnas.study._checkpoints import disk_full, is_disk_full
from gsfnas.study._configuration import differences, refuse
from gsfnas.study._desk import Desk
from gsfnas.study._executor import run_workers
from gsfnas.study._job import Job
from gsfnas.study._locks import study_lock
from gsfnas.study._progress import StudyProgress
from gsfnas.study._protocols import Measure, Protocol, measure_protocol
from gsfnas.study._read import read_study
from gsfnas.study._seeds import digest
from gsfnas.study._settings import StudySettings
from gsfnas.study._storage import StudyStorage
from gsfnas.study._worker import one_line

_LATENCY_ROUNDS = 5
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


def run_study(
    settings: StudySettings,
    space: BoundSpace,
    make_evaluator: Callable[[], Evaluator],
    price: Callable[[Candidate], Mapping[str, int]],
    *,
    budget: int,
    classes: int,
    recipe: str,
    data: str,
    environment: Mapping[str, Any],
    configuration: Mapping[str, Any],
    study_yaml: str,
    device: str = "auto",
    devices: int = 1,
    measure_latency: Callable[[Candidate], Latency] | None = None,
    latency_device: str | None = None,
    protocol: Protocol | None = None,
    measure_score: Measure | None = None,
    console: Console | None = None,
) -> StudyRecord:
    """Runs a study to its end and returns what it says; a study that is complete is only read.

    ``make_evaluator`` and ``price`` go to worker processes where there are several, so they must be picklable then. ``price``
    gives what ``Record.cost`` holds. ``recipe`` and ``data`` are fingerprints of the training and of the data, ``budget`` the
    epochs of every run, ``devices`` on how many it computes at once. ``configuration`` is the resolved study as plain JSON
    values. ``measure_latency`` is called in this process alone, after the search, several times for every complete candidate
    without a latency on ``latency_device`` (any device where that is None). ``measure_score``, likewise, for every run whose
    weights are kept and that has no score under ``protocol`` yet.

    Raises UserError for a study that another process runs, for another configuration under the same name, a damaged or
    foreign journal, a full disk, a folder that cannot be written, and where the first candidates all fail. KeyboardInterrupt
    leaves the study so that the same call goes on.
    """
    console = console or Console(stderr=True)
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with study_lock(folder, settings.name):
            storage = StudyStorage(folder, settings.name, "create")
            environment, configuration = _plain(environment), _plain(configuration)
            identity = {"recipe": recipe, "data": data, "budget": budget, "space": space.name, "sites": _sites(space)}
            # The configuration may say these as variables of the environment.
            proposals = {name: getattr(settings, name) for name in ("sampler", "delay", "seed", "design_share")}
            identity["study"] = {"proposals": digest(proposals)}
            _check_identity(storage, settings, identity, configuration)
            job = Job(
                settings=settings,
                space=space,
                make_evaluator=make_evaluator,
                price=price,
                budget=budget,
                recipe=recipe,
                data=data,
                environment=digest(environment),
                configuration=digest(configuration),
                deadline=None if settings.hours is None else time.time() + settings.hours * 3600,
                devices=devices,
            )
            if storage.header is None:
                storage.write_header(space, classes, identity)
            storage.set_attribute(f"{ENVIRONMENT}{job.environment}", environment)
            storage.set_attribute(f"{CONFIGURATION}{job.configuration}", configuration)
            asked = {"trials": settings.trials, "replicates": settings.replicates, "configuration": job.configuration}
            asked |= {"study_yaml": study_yaml}
            storage.set_attribute(ASKED, asked)
            seen = [run.record.candidate for run in storage.runs() if run.part == "main"]
            storage.set_attribute(DESIGN, _propose.extend_design(settings, space, storage.design, seen))
            Desk(job, storage).sweep()
            is_complete = _search(job, storage, device, console)
            if measure_latency is not None:
                _measure_latencies(storage, measure_latency, latency_device, console)
            if protocol is not None and measure_score is not None:
                measure_protocol(storage, protocol, measure_score, console)
            if is_complete:
                storage.set_attribute(ENDED, asked)
            return read_study(storage)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on where study {settings.name!r} is", highlight=False)
        raise
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder) from None
        if error.errno in _NO_ACCESS:
            raise UserError(f"study {settings.name!r} cannot use {error.filename or folder}: {error.strerror}") from error
        raise


def _search(job: Job, storage: StudyStorage, device: str, console: Console) -> bool:
    """Has all runs evaluated that are missing; says whether the asked candidates are, or the space is exhausted."""
    desk = Desk(job, storage)
    records = [run.record for run in storage.runs()]
    limit = _propose.distinct_candidates(job.space)
    if desk.num_left(records):
        names = {candidate.key: name for name, candidate in job.space.rows} if isinstance(job.space, BoundRows) else {}
        with StudyProgress(console, records, desk.num_left, job.settings.workers, names) as progress:
            run_workers(job, device, progress.on_event, progress.say)
    main = sum(run.part == "main" for run in storage.runs())
    if limit < job.settings.trials and main == limit and not isinstance(job.space, BoundRows):
        line = f"the space is exhausted: all {limit} candidates are evaluated ({job.settings.trials} asked)"
        console.print(line, highlight=False)
    elif main < min(limit, job.settings.trials):
        line = f"stopped after {job.settings.hours} hours with {main} of {job.settings.trials} candidates"
        console.print(line + "; the same command goes on", highlight=False)
    return main >= min(limit, job.settings.trials)


def _measure_latencies(
    storage: StudyStorage, measure: Callable[[Candidate], Latency], device: str | None, console: Console
) -> None:
    """Adds what is missing; a candidate that cannot be measured is named and passed over.

    Each candidate is measured in several rounds, one candidate after another in each, and its least disturbed round counts: a
    machine that is slow for some seconds is not taken for a slow network.
    """
    known = {latency.key for latency in storage.latencies() if device in (None, latency.device)}
    runs = [run.record for run in storage.runs() if run.part == "main" and run.record.outcome == "complete"]
    missing = [record.candidate for record in runs if record.candidate.key not in known]
    if missing:
        console.print(f"measuring the latency of {len(missing)} candidates", highlight=False)
    rounds: dict[Candidate, list[Latency]] = {candidate: [] for candidate in missing}
    for _ in range(_LATENCY_ROUNDS):
        for candidate in list(rounds):
            try:
                rounds[candidate].append(measure(candidate))
            except (UserError, OSError):
                raise
            except Exception as error:
                del rounds[candidate]
                console.print(f"no latency of {candidate.key}: {one_line(error)}", highlight=False, markup=False)
    for found in rounds.values():
        storage.add_latency(min(found, key=lambda latency: latency.median_ms))


def _check_identity(
    storage: StudyStorage, settings: StudySettings, identity: Mapping[str, Any], configuration: Mapping[str, Any]
) -> None:
    """Refuses to mix two questions under one name; what the configuration does not show, the fingerprints do."""
    header, asked = storage.header, storage.asked
    if header is None:
        return
    before = storage.configurations.get(asked.configuration, configuration) if asked else configuration
    found = differences(before, configuration) or differences(header.identity, _plain(identity))
    if found:
        raise refuse(settings.name, Path(settings.runs), found)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as it will be read back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain


def _sites(space: BoundSpace) -> str:
    """A fingerprint of what may stand where."""
    options: dict[str, Any]
    options = {site.name: [str(option) for option in here] for site, here in zip(space.sites, space.options, strict=True)}
    if isinstance(space, BoundRows):
        options["rows"] = [[name, candidate.key] for name, candidate in space.rows]
    backbone = f"{space.backbone}, {space.frames} frames at {space.resolution} px"
    return f"{len(space.sites)} sites of {backbone} ({digest(options)})"
