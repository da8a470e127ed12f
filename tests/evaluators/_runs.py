"""A space of three sites, and a study of all its candidates with three seeds, whose numbers follow from a hash."""

from dataclasses import replace

from gsfnas.api import bind_space
from gsfnas.record import Epoch, Latency, Record, StudyRecord
from gsfnas.seeds import derive, training_seed
from gsfnas.space import BoundSpace, Space

SEEDS, EPOCHS_OF_A_RUN = 3, 2
COSTS = {"params": 10, "macs_fvcore": 100, "macs_ptflops": 110, "activations": 7, "saved_bytes": 30}


def small_space(pattern: tuple[str, ...] = ("layer1.0.*", "layer2.0.*", "layer3.0.*")) -> BoundSpace:
    values = {"name": "three", "sites": {"pattern": list(pattern), "role": "default"}}
    space = Space.from_dict({**values, "insertions": [{"module": "gsf", "ratio": 0.25}]})
    return bind_space(space, "micro18", {}, 8, 32)


def metrics_at(key: str, replicate: int, epoch: int) -> dict[str, float]:
    value = round(0.4 + 0.1 * epoch + derive(key) % 100 / 1000 + derive(key, replicate) % 100 / 10_000, 6)
    return {"train_loss": 2.0 / epoch, "val_top1": value, "test_top1": round(value - 0.02, 6), "seconds": 3.5 * epoch}


def study_record(space: BoundSpace) -> StudyRecord:
    records = []
    for replicate in range(SEEDS):
        for candidate in space:
            key = candidate.key
            curve = tuple(Epoch(epoch, metrics_at(key, replicate, epoch)) for epoch in range(1, EPOCHS_OF_A_RUN + 1))
            run = Record(len(records), candidate, "search", "complete", training_seed(0, key, replicate), replicate, COSTS)
            records.append(replace(run, curve=curve, metrics=dict(curve[-1].metrics)))
    first = tuple(one for one in records if not one.replicate)
    rest = tuple(one for one in records if one.replicate)
    latencies = tuple(Latency(one.candidate.key, 1.5, 1.25, 1.75, "a CPU", 1, "float32") for one in first)
    return StudyRecord("made", "three", 8, space.sites, 10, first, rest, latencies)
