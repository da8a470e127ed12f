"""Runs a whole study: search, replicates, latency, clean-up. The same call starts, resumes or extends a study."""

import errno
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gsfnas.candidate import Candidate, Insertion
from gsfnas.component import blaming, fingerprint, is_outside, load
from gsfnas.errors import UserError, one_line
from gsfnas.evaluators.base import Evaluator
from gsfnas.executors import Executor
from gsfnas.metrics import LATENCY_ESTIMATE
from gsfnas.modules import spec_of
from gsfnas.record import Latency, StudyRecord
from gsfnas.samplers import SAMPLERS, Sampler, chain, distinct_candidates, identity_of
from gsfnas.seeds import digest
from gsfnas.space import BoundRows, BoundSpace, RestrictedSpace, parse_bounds
from gsfnas.stoppers import STOPPERS, NoStopper, Stopper
from gsfnas.storages import Storage
from gsfnas.storages._attributes import ASKED, CONFIGURATION, DESIGN, ENDED, ENVIRONMENT
from gsfnas.storages.base import StudyStorage
from gsfnas.study._bounds import check_enough, left_out, priced_with, within_bounds
from gsfnas.study._checkpoints import disk_full, is_disk_full
from gsfnas.study._configuration import differences, refuse, without_defaults
from gsfnas.study._job import Job, Price
from gsfnas.study._progress import StudyProgress
from gsfnas.study._protocols import Measure, Protocol, measure_protocol
from gsfnas.study._read import read_study
from gsfnas.study._scheduler import Scheduler
from gsfnas.study._settings import StudySettings
from gsfnas.study._worker import Work

if TYPE_CHECKING:
    from gsfnas.cost import LatencyEstimate, LatencyTable

_LATENCY_ROUNDS = 5
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@dataclass(frozen=True)
class Parts:
    """The exchangeable parts of a study.

    ``sampler`` is either one sampler, which searches after the initial design and before the replicates, or a tuple of all
    samplers in the order in which they are asked. ``price`` computes ``Record.cost``; by default it counts operations.
    ``latencies`` are the measured parts of which ``latency_estimate_ms`` is the sum; by default those of the study's device.
    """

    evaluator: Evaluator
    sampler: Sampler | tuple[Sampler, ...]
    stopper: Stopper
    executor: Executor
    storage: Storage
    price: Callable[[Candidate], Mapping[str, int]] | None = None
    latencies: "LatencyTable | None" = None


@dataclass(frozen=True)
class Circumstances:
    """The environment and configuration that a study records, as plain JSON values, and a ``study_yaml`` to run it again."""

    environment: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    study_yaml: str = ""


@dataclass(frozen=True)
class Afterwards:
    """What is measured after the search, in this process.

    ``latency`` is called several times for every complete candidate without a latency on ``latency_device`` (if that is None:
    on any device); it returns None for one whose latency is not known. ``score`` is called once for every run whose
    weights are kept and that has no score under ``protocol`` yet.
    """

    latency: Callable[[Candidate], Latency | None] | None = None
    latency_device: str | None = None
    protocol: Protocol | None = None
    score: Measure | None = None


def run_study(
    settings: StudySettings,
    space: BoundSpace,
    parts: Parts,
    circumstances: Circumstances,
    afterwards: Afterwards,
    *,
    device: str = "auto",
    console: Console | None = None,
) -> StudyRecord:
    """Runs a study to its end and returns its record; if the study is complete already, it is only read.

    ``space`` is restricted to the candidates within ``settings.bounds``; anchors and named candidates outside are not run.
    Raises UserError if another process is running the study, the name is taken by a study with another configuration, the
    journal is damaged or not of gsfnas, the disk is full, the folder cannot be written, or the first candidates all fail. After
    a KeyboardInterrupt the same call resumes the study; a printed line says so, which is also the exception's message.
    """
    console = console or Console(stderr=True)
    folder = settings.folder
    try:
        with blaming(parts.evaluator, "evaluator"):
            heads = tuple(parts.evaluator.heads.items())
            recipe, data = _identity(parts.evaluator, space)
        bounds = parse_bounds(settings.bounds)
        latencies = _latencies(settings, parts, heads, device)
        environment, configuration = _plain(circumstances.environment), _plain(circumstances.configuration)
        if latencies is not None:
            environment["latency_table"] = str(latencies.conditions)
        price = parts.price or Price(heads)
        estimate = None if latencies is None else _estimate(settings, space, parts.storage, latencies, configuration, console)
        asked_for, space = space, within_bounds(space, bounds, priced_with(price, estimate))
        check_enough(space, settings.trials)
        _check_seeds(settings, parts.evaluator)
        given = parts.sampler
        samplers = given if isinstance(given, tuple) else chain(space, given, settings.initial_fraction)
        job = Job(
            settings=settings,
            space=space,
            samplers=samplers,
            evaluator=parts.evaluator,
            stopper=parts.stopper,
            storage=parts.storage,
            price=price,
            estimate=estimate,
            budget=parts.evaluator.budget,
            recipe=recipe,
            data=data,
            environment=digest(environment),
            configuration=digest(configuration),
            deadline=None if settings.hours is None else time.time() + settings.hours * 3600,
        )
        if hasattr(parts.executor, "check"):
            # Checked before anything is written under the study's name.
            with blaming(parts.executor, "executor"):
                parts.executor.check(Work(job))
        _try_modules(space, price)
        for line in left_out(asked_for, space):
            console.print(line, highlight=False, markup=False)
        folder.mkdir(parents=True, exist_ok=True)
        with parts.storage.running(folder, settings.name):
            storage = parts.storage.open(folder, settings.name, "create")
            identity = _identity_of_study(job, parts)
            if latencies is not None and estimate is not None:
                identity["study"]["latency_table"] = str(latencies.conditions)
                identity["study"]["latency_parts"] = estimate.to_json()
            _check_identity(storage, settings, identity, configuration)
            if storage.header is None:
                storage.write_header(space, heads[0][1], identity)
            storage.set_attribute(f"{ENVIRONMENT}{job.environment}", environment)
            storage.set_attribute(f"{CONFIGURATION}{job.configuration}", configuration)
            asked = {"trials": settings.trials, "replicates": settings.replicates, "configuration": job.configuration}
            asked |= {"study_yaml": circumstances.study_yaml}
            storage.set_attribute(ASKED, asked)
            scheduler = Scheduler(job, storage)
            storage.set_attribute(DESIGN, scheduler.plan())
            scheduler.sweep()
            is_complete = _search(job, storage, parts.executor, latencies, device, console)
            if afterwards.latency is not None:
                _measure_latencies(storage, afterwards.latency, afterwards.latency_device, console)
            if afterwards.protocol is not None and afterwards.score is not None:
                measure_protocol(storage, afterwards.protocol, afterwards.score, console)
            if is_complete:
                storage.set_attribute(ENDED, asked)
            return read_study(storage)
    except KeyboardInterrupt as stop:
        told = f"stopped; the same command goes on where study {settings.name!r} is"
        console.print(told, highlight=False)
        stop.args = (told,)
        raise
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder) from None
        if error.errno in _NO_ACCESS:
            raise UserError(f"study {settings.name!r} cannot use {error.filename or folder}: {error.strerror}") from error
        raise


def _check_seeds(settings: StudySettings, evaluator: Evaluator) -> None:
    """Raises UserError if the study asks for more runs of a candidate than the evaluator has."""
    most = evaluator.num_seeds
    if most is not None and settings.replicates > most:
        raise UserError(
            f"`study.replicates` must be at most {most}, since evaluator {type(evaluator).__qualname__!r} has no more runs "
            f"of a candidate, but got {settings.replicates}"
        )


def _latencies(settings: StudySettings, parts: Parts, heads: tuple[tuple[str, int], ...], device: str) -> "LatencyTable | None":
    """The measured parts of the study's latency estimates; None if it needs no estimates."""
    known_before = {metric.key for metric in settings.metrics} | {bound.metric for bound in parse_bounds(settings.bounds)}
    if LATENCY_ESTIMATE not in known_before:
        return None
    # Imported late, since it takes torch.
    from gsfnas.cost import LatencyTable
    from gsfnas.train import resolve_device

    return parts.latencies or LatencyTable(heads, str(resolve_device(device)))


def _estimate(
    settings: StudySettings,
    space: BoundSpace,
    storage: Storage,
    latencies: "LatencyTable",
    configuration: Mapping[str, Any],
    console: Console,
) -> "LatencyEstimate":
    """The latency estimates of a study: those it began with, or else measured as far as they are not in the table.

    Raises UserError if the study was begun with another configuration, or its storage is damaged.
    """
    from gsfnas.cost import LatencyEstimate

    if storage.holds(settings.folder):
        begun = storage.open(settings.folder, settings.name)
        _check_identity(begun, settings, None, configuration)
        values = _begun_with(begun).get("latency_parts")
        known = None if values is None else LatencyEstimate.from_json(values, space)
        if known is not None:
            return known
    return latencies.estimate(space, partial(console.print, highlight=False, markup=False, soft_wrap=True))


def _begun_with(storage: StudyStorage) -> Mapping[str, Any]:
    """The part ``study`` of the identity that a study was begun with; empty if it was not begun."""
    found = {} if storage.header is None else storage.header.identity.get("study", {})
    return found if isinstance(found, Mapping) else {}


def _check_conditions(storage: StudyStorage, settings: StudySettings, latencies: "LatencyTable") -> None:
    """Raises UserError if the study's estimates are those of another device, other versions, or other settings."""
    begun = _begun_with(storage).get("latency_table")
    if begun != str(latencies.conditions):
        raise refuse(settings.name, Path(settings.runs), [f"study.latency_table: {begun} -> {latencies.conditions}"])


def _search(
    job: Job, storage: StudyStorage, executor: Executor, latencies: "LatencyTable | None", device: str, console: Console
) -> bool:
    """Evaluates all missing runs; returns False if the time limit stopped the search before it was complete."""
    scheduler = Scheduler(job, storage)
    settings, space = job.settings, job.space
    records = [run.record for run in storage.runs()]
    limit = distinct_candidates(space)
    is_named = isinstance(space, BoundRows)
    if scheduler.num_left(records):
        if latencies is not None:
            _check_conditions(storage, settings, latencies)
        names = {candidate.key: name for name, candidate in space.rows} if isinstance(space, BoundRows) else {}
        if executor.workers > settings.lag + 1 and not is_named:
            line = f"study.lag={settings.lag} lets at most {settings.lag + 1} runs of the search go side by side"
            console.print(f"{line}; some of the {executor.workers} workers will wait", highlight=False)
        progress = StudyProgress(console, records, scheduler.num_left, executor.workers, names, settings.metrics)
        with progress, blaming(executor, "executor"):
            executor.run(Work(job), device, progress.on_event, progress.say)
    main = sum(run.part == "main" for run in storage.runs())
    if main < min(limit, settings.trials) and job.deadline is not None and time.time() >= job.deadline:
        line = f"stopped after {settings.hours} hours with {main} of {settings.trials} candidates"
        console.print(line + "; the same command goes on", highlight=False)
        return False
    if main < settings.trials and not is_named:
        what = f"the space is exhausted: all {main}" if main == limit else f"the sampler proposes no more: {main}"
        console.print(f"{what} candidates are evaluated ({settings.trials} asked)", highlight=False)
    return True


def _measure_latencies(
    storage: StudyStorage, measure: Callable[[Candidate], Latency | None], device: str | None, console: Console
) -> None:
    """Adds the missing latencies; prints a line for a candidate that cannot be measured and goes on with the next.

    Every round measures all candidates in turn, and the fastest round of a candidate counts. So if the machine is slow for some
    seconds, no candidate's latency is overestimated.
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
                if (found := measure(candidate)) is not None:
                    rounds[candidate].append(found)
            except (UserError, OSError):
                raise
            except Exception as error:
                del rounds[candidate]
                console.print(f"no latency of {candidate.key}: {one_line(error)}", highlight=False, markup=False)
    for latencies in filter(None, rounds.values()):
        storage.add_latency(min(latencies, key=lambda latency: latency.median_ms))


def _try_modules(space: BoundSpace, price: Callable[[Candidate], Mapping[str, float]]) -> None:
    """Prices each module from outside at its first site, before anything is written under the study's name.

    Raises UserError for one that fails, or returns another shape than its site asks for.
    """
    from gsfnas.cost._latency_table import parts_of

    tried: set[Insertion] = set()
    for part in parts_of(space):
        if is_outside(part[1].module) and part[1] not in tried:
            tried.add(part[1])
            price(replace(space.empty, insertions=(part,)))


def _identity(evaluator: Evaluator, space: BoundSpace) -> tuple[str, str]:
    """The recipe and data fingerprints; the recipe includes those of parts from outside: evaluator, backbone and modules."""
    identity = evaluator.identity
    codes = [
        fingerprint(evaluator),
        *([fingerprint(load(name, "backbone"))] if is_outside(name := space.backbone.name) else []),
        *(fingerprint(spec_of(name)) for name in modules_of(space) if is_outside(name)),
    ]
    return "+".join([identity.recipe, *(code for code in codes if code)]), identity.data


def modules_of(space: BoundSpace) -> list[str]:
    """The sorted names of the modules that a space may insert."""
    return sorted({option.module for options in space.options for option in options if option is not None})


def _identity_of_study(job: Job, parts: Parts) -> dict[str, Any]:
    """Everything that must stay the same when a study is resumed.

    Checked in addition to the configuration, in which a value may be a reference to an environment variable.
    """
    settings = job.settings
    proposals: dict[str, Any] = {"delay": settings.lag, "seed": settings.seed, "design_share": settings.initial_fraction}
    given = parts.sampler
    proposals |= {"samplers": [identity_of(one) for one in given]} if isinstance(given, tuple) else identity_of(given)
    if not isinstance(parts.stopper, NoStopper):
        proposals["stopper"] = [type(parts.stopper).__qualname__, str(parts.stopper), fingerprint(parts.stopper)]
    space = job.space
    identity = {"recipe": job.recipe, "data": job.data, "budget": job.budget, "space": space.name, "sites": _sites(space)}
    if space.bounds:
        identity["bounds"] = [str(bound) for bound in space.bounds]
    sampler = ", ".join(_name_of(one, SAMPLERS) for one in (given if isinstance(given, tuple) else (given,)))
    study = {"proposals": digest(proposals), "sampler": sampler, "stopper": _name_of(parts.stopper, STOPPERS)}
    return {**identity, "study": study | without_defaults("study", {"objectives": settings.objectives})}


def _name_of(part: Sampler | Stopper, shipped: Mapping[str, str]) -> str:
    """The name of a part in messages: ``tpe`` for one of ``shipped``, ``parts:Half (code 1a2b3c4d)`` for a user's own."""
    home, code = f"{type(part).__module__}:{type(part).__qualname__}", fingerprint(part)
    return f"{home} (code {code})" if code else next((name for name, place in shipped.items() if place == home), home)


def _check_identity(
    storage: StudyStorage, settings: StudySettings, identity: Mapping[str, Any] | None, configuration: Mapping[str, Any]
) -> None:
    """Raises UserError if configuration or identity differ from those that the study was started with; None is not compared."""
    header, asked = storage.header, storage.asked
    if header is None:
        return
    before = storage.configurations.get(asked.configuration, configuration) if asked else configuration
    found = differences(before, configuration)
    if not found and identity is not None:
        found = differences(header.identity, _plain(identity))
    if found:
        raise refuse(settings.name, Path(settings.runs), found)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as it will be read back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain


def _sites(space: BoundSpace) -> str:
    """Describes the sites of a space, with a fingerprint of the options at each site."""
    options: dict[str, Any]
    options = {site.name: [str(option) for option in here] for site, here in zip(space.sites, space.options, strict=True)}
    if isinstance(space, BoundRows):
        options["rows"] = [[name, candidate.key] for name, candidate in space.rows]
    if isinstance(space, RestrictedSpace) and space.groups:
        options["couple"] = [[group.same, [space.sites[position].name for position in group.sites]] for group in space.groups]
    backbone = f"{space.backbone}, {space.frames} frames at {space.resolution} px"
    return f"{len(space.sites)} sites of {backbone} ({digest(options)})"
