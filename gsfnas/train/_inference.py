"""Tests a network under a protocol: the logits of several views of each video are averaged."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from gsfnas import checked
from gsfnas.candidate import Candidate
from gsfnas.data import ClipSplit, DataSettings, VideoData, open_data
from gsfnas.errors import UserError, shortened
from gsfnas.model import VideoModel, build_model
from gsfnas.train._batch import to_frames
from gsfnas.train._checkpoint import LAST, WEIGHTS
from gsfnas.train._device import devices_from, make_fabric, resolve_device, resolve_precision
from gsfnas.train._distributed import Tell, launch
from gsfnas.train._protocol import ProtocolSettings
from gsfnas.train._scores import TaskScores, VideoScores, joined
from gsfnas.train._settings import TrainSettings
from gsfnas.weights import InputNormalization, read_metadata, read_state
from gsfnas.weights._normalization import IMAGENET

# The number of views per batch, unless a single video has more.
_VIEWS_PER_BATCH = 64
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainedModel:
    """A file of weights, with the candidate, the classes of its heads and the input normalization from its metadata."""

    path: Path
    candidate: Candidate
    heads: tuple[tuple[str, int], ...]
    pixels: InputNormalization

    @classmethod
    def of(cls, path: Path) -> "TrainedModel":
        """Reads a run's folder or a safetensors file. Raises UserError if there are no weights, or no candidate with them."""
        if path.is_dir():
            if not (path / WEIGHTS).is_file():
                if not (path / LAST).exists():
                    raise UserError(f"{path} is not a run's folder: it has no {WEIGHTS}")
                raise UserError(
                    f"{path} has no {WEIGHTS}: if the run has not finished, run its command again to resume it; if the file "
                    "was removed, train again with another --out"
                )
            path = path / WEIGHTS
        if not path.is_file():
            raise UserError(f"there is no run and no weights file {str(path)!r}")
        if path.suffix != ".safetensors":
            raise UserError(f"{path} does not name its network; import it first: gsfnas weights import {path}")
        metadata = read_metadata(path)
        try:
            candidate, heads = Candidate.from_json(metadata["candidate"]), json.loads(metadata["heads"])
            heads = {task: checked.integer(classes, task, least=1) for task, classes in checked.mapping(heads, "heads").items()}
        except (KeyError, ValueError, RecursionError):
            raise UserError(f"{path} does not name its candidate; import it with gsfnas weights import") from None
        if not heads:
            raise UserError(f"{path} has a backbone but no head; train one with train.init={path}")
        try:
            pixels = InputNormalization.from_text(metadata["pixels"]) if "pixels" in metadata else IMAGENET
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return cls(path, candidate, tuple(heads.items()), pixels)

    def build(self) -> VideoModel:
        """The network with its weights, in eval mode. Raises UserError for weights that do not fit the candidate."""
        network = build_model(self.candidate, dict(self.heads), dropout=0.0)
        state = read_state(self.path)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(f"{self.path} does not fit its candidate: {shortened(str(error), 160)}") from None
        return network.eval()


def check_data(trained: TrainedModel, settings: DataSettings, data: VideoData) -> None:
    """Raises UserError if the weights do not fit the data: frames, resolution and classes."""
    candidate = trained.candidate
    if (candidate.frames, candidate.resolution) != (settings.frames, settings.resolution):
        raise UserError(
            f"{trained.path} reads {candidate.frames} frames at {candidate.resolution} px, but the data give {settings.frames} "
            f"frames at {settings.resolution} px"
        )
    classes = {task: len(names) for task, names in data.tasks.items()}
    heads = dict(trained.heads)
    if len(classes) == len(heads) == 1:
        heads = dict(zip(classes, heads.values(), strict=True))
    if heads != classes:
        raise UserError(f"{trained.path} has heads for {_listed(heads)}, but the data have {_listed(classes)}")


def run_test(
    trained: TrainedModel,
    settings: DataSettings,
    train: TrainSettings,
    protocol: ProtocolSettings,
    *,
    data: VideoData | None = None,
    split: str = "test",
    threads: int = 1,
    on_progress: OnProgress = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> VideoScores:
    """The scores of every video of a split, computed by ``train.devices`` processes.

    ``say`` receives a message for the user if videos are too short for the protocol. Raises UserError if the data do not fit
    the network or do not have enough views, and RuntimeError if a process dies.
    """
    data = open_data(settings) if data is None else data
    check_data(trained, settings, data)
    device = resolve_device(train.device)
    devices, precision = devices_from(device, train.devices), resolve_precision(train.precision, device)
    _, short = data.split(split).viewed(protocol.clips, protocol.crops)
    if short:
        say(f"{short} of {len(data.split(split))} videos are too short for {protocol.clips} different clips; some are repeated")
    if len(devices) == 1:
        torch.set_num_threads(threads)
        fabric = make_fabric(device, precision)
        return score_split(trained, data, split, protocol, fabric, on_progress)
    work = _RankTest(trained, settings, split, protocol)
    parts: VideoScores | None = None
    for report in launch(work, device, precision, devices, max(1, threads // len(devices))):
        if isinstance(report, VideoScores):
            parts = report
        else:
            on_progress(*report)
    assert parts is not None
    return parts


@torch.inference_mode()
def score_split(
    trained: TrainedModel, data: VideoData, split: str, protocol: ProtocolSettings, fabric: Fabric, on_progress: OnProgress
) -> VideoScores:
    """The (n, classes) logits of each task, averaged over the views.

    Several processes score a section each, and all return the scores of the whole split.
    """
    network = trained.build().to(fabric.device)
    viewed, _ = data.split(split).viewed(protocol.clips, protocol.crops)
    names = tuple(viewed.names) or tuple(str(number) for number in range(len(viewed)))
    rank, world = fabric.global_rank, fabric.world_size
    start, stop = len(viewed) * rank // world, len(viewed) * (rank + 1) // world
    found: dict[str, list[Tensor]] = {task: [] for task in viewed.labels}
    own = viewed.section(start, stop)
    done = 0
    for count, logits in _logits(network, own, protocol.views, fabric, trained.pixels):
        for task, values in zip(viewed.labels, logits, strict=True):
            found[task].append(values)
        done += count
        on_progress(min(done * world, len(viewed)), len(viewed))
    tasks = {}
    for task, labels in own.labels.items():
        classes = data.tasks[task]
        scores = torch.cat([torch.zeros(0, len(classes)), *found[task]]).numpy()
        tasks[task] = TaskScores(scores, np.asarray(labels), classes)
    tested = VideoScores(tasks, names[start:stop])
    if world == 1:
        return tested
    parts: list[VideoScores] = [tested] * world
    torch.distributed.all_gather_object(parts, tested)
    whole = joined(parts)
    assert len(whole.names) == len(viewed)
    return whole


def _logits(
    network: VideoModel, split: ClipSplit, views: int, fabric: Fabric, pixels: InputNormalization
) -> Iterator[tuple[int, list[Tensor]]]:
    """Yields batches of videos: their number, and the (B, classes) mean logits of each head."""
    for clips, _ in split.batches(max(1, _VIEWS_PER_BATCH // views), pinned=fabric.device.type == "cuda"):
        with fabric.autocast():
            logits = network(to_frames(clips, fabric.device, pixels))
        yield len(clips), [values.float().unflatten(0, (-1, views)).mean(dim=1).cpu() for values in logits.values()]


@dataclass(frozen=True)
class _RankTest:
    """The test as it runs in each of several processes."""

    trained: TrainedModel
    settings: DataSettings
    split: str
    protocol: ProtocolSettings

    def __call__(self, fabric: Fabric, tell: Tell) -> None:
        data = open_data(self.settings)
        tell(score_split(self.trained, data, self.split, self.protocol, fabric, lambda done, total: tell((done, total))))


def _listed(heads: dict[str, int]) -> str:
    return ", ".join(f"{count} {task} classes" for task, count in heads.items())
