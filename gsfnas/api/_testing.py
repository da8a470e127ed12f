"""Tests weights under a protocol."""

from pathlib import Path

from gsfnas.api._scores import save_scores
from gsfnas.api._watcher import Watcher
from gsfnas.data import DataSettings, VideoData
from gsfnas.executors.local import num_cores
from gsfnas.record import ProtocolScore, Record
from gsfnas.train import ProtocolSettings, TrainedModel, TrainSettings, VideoScores, resolve_device, run_test


def protocol_name(protocol: ProtocolSettings, split: str, data: VideoData) -> tuple[str, int, int, str, str]:
    """(name, clips, crops, split, fingerprint of the data): identifies a protocol in a study's records."""
    return protocol.name, protocol.clips, protocol.crops, split, data.fingerprint


def tested(
    trained: TrainedModel,
    settings: DataSettings,
    train: TrainSettings,
    protocol: ProtocolSettings,
    split: str,
    data: VideoData,
    title: str,
    watcher: Watcher,
) -> VideoScores:
    """Tests weights; ``title`` is that of the progress bar."""
    with watcher.counting(title) as on_progress:
        return run_test(
            trained,
            settings,
            train,
            protocol,
            data=data,
            split=split,
            threads=num_cores(),
            on_progress=on_progress,
            say=watcher.say,
        )


def score(
    settings: DataSettings,
    train: TrainSettings,
    protocol: ProtocolSettings,
    split: str,
    data: VideoData,
    out: Path,
    watcher: Watcher,
    record: Record,
    weights: Path,
) -> ProtocolScore:
    """Scores a run's weights under a protocol, as a study records it; saves every score in a folder of the run in ``out``."""
    trained = TrainedModel.of(weights)
    found = tested(trained, settings, train, protocol, split, data, record.candidate.key, watcher)
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
