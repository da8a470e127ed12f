"""Binds spaces to backbones, and estimates costs and time of a study before it runs."""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsfnas.api._data import open_and_say
from gsfnas.api._parts import parts_of
from gsfnas.api._watcher import Watcher
from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate, Insertion, Site
from gsfnas.component import blaming, is_outside
from gsfnas.config import StudyConfig, load_space
from gsfnas.cost import Cost, LatencyTable, Pricer
from gsfnas.data import tasks_of
from gsfnas.errors import UserError
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.executors.local import num_cores
from gsfnas.metrics import LATENCY_ESTIMATE
from gsfnas.samplers import Grid, anchors
from gsfnas.space import BoundRows, BoundSpace, Space, parse_bounds
from gsfnas.study import StudyPlan, plan_study
from gsfnas.study._bounds import check_enough, priced_with, within_bounds
from gsfnas.train import estimate_seconds, resolve_device

# The number of rows with which a few training steps are timed, to estimate the time of a study of rows.
_TIMED_ROWS = 8


@dataclass(frozen=True)
class DryRun:
    """The space of a study, the costs of some candidates, and the planned runs, with an estimate of time if ``is_timed``.

    ``epochs`` is the number of epochs of a run.
    """

    space: BoundSpace
    costs: Mapping[str, Cost]
    study: StudyPlan
    workers: int
    epochs: int
    is_timed: bool


def bind(config: StudyConfig) -> BoundSpace:
    """The study's space on its backbone. Raises UserError for an unknown backbone or an insertion not allowed at a site."""
    return bind_space(
        config.space,
        config.backbone,
        config.backbone_options,
        config.data.frames,
        config.data.resolution,
        is_from_data="backbone" not in config.named_by_user,
    )


def num_classes(config: StudyConfig) -> int:
    """The number of classes of the first task of a study's data."""
    return len(next(iter(tasks_of(config.data).values())))


def bind_space(
    space: Space, backbone: str, options: Mapping[str, Any], frames: int, resolution: int, *, is_from_data: bool = False
) -> BoundSpace:
    """Binds a space to a backbone; ``is_from_data`` means that the backbone's name was read from a file (not trusted)."""
    ref = backbone_ref(backbone, options, is_from_data=is_from_data)
    return space.bind(ref, backbone_sites(ref, resolution), frames=frames, resolution=resolution)


def open_space(
    name: str,
    backbone: str = "micro",
    width: float | None = None,
    frames: int = 8,
    resolution: int = 32,
    config_root: Path | None = None,
) -> BoundSpace:
    """The space called ``name``, bound to a backbone of this ``width``. Raises UserError for an unknown space or backbone."""
    return bind_space(load_space(name, config_root), backbone, width_option(width), frames, resolution)


def restrict(space: BoundSpace, bounds: Sequence[str], heads: Mapping[str, int], device: str, watcher: Watcher) -> BoundSpace:
    """The candidates of a space within bounds such as ``params<=2e5``; ``heads`` are the (task -> classes) that are priced too.

    A bound on ``latency_estimate_ms`` measures the modules of the space on ``device``, as far as they are not in the cache.
    Raises UserError for what is no bound, a metric that is not known before training, and bounds that no candidate is within.
    """
    found = parse_bounds(bounds)
    if not found:
        return space
    pricer = Pricer(space.backbone, space.frames, space.resolution, heads)
    estimate = None
    if any(bound.metric == LATENCY_ESTIMATE for bound in found):
        estimate = LatencyTable(tuple(heads.items()), str(resolve_device(device))).estimate(space, watcher.say)
    try:
        return within_bounds(space, found, priced_with(lambda candidate: pricer(candidate).as_record(), estimate))
    except UserError as error:
        priced = ", ".join(f"{task} {classes}" for task, classes in heads.items())
        raise UserError(f"{error} (priced with heads for these classes: {priced})") from None


def width_option(width: float | None) -> dict[str, Any]:
    """The options of a backbone that has no other option than its width."""
    return {} if width is None else {"width": width}


def plan(config: StudyConfig, watcher: Watcher) -> DryRun:
    """Computes costs, and times a few training steps of the empty and the full candidate, or of the first rows.

    There is no time estimate for evaluators that do not train.
    """
    space = bind(config)
    parts = parts_of(config)
    evaluator = parts.evaluator
    is_timed = config.parts["evaluator"].name == "train"
    # Data that the evaluator does not ask for are not opened.
    data = open_and_say(config.data, watcher) if evaluator.takes_data or is_outside(config.parts["evaluator"].name) else None
    heads = dict(evaluator.heads) if data is None else {task: len(names) for task, names in data.tasks.items()}
    if data is None:
        evaluator.check(space, config.train.device)
    elif evaluator.takes_data:
        evaluator.take(data)
    pricer = Pricer(space.backbone, space.frames, space.resolution, heads)
    space = restrict(space, config.study.bounds, heads, config.train.device, watcher)
    check_enough(space, config.study.trials)
    workers = parts.executor.workers
    threads = max(1, num_cores() // workers)
    if isinstance(space, BoundRows):
        candidates = dict(space.rows)
        timed = space.candidates[:_TIMED_ROWS]
    else:
        named = {"empty": space.empty, "full": space.full}
        candidates = {name: candidate for name, candidate in named.items() if candidate in anchors(space)}
        for name, choose in (("cheapest", min), ("dearest", max)):
            extreme = _extreme(space, pricer, choose)
            if extreme not in candidates.values() and space.is_within(extreme):
                candidates[name] = extreme
        if not candidates:
            candidates = {"random": space.sample(random.Random(0))}
        timed = tuple(candidates.values())[:2]
    seconds = []
    if is_timed and data is not None:
        seconds = [estimate_seconds(candidate, config.train, data, threads=threads) for candidate in timed]
    costs = {name: pricer(candidate) for name, candidate in candidates.items()}
    with blaming(evaluator, "evaluator"):
        identity = evaluator.identity
    study = plan_study(
        config.study,
        space,
        parts.storage,
        sum(seconds) / max(1, len(seconds)),
        workers=workers,
        recipe=identity.recipe,
        data=identity.data,
        budget=config.train.epochs,
        replicates_all=isinstance(parts.sampler, Grid) and parts.sampler.replicate_all,
    )
    if seconds and isinstance(evaluator, TrainEvaluator) and config.train.warm_start:
        # One worker trains it, while the others wait.
        first = seconds[0] * config.train.warm_start / config.train.epochs
        study = dataclasses.replace(study, seconds=study.seconds + first)
    return DryRun(space, costs, study, workers, parts.evaluator.budget, is_timed)


def _extreme(space: BoundSpace, pricer: Pricer, choose: Any) -> Candidate:
    """The candidate with the fewest or the most MACs, and of these parameters, since costs add up over the sites."""

    def cost(site: Site, insertion: Insertion | None) -> tuple[int, int]:
        insertions = () if insertion is None else ((site.name, insertion),)
        total = pricer(Candidate(space.backbone, space.frames, space.resolution, insertions)).total
        return total.macs_fvcore, total.params

    return space.extreme(cost, choose)
