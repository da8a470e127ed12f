"""Tables as data: cells with a text, a value to sort by and what else a page may draw; no markup here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gsfnas.candidate import Candidate
from gsfnas.record import Record
from gsfnas.report._analysis import Spread, StudyAnalysis
from gsfnas.report._effects import Effect, Factor
from gsfnas.report._figures import strip_of
from gsfnas.report._metrics import METRICS, NOT_RUN, Metric, duration

PER_RUN = ("params", "macs_fvcore", "macs_ptflops", "activations", "latency_median_ms")


@dataclass(frozen=True)
class Cell:
    """``sort`` orders a column (None last); ``strip`` is one module a site to be drawn; ``copy`` a text to be copied."""

    text: str
    sort: float | str | None = None
    title: str = ""
    is_code: bool = False
    strip: tuple[str, ...] | None = None
    copy: str | None = None


@dataclass(frozen=True)
class Column:
    label: str
    is_number: bool = False
    title: str = ""


@dataclass(frozen=True)
class Table:
    """``caption`` says what it shows; every row has one cell a column, the first being the row's name."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: frozenset[int] = frozenset()
    is_sortable: bool = False


def comparison(analysis: StudyAnalysis) -> Table:
    """Baseline, full and best side by side, and the best minus the baseline; nothing of rows that have no baseline."""
    named = analysis.named
    baseline, best = named.get("baseline"), named.get("best")
    # Rows have no candidate that holds everything their space allows.
    names = ("baseline", "best") if analysis.is_of_rows else ("baseline", "full", "best")
    if analysis.is_of_rows and baseline is None:
        return Table("comparison", "", (), ())
    rows: list[tuple[Cell, ...]] = [
        (Cell("Candidate"), *(_key_cell(named[name]) if name in named else Cell(NOT_RUN) for name in names), Cell("")),
        (
            Cell("Sites"),
            *(_strip_cell(analysis, named[name].candidate) if name in named else Cell(NOT_RUN) for name in names),
            Cell(""),
        ),
    ]
    for metric in (METRICS["val_top1"], METRICS["test_top1"]):
        spreads = {name: analysis.spread(named.get(name), metric.key) for name in names}
        first, last = spreads["baseline"], spreads["best"]
        gap = None if first is None or last is None else last.mean - first.mean
        text = NOT_RUN if gap is None else f"{metric.difference(gap)} {metric.difference_unit}"
        rows.append((Cell(metric.heading), *(Cell(spread_text(spreads[name], metric)) for name in names), Cell(text)))
    for key in PER_RUN:
        metric = METRICS[key]
        values = {name: _value(analysis, named.get(name), key) for name in names}
        decimals = metric.decimals(value for value in values.values() if value is not None)
        before, after = _value(analysis, baseline, key), _value(analysis, best, key)
        text = NOT_RUN
        if before is not None and after is not None:
            share = f" ({METRICS['val_top1'].difference(after / before - 1)} %)" if before else ""
            text = metric.difference(after - before, decimals) + share
        rows.append((Cell(metric.heading), *(Cell(metric.text(values[name], decimals)) for name in names), Cell(text)))
    return Table(
        name="comparison",
        caption=f"{_listed(names)} on validation. Accuracies: mean ± standard deviation over the seeds in brackets.",
        columns=(
            Column(""),
            *(Column(name.capitalize(), True) for name in names),
            Column("Best − baseline", True),
        ),
        rows=tuple(rows),
    )


def _listed(names: Sequence[str]) -> str:
    """What the columns of the comparison are."""
    full = ", full (a module at every site)" if "full" in names else ""
    return f"Baseline (no module){full} and the best"


def candidates(analysis: StudyAnalysis) -> Table:
    """Every candidate, ranked by validation accuracy; those without a result stand last."""
    records = [*analysis.ranked, *(one for one in analysis.unfinished if one.phase != "replicate")]
    front = {record.candidate.key for record in analysis.front}
    metrics = [METRICS[key] for key in (*PER_RUN, "val_top1", "test_top1")]
    values = {metric.key: [_value(analysis, record, metric.key) for record in records] for metric in metrics}
    decimals = {metric.key: metric.decimals(v for v in values[metric.key] if v is not None) for metric in metrics}
    rows, marked = [], set()
    for index, record in enumerate(records):
        done = index < len(analysis.ranked)
        if record.candidate.key in front:
            marked.add(index)
        measured = [
            Cell(metric.text(values[metric.key][index], decimals[metric.key]), values[metric.key][index]) for metric in metrics
        ]
        rows.append(
            (
                Cell(str(index + 1) if done else "", float(index)),
                _key_cell(record, " ◆" if index in marked else ""),
                Cell("copy", copy=record.candidate.to_json()),
                _strip_cell(analysis, record.candidate),
                Cell(", ".join(analysis.titles(record)) if analysis.is_of_rows else record.phase),
                *measured[-2:],
                *measured[:-2],
                Cell(str(len(record.curve)), float(len(record.curve))),
                Cell(f"{record.seconds:,.0f}", record.seconds),
                Cell(str(record.seed), float(record.seed)),
                Cell(record.outcome, record.outcome),
            )
        )
    return Table(
        name="candidates",
        caption="Every candidate, ranked by the validation top-1 of its first seed. ◆ marks the Pareto front.",
        columns=(
            Column("#", True),
            Column("Candidate"),
            Column("JSON"),
            Column("Sites"),
            Column("Row" if analysis.is_of_rows else "Phase"),
            *(Column(metric.short_heading, True) for metric in (*metrics[-2:], *metrics[:-2])),
            Column(METRICS["epochs"].heading, True),
            Column(METRICS["seconds"].heading, True),
            Column("Seed", True),
            Column("Outcome"),
        ),
        rows=tuple(rows),
        marked=frozenset(marked),
        is_sortable=True,
    )


def seeds(analysis: StudyAnalysis) -> Table:
    """Every candidate that ran with more than one seed, and what each seed gave."""
    again = {record.candidate.key for record in analysis.study.replicates}
    rows = []
    for record in (one for one in analysis.ranked if one.candidate.key in again):
        names = ", ".join(analysis.titles(record))
        cells = [_key_cell(record), Cell(names)]
        for key in ("val_top1", "test_top1"):
            runs = [record, *(one for one in analysis.study.replicates if one.candidate.key == record.candidate.key)]
            each = ", ".join(METRICS[key].text(run.metrics.get(key)) for run in runs)
            cells += [Cell(spread_text(analysis.spread(record, key), METRICS[key])), Cell(each)]
        rows.append(tuple(cells))
    columns = [Column("Candidate"), Column("Name")]
    for key in ("val_top1", "test_top1"):
        columns += [Column(METRICS[key].heading, True), Column("each seed", True)]
    caption = "Candidates that were trained with several seeds: mean ± standard deviation (number of seeds)."
    return Table("seeds", caption, tuple(columns), tuple(rows))


def sites(analysis: StudyAnalysis) -> Table:
    """What a module at each site is worth, in points, on validation and on test."""
    known = {site.name: site for site in analysis.study.sites}
    rows = []
    for val, test in zip(analysis.effects["val_top1"].sites, analysis.effects["test_top1"].sites, strict=True):
        site = known.get(val.name)
        where = f"{site.channels} × {site.height} × {site.width}" if site else NOT_RUN
        rows.append(
            (
                Cell(val.name, is_code=True),
                Cell(where),
                Cell(f"{val.held} of {val.runs}"),
                *(_effect_cell(effect) for effect in (val, test)),
            )
        )
    columns = (
        Column("Site"),
        Column("Channels × height × width", True),
        Column("Held by", True),
        Column("Validation top-1 (points)", True),
        Column("Test top-1 (points)", True),
    )
    caption = "A module at the site rather than nothing, in points of top-1 with the 95 % interval; * where it leaves out zero."
    return Table("sites", caption, columns, tuple(rows))


def options(analysis: StudyAnalysis) -> Table:
    """What each option of an insertion is worth against its reference; empty where the space has one option."""
    pairs = zip(analysis.effects["val_top1"].factors, analysis.effects["test_top1"].factors, strict=False)
    rows = [row for val, test in pairs for row in _option_rows(val, test)]
    columns = (
        Column("Option"),
        Column("Level"),
        Column("Compared with"),
        Column("Held by", True),
        Column("Validation top-1 (points)", True),
        Column("Test top-1 (points)", True),
    )
    caption = "One insertion at this level rather than at the other, in points of top-1, with the 95 % interval."
    return Table("options", caption, columns, tuple(rows))


def failures(analysis: StudyAnalysis) -> Table:
    """Runs without a result, and why."""
    rows = [
        (
            Cell(str(record.number)),
            _key_cell(record),
            _strip_cell(analysis, record.candidate),
            Cell(record.phase),
            Cell(str(record.seed)),
            Cell(record.outcome),
            Cell(record.error or ("still running, or stopped" if record.outcome == "running" else "no accuracy was recorded")),
        )
        for record in analysis.unfinished
    ]
    columns = ("Number", "Candidate", "Sites", "Phase", "Seed", "Outcome", "Error")
    return Table("failures", "What each of them said; none of them enters a figure.", tuple(map(Column, columns)), tuple(rows))


def latencies(analysis: StudyAnalysis) -> Table:
    """Every latency measured, where there is more than one set of conditions; else empty."""
    metric = METRICS["latency_median_ms"]
    rows = [
        (
            Cell(one.key, is_code=True),
            Cell(metric.text(one.median_ms)),
            Cell(f"{metric.text(one.low_ms)} to {metric.text(one.high_ms)}"),
            Cell(one.device),
            Cell(str(one.threads)),
            Cell(one.precision),
            Cell(str(one.batch)),
        )
        for one in analysis.study.latencies
        if len(analysis.latency_conditions) > 1
    ]
    labels = ("Candidate", metric.heading, "Range (ms)", "Device", "Threads", "Precision", "Batch")
    numeric = (metric.heading, "Range (ms)", "Threads", "Batch")
    columns = tuple(Column(label, label in numeric) for label in labels)
    return Table("latencies", "Latency of one clip under all conditions measured.", columns, tuple(rows))


def protocols(analysis: StudyAnalysis) -> Table:
    """The runs whose weights were tested under a protocol beside the study's own; else empty."""
    test, macs = METRICS["test_top1"], METRICS["macs_fvcore"]
    scores = analysis.study.protocols
    decimals = macs.decimals(one.macs_fvcore for one in scores)
    rows = [
        (
            Cell(one.key, is_code=True),
            Cell(str(one.seed), float(one.seed)),
            Cell(one.protocol),
            Cell(f"{one.clips} × {one.crops}", float(one.clips * one.crops)),
            Cell(f"{one.split} ({one.videos:,})"),
            *(Cell(test.text(one.metrics.get(f"{one.split}_{name}"))) for name in ("top1", "top5", "mean_class")),
            Cell(macs.text(one.macs_fvcore, decimals), float(one.macs_fvcore)),
        )
        for one in scores
    ]
    labels = ("Candidate", "Seed", "Protocol", "Clips × crops", "Split (videos)", "Top-1 (%)", "Top-5 (%)", "Mean class (%)")
    numeric = {"Seed", "Top-1 (%)", "Top-5 (%)", "Mean class (%)"}
    columns = (*(Column(label, label in numeric) for label in labels), Column("GMACs a video", True))
    caption = "The weights that are kept, tested in several views of each video: the mean of their logits."
    return Table("protocols", caption, columns, tuple(rows))


def environment(analysis: StudyAnalysis) -> Table:
    """Where the runs ran, what ran there, and how long it took in all."""
    study = analysis.study
    everything = (*study.records, *study.replicates)
    count: dict[str, int] = {}
    for record in everything:
        if record.device:
            count[record.device] = count.get(record.device, 0) + 1
    rows = [
        ("runs", f"{len(everything)}, of which {len(study.replicates)} replicates"),
        ("time of all runs together", duration(analysis.total_seconds)),
        ("runs by device", ", ".join(f"{device} ({number} runs)" for device, number in count.items()) or NOT_RUN),
    ]
    several = len(study.environments) > 1
    for name, found in study.environments.items():
        rows += [(f"{name}: {key}" if several else key, text) for key, text in _flat(found)]
    rows += [
        ("latency measured on", f"{device}, {threads} threads, {precision}, batch {batch}")
        for device, threads, precision, batch in analysis.latency_conditions[:1]
    ]
    cells = tuple((Cell(name), Cell(text)) for name, text in rows)
    return Table("environment", "Runs, machine and packages.", (Column(""), Column("")), cells)


def spread_text(spread: Spread | None, metric: Metric) -> str:
    """``74.2 ± 0.9 (3)``: mean, standard deviation and number of seeds; without the deviation for one seed."""
    if spread is None:
        return NOT_RUN
    deviation = "" if spread.std is None else f" ± {metric.text(spread.std)}"
    return f"{metric.text(spread.mean)}{deviation} ({spread.seeds})"


def effect_text(effect: Effect) -> str:
    """``+9.1 [+4.2, +14.0] *`` in points; the star where the interval leaves out zero."""
    metric = METRICS["val_top1"]
    if effect.value is None:
        return NOT_RUN
    interval = "" if effect.low is None else f" [{metric.difference(effect.low)}, {metric.difference(effect.high)}]"
    return metric.difference(effect.value) + interval + (" *" if effect.is_clear else "")


def _effect_cell(effect: Effect) -> Cell:
    return Cell(effect_text(effect), effect.value)


def _option_rows(val: Factor, test: Factor) -> Iterable[tuple[Cell, ...]]:
    for first, second in zip(val.effects, test.effects, strict=True):
        held = Cell(f"{first.held} of {first.runs}")
        yield (Cell(val.name), Cell(first.name), Cell(val.reference), held, _effect_cell(first), _effect_cell(second))


def _key_cell(record: Record, mark: str = "") -> Cell:
    return Cell(record.candidate.key + mark, record.candidate.key, is_code=True)


def _strip_cell(analysis: StudyAnalysis, candidate: Candidate) -> Cell:
    strip = strip_of(candidate, analysis.sites)
    held = ", ".join(f"{label} at {site}" for site, label in zip(analysis.sites, strip, strict=True) if label)
    return Cell(held or "no module", float(len(candidate.insertions)), strip=strip)


def _value(analysis: StudyAnalysis, record: Record | None, key: str) -> float | None:
    if record is None:
        return None
    if key == "latency_median_ms":
        latency = analysis.latencies.get(record.candidate.key)
        return None if latency is None else latency.median_ms
    return record.cost[key] if key in record.cost else record.metrics.get(key)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested mappings as dotted names and texts."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)
