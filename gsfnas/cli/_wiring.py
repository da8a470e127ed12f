"""Settings into the parts of a study: what a Python user would write, one call after another."""

import functools
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.cli._environment import describe
from gsfnas.cli._scores import save_scores
from gsfnas.config import StudyConfig
from gsfnas.cost import Cost, Pricer, measure_latency, peak_inference_bytes
from gsfnas.data import DataSettings, VideoData, open_data, tasks_of
from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.model import build_model
from gsfnas.record import Latency, ProtocolScore, Record, StudyRecord
from gsfnas.report import build_report
from gsfnas.space import BoundRows, BoundSpace, Space
from gsfnas.study import StudyPlan, num_cores, plan_study, run_study
from gsfnas.train import (
    ProtocolSettings,
    Trained,
    TrainEvaluator,
    TrainSettings,
    VideoScores,
    estimate_seconds,
    resolve_device,
    run_test,
)
from gsfnas.weights import initialise

# Of how many rows a few steps are timed, to estimate what a study of rows takes.
_TIMED_ROWS = 8


@dataclass(frozen=True)
class PriceRecord:
    """Prices for a study's records, with the data's heads; can be sent to worker processes."""

    heads: tuple[tuple[str, int], ...]

    def __call__(self, candidate: Candidate) -> Mapping[str, int]:
        from gsfnas.cost import price

        return price(candidate, dict(self.heads)).as_record()


@dataclass(frozen=True)
class Measured:
    """What a built network takes for one clip: time on a device, and bytes of tensors at the peak of a forward pass."""

    latency: Latency
    peak_bytes: int


@dataclass(frozen=True)
class DryRun:
    """What a study would search, what its candidates cost, and how long it would take."""

    space: BoundSpace
    costs: Mapping[str, Cost]
    study: StudyPlan


def bind(config: StudyConfig) -> BoundSpace:
    """The study's space on its backbone. Raises UserError for a backbone that is none and a choice that cannot stand there."""
    return bind_space(
        config.space,
        config.backbone,
        config.backbone_options,
        config.data.frames,
        config.data.resolution,
        is_from_data=not config.is_backbone_named_by_user,
    )


def num_classes(config: StudyConfig) -> int:
    """Classes of the first task of a study's data."""
    return len(next(iter(tasks_of(config.data).values())))


def bind_space(
    space: Space, backbone: str, options: Mapping[str, Any], frames: int, resolution: int, *, is_from_data: bool = False
) -> BoundSpace:
    """A space on a backbone's sites; ``is_from_data`` where the backbone's name was read from a file."""
    ref = backbone_ref(backbone, options, is_from_data=is_from_data)
    return space.bind(ref, backbone_sites(ref, resolution), frames=frames, resolution=resolution)


def width_option(width: float | None) -> dict[str, Any]:
    return {} if width is None else {"width": width}


def run(config: StudyConfig) -> StudyRecord:
    """Runs the study to its end. Ctrl-C leaves with exit code 130, after the study has said how it goes on."""
    space = bind(config)
    data = open_and_say(config.data)
    # What would only be found out after training, or after the study has taken its name.
    data.split("test").viewed(config.protocol.clips, config.protocol.crops)
    heads = {task: len(names) for task, names in data.tasks.items()}
    TrainEvaluator(config.train, config.data, data).check_settings(resolve_device(config.train.device))
    if said := check_init(config.train, space.empty, heads):
        print(said, file=sys.stderr)
    device = config.train.device
    environment = describe(device)
    if data.skipped:
        environment["files_left_out"] = list(data.skipped)
    try:
        return run_study(
            config.study,
            space,
            functools.partial(TrainEvaluator, config.train, config.data),
            PriceRecord(tuple(heads.items())),
            budget=config.train.epochs,
            classes=next(iter(heads.values())),
            recipe=config.train.recipe_hash(),
            data=data.fingerprint,
            environment=environment,
            configuration=config.resolved,
            study_yaml=config.yaml,
            device=device,
            devices=config.train.devices,
            measure_latency=functools.partial(_latency, heads, str(resolve_device(device))),
            latency_device=environment["device"],
            protocol=protocol_name(config.protocol, "test", data) if config.protocol.views > 1 else None,
            measure_score=functools.partial(
                score, config.data, config.train, config.protocol, "test", data, config.study.folder / "scores"
            ),
        )
    except KeyboardInterrupt:
        sys.exit(130)


def protocol_name(protocol: ProtocolSettings, split: str, data: VideoData) -> tuple[str, int, int, str, str]:
    """What a study's records of a protocol are known by."""
    return protocol.name, protocol.clips, protocol.crops, split, data.fingerprint


def check_init(settings: TrainSettings, candidate: Candidate, heads: Mapping[str, int]) -> str:
    """What the weights that training begins with give a candidate, in a sentence; nothing where it begins from scratch.

    Raises UserError where there are no such weights, or they are of another network.
    """
    _, found = initialise(build_model(candidate, heads), candidate, settings.init)
    if found is None:
        return ""
    fresh = [what for what in ("insertions", "heads") if any(name.startswith(what) for name in found.missing)]
    begun = [f"some {' and '.join(fresh)} start fresh"] if fresh else []
    return f"train.init={settings.init}: {'; '.join([found.summary(), *begun, *found.notes])}"


def tested(
    trained: Trained,
    settings: DataSettings,
    train: TrainSettings,
    protocol: ProtocolSettings,
    split: str,
    data: VideoData,
    title: str,
) -> VideoScores:
    """Scores of weights, with a bar of that title on a terminal."""
    from gsfnas.cli import _show

    with _show.counting(title) as on_progress:
        return run_test(
            trained,
            settings,
            train,
            protocol,
            data=data,
            split=split,
            threads=num_cores(),
            on_progress=on_progress,
            say=lambda text: print(text, file=sys.stderr),
        )


def score(
    settings: DataSettings,
    train: TrainSettings,
    protocol: ProtocolSettings,
    split: str,
    data: VideoData,
    out: Path,
    record: Record,
    weights: Path,
) -> ProtocolScore:
    """A run's weights under a protocol, as a study records it; every score goes into a folder of its own in ``out``."""
    trained = Trained.of(weights)
    found = tested(trained, settings, train, protocol, split, data, record.candidate.key)
    save_scores(found, protocol, split, out / f"{record.candidate.key}-{record.seed}", trained, data)
    return ProtocolScore(
        key=record.candidate.key,
        seed=record.seed,
        protocol=protocol.name,
        clips=protocol.clips,
        crops=protocol.crops,
        split=split,
        videos=len(found.names),
        macs_fvcore=record.cost["macs_fvcore"] * protocol.views,
        metrics=found.metrics(split),
        data=data.fingerprint,
        device=str(resolve_device(train.device)),
    )


def check_writable(folder: Path) -> None:
    """Raises UserError where the report could not be written: a study should not learn so at its end. Leaves nothing."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError:
        raise UserError(f"the report cannot be written to {folder}: {nearest} is no folder that can be written") from None


def report(study: StudyRecord, reports: Path) -> Path:
    """Writes the report of a study and returns its page."""
    print("writing the report", file=sys.stderr)
    return build_report(study, reports / study.name)


def plan(config: StudyConfig) -> DryRun:
    """Prices the space and times a few steps of its empty and its full candidate, or of its rows."""
    space = bind(config)
    data = open_and_say(config.data)
    pricer = Pricer(space.backbone, space.frames, space.resolution, {task: len(names) for task, names in data.tasks.items()})
    threads = max(1, num_cores() // config.study.workers)
    if isinstance(space, BoundRows):
        candidates = dict(space.rows)
        timed = space.candidates[:_TIMED_ROWS]
    else:
        candidates = {"empty": space.empty, "full": space.full}
        timed = (space.empty, space.full)
        for name, choose in (("cheapest", min), ("dearest", max)):
            extreme = _extreme(space, pricer, choose)
            if extreme not in timed:
                candidates[name] = extreme
    seconds = [estimate_seconds(candidate, config.train, data, threads=threads) for candidate in timed]
    costs = {name: pricer(candidate) for name, candidate in candidates.items()}
    study = plan_study(
        config.study,
        space,
        sum(seconds) / len(seconds),
        recipe=config.train.recipe_hash(),
        data=data.fingerprint,
        budget=config.train.epochs,
    )
    return DryRun(space, costs, study)


def measure(candidate: Candidate, classes: int, device: str, precision: str) -> Measured:
    """Builds a candidate and measures it. Raises UserError for a device that the machine has not."""
    found = str(resolve_device(TrainSettings(device=device).device))
    model = build_model(candidate, {"class": classes}).eval()
    clip = torch.zeros(1, candidate.frames, 3, candidate.resolution, candidate.resolution)
    peak = peak_inference_bytes(model, clip)
    latency = measure_latency(
        model,
        key=candidate.key,
        frames=candidate.frames,
        resolution=candidate.resolution,
        device=found,
        precision=precision,
    )
    return Measured(latency, peak)


def open_and_say(settings: DataSettings) -> VideoData:
    """The data; what was left out of it is said, never silently so."""
    from gsfnas.cli import _show

    with _show.counting("looking at the clips") as on_progress:
        data = open_data(settings, on_progress)
    if data.skipped:
        clips = "1 clip is" if len(data.skipped) == 1 else f"{len(data.skipped)} clips are"
        more = " ... (gsfnas data check lists them all)" if len(data.skipped) > 3 else ""
        print(printable(f"{clips} left out: {'; '.join(data.skipped[:3])}{more}"), file=sys.stderr)
    for note in data.notes:
        print(printable(note), file=sys.stderr)
    return data


def _extreme(space: BoundSpace, pricer: Pricer, choose: Any) -> Candidate:
    """The candidate of the fewest or the most MACs: costs add up, so each site chooses for itself."""
    chosen: dict[str, int] = {}
    for site, options in zip(space.sites, space.options, strict=True):

        def cost(index: int, name: str = site.name, options: Any = options) -> tuple[int, int]:
            insertion = options[index]
            insertions = () if insertion is None else ((name, insertion),)
            total = pricer(Candidate(space.backbone, space.frames, space.resolution, insertions)).total
            return total.macs_fvcore, total.params

        chosen[site.name] = choose(range(len(options)), key=cost)
    return space.decode(chosen)


def _latency(heads: Mapping[str, int], device: str, candidate: Candidate) -> Latency:
    return measure_latency(
        build_model(candidate, heads),
        key=candidate.key,
        frames=candidate.frames,
        resolution=candidate.resolution,
        device=device,
        warm_up=3,
        runs=20,
        at_most_seconds=0.5,
    )
