"""Fills the paper's tables: costs are computed from the candidates of the rows, accuracies are taken from studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsfnas import plain_yaml
from gsfnas.api._folders import check_writable
from gsfnas.api._space import bind_space
from gsfnas.api._watcher import Watcher
from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate
from gsfnas.config import load_space
from gsfnas.convention import FVCORE
from gsfnas.cost import count_operations, measure_latency
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.paper import NUMBERS, PaperTable, Reference, load_table
from gsfnas.record import Latency, StudyRecord
from gsfnas.report import AblationTable, RowCost, StudyRows, ablation_table, accuracies, study_rows
from gsfnas.report.pages.ablation import latex, markdown, to_csv
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.study import load_study, study_names
from gsfnas.train import resolve_device

__all__ = ["FoundTable", "check_writable", "numbers_of", "tables", "write"]

_LATENCY_ROUNDS = 2


@dataclass(frozen=True)
class FoundTable:
    """A filled table, and the candidate of each row (row -> candidate)."""

    table: AblationTable
    candidates: Mapping[str, Candidate]


def numbers_of(given: str) -> tuple[int, ...]:
    """Parses the number of a table, such as ``4``, or ``all``. Raises UserError for anything else."""
    if given == "all":
        return NUMBERS
    if not given.isdecimal():
        raise UserError(f"a table is a number from {NUMBERS[0]} to {NUMBERS[-1]}, or all, but got {given!r}")
    return (load_table(int(given)).number,)


def tables(
    numbers: Sequence[int],
    runs: Path,
    *,
    study: str | None = None,
    row: str | None = None,
    measures: bool = True,
    config_root: Path | None = None,
    watcher: Watcher | None = None,
) -> list[FoundTable]:
    """The tables with these numbers, with accuracies as far as ``runs`` has them; ``row`` limits a single table to one row.

    Raises UserError for an unknown row or study, and if a space no longer has a row of the paper.
    """
    found = []
    watcher = watcher or Watcher()
    studies = _Studies(runs, watcher)
    with watcher.counting("counting operations") as progress:
        total = sum(row.reference is not None for number in numbers for row in load_table(number).rows)
        done = 0
        for number in numbers:
            table = load_table(number)
            if row is not None:
                table.row(row)
            candidates = {one.name: _candidate(one.reference, config_root) for one in table.rows if one.reference is not None}
            if row is not None:
                candidates = {name: candidate for name, candidate in candidates.items() if name == row}
            costs = {}
            for name, candidate in candidates.items():
                costs[name] = _cost(table, name, candidate)
                done += 1
                progress(done, total)
            found.append(_table(table, candidates, costs, studies, study, measures, config_root))
    if row is None:
        return found
    (one,) = found
    lines = tuple(line for line in one.table.lines if line.row.name == row)
    kept = AblationTable(one.table.table, lines, one.table.study, one.table.others)
    return [FoundTable(kept, one.candidates)]


def write(found: Sequence[AblationTable], folder: Path) -> list[Path]:
    """Writes ``tableNN.md`` and ``.tex`` for each table, and ``tables.csv`` for all of them; each file atomically.

    The CSV of a single table is called ``tableNN.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"tables.csv" if len(found) > 1 else f"table{found[0].table.number:02d}.csv": to_csv(found)}
    for one in found:
        texts[f"table{one.table.number:02d}.md"] = markdown(one)
        texts[f"table{one.table.number:02d}.tex"] = latex(one)
    paths = []
    for name, text in sorted(texts.items()):
        made = folder / f".{name}.new"
        made.write_text(text, encoding="utf-8", newline="\n")
        paths.append(made.replace(folder / name))
    return paths


def _table(
    table: PaperTable,
    candidates: Mapping[str, Candidate],
    costs: Mapping[str, RowCost],
    studies: "_Studies",
    asked: str | None,
    measures: bool,
    config_root: Path | None,
) -> FoundTable:
    keys = {name: candidate.key for name, candidate in candidates.items()}
    if table.study is None and asked is not None:
        raise UserError(
            f"table {table.number} has no study of its own; accuracies come from studies of its rows on {table.data}"
        )
    chosen, others = studies.of(table, asked)
    rows = None if chosen is None else _study_rows(chosen, table, keys, config_root)
    elsewhere = {} if table.study is not None else studies.elsewhere(table, keys)
    latencies = _latencies(table, candidates) if measures and "latency_ms" in table.printed else {}
    return FoundTable(
        ablation_table(table, keys, costs, study=rows, others=others, elsewhere=elsewhere, latencies=latencies), candidates
    )


def _candidate(reference: Reference, config_root: Path | None) -> Candidate:
    """The candidate of a row of a space, on the backbone that the paper used."""
    space = load_space(reference.space, config_root)
    bound = bind_space(space, reference.backbone, {}, reference.frames, reference.resolution)
    return _row(bound, reference.row)


def _row(bound: BoundSpace, name: str) -> Candidate:
    rows = dict(bound.rows) if isinstance(bound, BoundRows) else {}
    if name not in rows:
        raise UserError(f"space {bound.name!r} has no row {name!r}, which the paper's table asks for (rows: {', '.join(rows)})")
    return rows[name]


def _cost(table: PaperTable, name: str, candidate: Candidate) -> RowCost:
    rule = table.row(name).convention
    assert rule is not None, "a row that is a candidate has a convention"
    own, fvcore = (count_operations(candidate, one, table.classes) for one in (rule, FVCORE))
    return RowCost(own.params_m, own.giga, fvcore.giga)


class _Studies:
    """The studies in a folder, each read once."""

    def __init__(self, runs: Path, watcher: Watcher) -> None:
        self.runs, self.watcher = runs, watcher
        self._read: dict[str, StudyRecord | None] = {}

    def of(self, table: PaperTable, asked: str | None) -> tuple[StudyRecord | None, list[str]]:
        """The study whose accuracies fill a table, and the names and settings of other studies that could."""
        if asked is not None:
            return load_study(self.runs, asked), []
        if table.study is None:
            return None, []
        able = [study for study in self._all() if study.space == table.study and study.rows]
        chosen = next((study for study in able if study.name == table.study), None)
        return chosen, [f"{study.name} ({', '.join(_setting(study).values())})" for study in able if study is not chosen]

    def elsewhere(self, table: PaperTable, keys: Mapping[str, str]) -> dict[str, tuple[str, Mapping[int, float]]]:
        """Row -> (study, accuracies), for rows with one view whose candidate some study ran on the table's data.

        If several did, the first one by name is used.
        """
        found: dict[str, tuple[str, Mapping[int, float]]] = {}
        for study in self._all():
            if _setting(study)["data"] != table.data:
                continue
            values = accuracies((*study.records, *study.replicates))
            for name, key in keys.items():
                if key in values and table.row(name).views == 1:
                    found.setdefault(name, (study.name, values[key]))
        return found

    def _all(self) -> list[StudyRecord]:
        for name in study_names(self.runs):
            if name not in self._read:
                try:
                    self._read[name] = load_study(self.runs, name)
                except UserError as error:
                    self.watcher.say(f"left out: {error}")
                    self._read[name] = None
        return [study for study in self._read.values() if study is not None]


def _resolved(study: StudyRecord) -> dict[str, Any]:
    """The sections ``data``, ``backbone`` and ``train`` of a study's configuration; a missing one is empty."""
    resolved = plain_yaml.load(study.study_yaml, f"the configuration of study {study.name!r}") if study.study_yaml else None
    resolved = resolved if isinstance(resolved, dict) else {}
    found = {section: resolved.get(section) for section in ("data", "backbone", "train")}
    return {section: values if isinstance(values, dict) else {} for section, values in found.items()}


def _setting(study: StudyRecord) -> dict[str, str]:
    """Data set, backbone, clip size and epochs of a study, as text."""
    resolved = _resolved(study)
    data, backbone = resolved["data"], resolved["backbone"]
    options = {name: value for name, value in backbone.items() if name != "name"}
    try:
        named = str(backbone_ref(str(backbone.get("name", "micro")), options, is_from_data=True))
    except UserError:
        named = str(backbone.get("name", "?"))
    return {
        "data": str(data.get("name", "?")),
        "backbone": named,
        "size": f"{data.get('frames', '?')} frames at {data.get('resolution', '?')} px",
        "epochs": f"{resolved['train'].get('epochs', '?')} epochs",
    }


def _study_rows(study: StudyRecord, table: PaperTable, papers: Mapping[str, str], config_root: Path | None) -> StudyRows:
    """A study's results for the rows of a table; rows that have changed since it ran are left out."""
    resolved = _resolved(study)
    current: dict[str, str] = {}
    # Values of environment variables are not known here.
    is_known = not any("${" in str(value) for value in resolved["backbone"].values())
    size = {name: value for name in ("frames", "resolution") if isinstance(value := resolved["data"].get(name), int)}
    if table.study is not None and study.space == table.study and len(size) == 2 and is_known:
        options = {name: value for name, value in resolved["backbone"].items() if name != "name"}
        name = str(resolved["backbone"].get("name", "micro"))
        space = load_space(table.study, config_root)
        bound = bind_space(space, name, options, size["frames"], size["resolution"], is_from_data=True)
        current = {row: candidate.key for row, candidate in bound.rows} if isinstance(bound, BoundRows) else {}
    return study_rows(study, table, current, papers, _setting(study))


def _latencies(table: PaperTable, candidates: Mapping[str, Candidate]) -> dict[str, list[Latency]]:
    """Latency of one clip for each network, in full and half precision.

    Every round measures all networks in turn, and the fastest round of each counts.
    """
    device = str(resolve_device("auto"))
    half = "float16" if device.startswith("cuda") else "bfloat16"
    found: dict[tuple[str, str], list[Latency]] = {}
    models = {name: build_model(candidate, table.classes) for name, candidate in candidates.items()}
    for _ in range(_LATENCY_ROUNDS):
        for name, model in models.items():
            for precision in ("float32", half):
                found.setdefault((name, precision), []).append(
                    measure_latency(
                        model,
                        key=candidates[name].key,
                        frames=candidates[name].frames,
                        resolution=candidates[name].resolution,
                        device=device,
                        precision=precision,
                        warm_up=1,
                        runs=20,
                        at_most_seconds=1.0,
                    )
                )
    best: dict[str, list[Latency]] = {}
    for (name, _), rounds in found.items():
        best.setdefault(name, []).append(min(rounds, key=lambda latency: latency.median_ms))
    return best
