"""Tables of finished runs: every candidate of a space, trained with several seeds, every epoch of every run.

A table is a folder of three files, plain data that name no code:
- ``card.json``: what was asked, of which space, backbone, data and recipe; how and on what machine it was made; the checksums
  of the others; its schema version.
- ``candidates.csv.gz``: a row for each candidate: key, the candidate as JSON, its costs, its latency on the card's machine.
- ``epochs.csv.gz``: a row for each epoch of each run: key, replicate, training seed, epoch, the metrics.
"""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

from gsfnas import checked
from gsfnas.candidate import Candidate
from gsfnas.errors import UserError, shown, unknown
from gsfnas.files import read_bytes, write
from gsfnas.record import Latency, StudyRecord

VERSION = 1
SHIPPED = Path(__file__).parent / "tables"
CARD, CANDIDATES, EPOCHS = "card.json", "candidates.csv.gz", "epochs.csv.gz"
# More than a table of ten thousand runs has; a smaller file could unpack to any size.
_MAX_BYTES = 256 * 2**20
_COSTS = ("params", "macs_fvcore", "macs_ptflops", "activations", "saved_bytes")
_LATENCY = ("latency_median_ms", "latency_low_ms", "latency_high_ms")
_CANDIDATE_COLUMNS = ("key", "candidate", *_COSTS, *_LATENCY)
_EPOCH_COLUMNS = ("key", "replicate", "seed", "epoch")
# Of the settings of data and recipe, those that change no number.
_IRRELEVANT = ("root", "cache", "cache_gb", "workers", "skip_broken", "device", "compile", "channels_last", "cuda_graphs")


@dataclass(frozen=True)
class BenchmarkTable:
    """The runs of a table. ``curves`` maps (key, replicate) to the metrics of each epoch; ``seeds`` to the training seed.

    ``card`` is the content of ``card.json``. Accuracies are fractions, losses nats.
    """

    card: Mapping[str, Any]
    candidates: Mapping[str, Candidate]
    costs: Mapping[str, Mapping[str, int]]
    latencies: Mapping[str, Latency]
    seeds: Mapping[tuple[str, int], int]
    curves: Mapping[tuple[str, int], tuple[Mapping[str, float], ...]]

    @property
    def name(self) -> str:
        return str(self.card["name"])

    @property
    def num_seeds(self) -> int:
        """The number of runs of each candidate."""
        return int(self.card["seeds"])

    @property
    def epochs(self) -> int:
        """The number of epochs of each run."""
        return int(self.card["epochs"])

    @property
    def heads(self) -> dict[str, int]:
        """Task -> number of classes."""
        return {str(task): int(classes) for task, classes in self.card["heads"].items()}

    @cached_property
    def options(self) -> Mapping[str, frozenset[Any]]:
        """Site -> the insertions that some candidate has there."""
        found: dict[str, set[Any]] = {}
        for candidate in self.candidates.values():
            for site, insertion in candidate.insertions:
                found.setdefault(site, set()).add(insertion)
        return {site: frozenset(insertions) for site, insertions in found.items()}

    def query(self, candidate: Candidate | str, replicate: int, epoch: int | None = None) -> dict[str, float]:
        """The metrics of a run after an epoch, by default the last; ``candidate`` is one, or its key.

        Raises UserError for a candidate, replicate or epoch that the table does not have.
        """
        key = candidate if isinstance(candidate, str) else candidate.key
        if key not in self.candidates:
            raise UserError(
                f"table {self.name!r} has no candidate {shown(key)}; it has {len(self.candidates)} of its own space"
            )
        if not isinstance(replicate, int) or not 0 <= replicate < self.num_seeds:
            raise UserError(f"table {self.name!r} has replicates 0 to {self.num_seeds - 1}, but got {shown(replicate)}")
        last = self.epochs if epoch is None else epoch
        if not isinstance(last, int) or not 1 <= last <= self.epochs:
            raise UserError(f"table {self.name!r} has epochs 1 to {self.epochs}, but got {shown(epoch)}")
        return dict(self.curves[key, replicate][last - 1])

    def arrays(self, metrics: Sequence[str] = ("val_top1", "test_top1")) -> tuple[list[dict[str, str]], Any]:
        """All runs as arrays: the choices of each candidate (site -> label, ``-`` for nothing), and (C, R, E, M) values.

        C candidates, R replicates, E epochs, M ``metrics``. Raises UserError for a metric that the table does not have.
        """
        import numpy as np

        from gsfnas.modules import label

        known = self.curves[next(iter(self.curves))][0]
        for metric in metrics:
            if metric not in known:
                raise unknown("metric of the table", metric, known)
        sites = sorted(self.options)
        choices = []
        for candidate in self.candidates.values():
            held = dict(candidate.insertions)
            choices.append({site: label(held[site]) if site in held else "-" for site in sites})
        values = [
            [
                [[epoch[metric] for metric in metrics] for epoch in self.curves[key, replicate]]
                for replicate in range(self.num_seeds)
            ]
            for key in self.candidates
        ]
        return choices, np.array(values)

    @classmethod
    def of_study(cls, study: StudyRecord, card: Mapping[str, Any]) -> Self:
        """The table of a study all of whose candidates have run with all seeds; ``card`` is completed with their numbers.

        Raises UserError if a run is missing, or has no scores of the test split for each epoch.
        """
        records = [*study.records, *study.replicates]
        runs = {(one.candidate.key, one.replicate): one for one in records if one.outcome == "complete"}
        candidates = {one.candidate.key: one.candidate for one in study.records}
        seeds = max((replicate for _, replicate in runs), default=0) + 1
        for key, replicate in product(candidates, range(seeds)):
            if (key, replicate) not in runs:
                raise UserError(f"study {study.name!r} has no complete run of {key} with seed {replicate + 1} of {seeds}")
        curves = {run: tuple(epoch.metrics for epoch in record.curve) for run, record in runs.items()}
        epochs = {len(curve) for curve in curves.values()}
        if len(epochs) != 1 or not all("test_top1" in epoch for curve in curves.values() for epoch in curve):
            raise UserError(f"the runs of study {study.name!r} must test each epoch: evaluator.test_each_epoch=true")
        return cls(
            card={**card, "version": VERSION, "seeds": seeds, "epochs": epochs.pop()},
            candidates=dict(sorted(candidates.items())),
            costs={one.candidate.key: {name: one.cost[name] for name in _COSTS} for one in study.records},
            latencies={latency.key: latency for latency in study.latencies},
            seeds={run: record.seed for run, record in runs.items()},
            curves=curves,
        )

    def write(self, folder: Path) -> None:
        """Writes the three files; the same table gives the same bytes. Raises CannotWriteError if that fails."""
        metrics = sorted({name for curve in self.curves.values() for epoch in curve for name in epoch})
        files = {
            CANDIDATES: _packed(_CANDIDATE_COLUMNS, map(self._candidate_row, self.candidates)),
            EPOCHS: _packed((*_EPOCH_COLUMNS, *metrics), self._epoch_rows(metrics)),
        }
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        card = json.dumps({**self.card, "files": sums}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, content in files.items():
            write(folder / name, content)
        write(folder / CARD, card)

    def _candidate_row(self, key: str) -> list[object]:
        latency, costs = self.latencies.get(key), self.costs[key]
        times = ["", "", ""] if latency is None else [latency.median_ms, latency.low_ms, latency.high_ms]
        return [key, self.candidates[key].to_json(), *(costs[name] for name in _COSTS), *times]

    def _epoch_rows(self, metrics: Sequence[str]) -> Iterable[list[object]]:
        for key, replicate in product(self.candidates, range(self.num_seeds)):
            for number, epoch in enumerate(self.curves[key, replicate], start=1):
                values = [f"{epoch[name]:.7g}" if name in epoch else "" for name in metrics]
                yield [key, replicate, self.seeds[key, replicate], number, *values]


def shipped_tables() -> list[str]:
    """The names of the tables that come with gsfnas."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))


def read_table(name: str | Path) -> BenchmarkTable:
    """A table that is shipped, by its name, or the one in a folder.

    Raises UserError for a name that is neither, and for a table that is damaged, incomplete or of another version.
    """
    folder = SHIPPED / name if isinstance(name, str) and name in shipped_tables() else Path(name)
    if not os.path.isfile(folder / CARD):  # noqa: PTH113, since Path.is_file raises OSError for a name that is too long
        raise UserError(f"{unknown('table', str(name), shipped_tables())}; or the folder of a table, which has a file {CARD}")
    card = _read_card(folder / CARD)
    sums, epochs, seeds = card["files"], card["epochs"], card["seeds"]
    candidates: dict[str, Candidate] = {}
    costs: dict[str, dict[str, int]] = {}
    latencies: dict[str, Latency] = {}
    for row, where in _rows(folder / CANDIDATES, sums, _CANDIDATE_COLUMNS):
        with _placed(where):
            candidate = Candidate.from_json(row["candidate"])
            if candidate.key != row["key"]:
                raise checked.refused("key", f"{candidate.key}, which is that of its candidate", row["key"])
            candidates[candidate.key] = candidate
            costs[candidate.key] = {name: _whole(row[name], name) for name in _COSTS}
            if row[_LATENCY[0]]:
                median, low, high = (_number(row[name], name) for name in _LATENCY)
                latencies[candidate.key] = Latency(candidate.key, median, low, high, **_conditions(card.get("latency", {})))
    if not candidates:
        raise UserError(f"{folder / CANDIDATES} must have a row for each candidate, but has none")
    curves: dict[tuple[str, int], list[dict[str, float]]] = {}
    found: dict[tuple[str, int], int] = {}
    for row, where in _rows(folder / EPOCHS, sums, _EPOCH_COLUMNS):
        with _placed(where):
            key, replicate, epoch = row["key"], _whole(row["replicate"], "replicate"), _whole(row["epoch"], "epoch")
            curve = curves.setdefault((key, replicate), [])
            if key not in candidates or replicate >= seeds or epoch != len(curve) + 1 or epoch > epochs:
                raise UserError(f"epoch {epoch} of replicate {replicate} of {shown(key)} is not expected here")
            found[key, replicate] = _whole(row["seed"], "seed")
            curve.append({name: _number(text, name) for name, text in row.items() if name not in _EPOCH_COLUMNS and text})
    for run in product(candidates, range(seeds)):
        if len(curves.get(run, ())) != epochs:
            raise UserError(f"{folder / EPOCHS} lacks epochs of replicate {run[1]} of {run[0]}")
    whole = {run: tuple(curve) for run, curve in curves.items()}
    return BenchmarkTable(card, candidates, costs, latencies, found, whole)


def differences(card: Mapping[str, Any], section: str, settings: Mapping[str, Any]) -> list[str]:
    """``data.far: 3 -> 0`` for each setting of ``section`` (data, train) that differs from the table's and changes numbers."""
    theirs = card.get(section, {})
    names = [name for name in settings if name in theirs and name not in _IRRELEVANT]
    return [f"{section}.{name}: {theirs[name]} -> {settings[name]}" for name in names if settings[name] != theirs[name]]


def noise_ceiling(table: BenchmarkTable, metric: str = "test_top1") -> float:
    """The mean rank correlation (Spearman) between one replicate's candidates and the mean of the others.

    No model that has seen one run of each candidate can be expected to rank them better. NaN for a table of one seed, or of
    equal values.
    """
    from scipy.stats import spearmanr

    _, values = table.arrays([metric])
    last = values[:, :, -1, 0]
    if last.shape[1] < 2 or (last.max(axis=0) == last.min(axis=0)).any():
        return math.nan
    others = (last.sum(axis=1, keepdims=True) - last) / (last.shape[1] - 1)
    found = [float(spearmanr(last[:, one], others[:, one]).statistic) for one in range(last.shape[1])]
    return sum(found) / len(found)


def _packed(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # Without a time, so that the same rows give the same bytes.
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no JSON") from None
    if not isinstance(card, dict) or card.get("version") != VERSION:
        version = card.get("version") if isinstance(card, dict) else None
        raise UserError(f"{path}: `version` must be {VERSION}, that of tables of this gsfnas, but got {shown(version)}")
    with _placed(str(path)):
        checked.text(checked.field(card, "name"), "name")
        for task, classes in checked.mapping(checked.field(card, "heads"), "heads").items():
            checked.integer(classes, f"heads.{task}", 1)
        for number in ("epochs", "seeds"):
            checked.integer(checked.field(card, number), number, 1)
        checked.mapping(checked.field(card, "files"), "files")
        for section in ("data", "train", "latency"):
            checked.mapping(card.get(section, {}), section)
    return card


def _rows(path: Path, sums: Mapping[str, Any], columns: Sequence[str]) -> Iterable[tuple[dict[str, str], str]]:
    """Each row of a file, by its columns, and where it stands. Raises UserError for a file that is not what its card says."""
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != sums.get(path.name):
        raise UserError(f"{path} is damaged: its checksum is not the one in {CARD}")
    try:
        unpacked = zlib.decompressobj(wbits=31)
        data = unpacked.decompress(content, _MAX_BYTES)
        if unpacked.unconsumed_tail or not unpacked.eof:
            raise UserError(f"{path} must be a whole gzip file of at most {_MAX_BYTES >> 20} MiB")
        reader = csv.DictReader(io.StringIO(data.decode()))
        if tuple(reader.fieldnames or ())[: len(columns)] != tuple(columns):
            raise UserError(f"{path} must begin with the columns {', '.join(columns)}")
        for number, row in enumerate(reader, start=2):
            if None in row or None in row.values():
                raise UserError(f"{path}, line {number}: it must have {len(reader.fieldnames or ())} values")
            yield row, f"{path}, line {number}"
    except (zlib.error, UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} is no gzip file of UTF-8 text") from None


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Says in an error where it was found."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _whole(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise checked.refused(what, "an integer of at least 0", text)
    return checked.integer(int(text), what)


def _number(text: str, what: str) -> float:
    try:
        return checked.number(float(text), what)
    except ValueError:
        raise checked.refused(what, "a number", text) from None


def _conditions(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **checked.fields(values, checked.text, "device", "precision"),
        **checked.fields(values, checked.integer, "threads", "batch"),
    }
