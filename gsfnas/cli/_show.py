"""Prints results to stdout: tables for people, JSON and CSV for programs."""

import csv
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from gsfnas.candidate import Candidate
from gsfnas.config import StudyConfig
from gsfnas.convention import COLUMNS, Convention, cells
from gsfnas.escape import csv_cell, printable
from gsfnas.metrics import accuracy_of, cost_of, counterpart
from gsfnas.modules import ModuleCost, label
from gsfnas.record import Record, StudyRecord, best_of
from gsfnas.space import BoundRows, BoundSpace, RestrictedSpace, limits_text

if TYPE_CHECKING:
    from gsfnas.api import DryRun, Measured
    from gsfnas.cost import Cost, Counted
    from gsfnas.data import Check
    from gsfnas.study import StudySummary

_COST_COLUMNS = ("params", "MACs (fvcore)", "MACs (ptflops)", "activations", "activation memory, MB")
_FILE_WIDTH = 120
_WRAP_WIDTH = 24
# The number of problems of a data check that are shown; the CSV has all.
_CHECK_ROWS = 20


def files(kind: str, headlines: Mapping[str, str]) -> None:
    """Lists studies or spaces by name, with the question at the top of each file."""
    table((kind, "question"), sorted(headlines.items()), wrap="question")


def summaries(studies: Sequence["StudySummary"]) -> None:
    """Lists studies that were begun; for those that cannot be read, a line below the table says why."""
    is_usual = all(accuracy_of(study.objectives).brief == "val" for study in studies)
    columns = ("begun", "status", "candidates", "failed", "best val" if is_usual else "best", "changed")
    rows = [
        (
            study.name,
            study.status,
            "-" if study.problem else f"{study.done} of {study.asked}",
            "-" if study.problem else str(study.failed),
            _best_of_summary(study),
            f"{study.changed:%Y-%m-%d %H:%M}",
        )
        for study in studies
    ]
    if rows:
        table(columns, rows)
    for study in studies:
        if study.problem:
            _echo(f"{study.name}: {' '.join(study.problem.split())}")


def space(bound: BoundSpace) -> None:
    """Shows the size of a space and the choices of each site, or its rows; sites with equal choices share a line."""
    if isinstance(bound, BoundRows):
        named = [(name, str(len(candidate.insertions)), _placement(candidate)) for name, candidate in bound.rows]
        table(("row", "modules", "holds"), named, wrap="holds")
        _echo(_count(bound, f"in {len(bound.rows)} rows,"))
        return
    shared: dict[tuple[str, ...], list[str]] = {}
    for site, options in zip(bound.sites, bound.options, strict=True):
        shared.setdefault(tuple(label(option) for option in options), []).append(site.name)
    rows = [(", ".join(sites), str(len(options)), "  ".join(options)) for options, sites in shared.items()]
    table(("sites", "choices", "each one of"), rows, wrap="each one of")
    for rule in bound.rules_text if isinstance(bound, RestrictedSpace) else ():
        _echo(rule)
    _echo(_count(bound, f"of {len(bound.sites)} sites"))


def _count(bound: BoundSpace, where: str) -> str:
    """The number of candidates; if it is an estimate, with its interval."""
    within = f" within {limits_text(bound.bounds)}" if bound.bounds else ""
    if bound.size_interval is None:
        return f"{bound.size:,} candidates {where} on {bound.backbone}{within}"
    # A space may hold more candidates than a float counts.
    size, low, high = (f"{Decimal(number):.3g}" for number in (bound.size, *bound.size_interval))
    return f"about {size} candidates {where} on {bound.backbone}{within} (95 % interval {low} to {high})"


def checked(found: "Check", path: Path) -> None:
    """Shows the first problems that a data check found, their counts, and the CSV that lists all of them."""
    rows = [(row.problem, row.split or "-", row.id, row.message) for row in found.rows[:_CHECK_ROWS]]
    if rows:
        table(("problem", "split", "clip", "what is wrong"), rows, wrap="what is wrong")
    if len(found.rows) > len(rows):
        _echo(f"and {len(found.rows) - len(rows)} more")
    clips = ", ".join(f"{number:,} {split}" for split, number in found.clips.items())
    counts = ", ".join(f"{number:,} {problem}" for problem, number in sorted(found.counts.items()))
    _echo(f"{clips}; {counts or 'nothing is wrong'}")
    _echo(path)


def cost(candidate: Candidate, cost: "Cost", classes: int, format: str, measured: "Measured | None" = None) -> None:
    """Shows a candidate's cost, by part and in total, and its measurements."""
    insertions = dict(candidate.insertions)
    parts: dict[str, tuple[str, ModuleCost]] = {"backbone": (str(candidate.backbone), cost.backbone)}
    parts |= {site: (label(insertions[site]), part) for site, part in cost.by_site.items()}
    parts |= {"head": ("", cost.head), "total": ("", cost.total)}
    if format == "json":
        by_part = {name: {"module": module, **asdict(part)} for name, (module, part) in parts.items()}
        found: dict[str, Any] = {"key": candidate.key, "candidate": candidate.to_dict(), "classes": classes, "cost": by_part}
        if measured is not None:
            found["measured"] = asdict(measured.latency) | {"peak_bytes": measured.peak_bytes}
        _echo(json.dumps(found, indent=2))
    elif format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["part", "module", *asdict(cost.total)])
        lines = [[name, module, *asdict(part).values()] for name, (module, part) in parts.items()]
        writer.writerows([csv_cell(value) for value in line] for line in lines)
    else:
        columns = ("part", "module", *_COST_COLUMNS)
        rows = [(name, module, *_cost_cells(part)) for name, (module, part) in parts.items()]
        table(columns, rows)
        _echo(
            f"{candidate.key}: one clip of {candidate.frames} frames at {candidate.resolution} px, a head of {classes} classes"
        )
        if measured is not None:
            latency = measured.latency
            where = f"{latency.device}, {latency.threads} threads, {latency.precision}"
            _echo(
                f"latency {latency.median_ms:.2f} ms (10 to 90 %: {latency.low_ms:.2f} to {latency.high_ms:.2f}; {where}), "
                f"{measured.peak_bytes / 1e6:.2f} MB of tensors at the peak in float32"
            )


def fused(cost: "Cost", operations: int, format: str) -> None:
    """Says, below a table, how many operations ptflops would miss on the network as it is."""
    if operations and format == "table":
        share = operations / cost.total.macs_ptflops
        _echo(
            f"MACs (ptflops) include {operations:,} operations ({share:.1%}) of activations that this backbone fuses with its "
            "BatchNorm; ptflops run on the network as it stands does not see them"
        )


def conventions(rules: Sequence[Convention], format: str) -> None:
    """Lists conventions of counting operations, with what each counts, and how often."""
    rows = [(*cells(rule), rule.says) for rule in rules]
    _rows((*COLUMNS, "says"), rows, format, wrap="says")


def counts(
    candidate: Candidate,
    found: "Sequence[tuple[Convention, Counted]]",
    classes: int,
    crops: int,
    clips: int,
    format: str,
) -> None:
    """Shows the operations of a frame, a clip and a video in units of 10^9, a row per convention."""
    columns = ("convention", "unit", "head", "params (M)", "G a frame", "G a clip", "G a video", "counts")
    rows = []
    for rule, count in found:
        counted = (("BatchNorm", rule.batch_norm), ("ReLU", rule.relu), ("pooling", rule.pooling), ("bias", rule.bias))
        counts = ", ".join(f"{name} {'twice' if number == 2 else 'once'}" for name, number in counted if number)
        each = (count.giga / candidate.frames, count.giga, count.giga * crops * clips)
        head = str(rule.head_classes or classes)
        rows.append((rule.name, rule.unit, head, f"{count.params_m:.6g}", *(f"{number:.6g}" for number in each), counts))
    _rows(columns, rows, format, wrap="counts")
    if format == "table":
        _echo(
            f"{candidate.key}: {candidate.frames} frames at {candidate.resolution} px a clip; a video is {crops} x {clips} of "
            f"them, crops x clips; parameters with a head of {classes} classes"
        )


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]], format: str, wrap: str) -> None:
    if format == "json":
        _echo(json.dumps([dict(zip(columns, line, strict=True)) for line in rows], indent=2))
    elif format == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([csv_cell(value) for value in row] for row in [columns, *rows])
    else:
        table(columns, rows, wrap=wrap)


def plan(config: StudyConfig, dry: "DryRun") -> None:
    """Shows what a study would run, the costs of some candidates, and the estimated time."""
    space(dry.space)
    table(("candidate", *_COST_COLUMNS), [(name, *_cost_cells(cost.total)) for name, cost in dry.costs.items()])
    study = dry.study
    how = f"{study.anchors} anchors, {study.design} balanced, {study.search} searched"
    timed = " and ".join(f"the {name}" for name in list(dry.costs)[:2]) + " candidate"
    if study.rows:
        how, timed = "every row", "each row"
    _echo(
        f"{study.candidates} candidates ({how}) and "
        f"{study.replicates} runs with other seeds, {dry.epochs} epochs each, {dry.workers} at a time"
    )
    if study.known:
        _echo(f"{study.known} of these {study.candidates + study.replicates} runs are reused from other studies")
    if dry.is_timed:
        _echo(f"about {max(1, round(study.seconds / 60))} min, from a few steps of {timed}")
    else:
        _echo(f"how long evaluator {config.parts['evaluator'].name} takes is not known")


def result(study: StudyRecord) -> None:
    """Shows the best candidate and the baseline without modules. Raises UserError if no candidate is complete."""
    top = best_of(study)
    baseline = next((record for record in study.records if not record.candidate.insertions), None)
    _echo(f"best      {_described(top, study)}")
    if baseline is not None and baseline.outcome == "complete":
        _echo(f"baseline  {_described(baseline, study)}")


def progress(text: str) -> None:
    """Prints a line about the progress to stderr."""
    print(text, file=sys.stderr)


@contextmanager
def resumable() -> Iterator[None]:
    """Exits without a further message if the block is interrupted and has told the user how to resume."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:
            raise
        sys.exit(130)


def _placement(candidate: Candidate) -> str:
    return ", ".join(f"{site} {label(insertion)}" for site, insertion in candidate.insertions) or "no modules"


def _described(record: Record, study: StudyRecord) -> str:
    """The accuracy, on test too, the other objectives, the cost, and the modules of a candidate."""
    accuracy, cost = accuracy_of(study.objectives), cost_of(study.objectives)
    test = counterpart(accuracy)
    metrics = [accuracy, *([test] if test is not None and test.key in record.metrics else []), *study.objectives, cost]
    said = ", ".join(dict.fromkeys(metric.said(record.value(metric)) for metric in metrics))
    return f"{record.candidate.key}  {said}: {_placement(record.candidate)}"


def _best_of_summary(study: "StudySummary") -> str:
    accuracy = accuracy_of(study.objectives)
    if study.best is None:
        return "-"
    return accuracy.said(study.best.value(accuracy)).removeprefix("val ")


def _cost_cells(cost: ModuleCost) -> tuple[str, ...]:
    counts = (cost.params, cost.macs_fvcore, cost.macs_ptflops, cost.activations)
    return (*(f"{count:,}" for count in counts), f"{cost.saved_bytes / 1e6:.3f}")


def paragraph(text: str) -> None:
    """Prints a note as a list item, wrapped at the width of the terminal."""
    Console(highlight=False).print(f"- {escape(printable(text))}", soft_wrap=not Console().is_terminal)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], wrap: str = "", numeric: Collection[int] | None = None
) -> None:
    """Prints a table as wide as the terminal, or wider if it would be cut off.

    Columns with the indices ``numeric`` are right-aligned, by default those of numbers; the one named ``wrap`` may wrap.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    if numeric is None:
        numeric = {index for index in range(1, len(columns)) if all(_is_number(row[index]) for row in rows)}
    for index, column in enumerate(columns):
        # A column that must not wrap is as wide as its widest cell; its heading may have several lines.
        texts = [*column.splitlines(), *(row[index] for row in rows)]
        width = _WRAP_WIDTH if column == wrap else max(map(cell_len, texts))
        justify: Literal["left", "right"] = "right" if index in numeric else "left"
        drawn.add_column(column, justify=justify, no_wrap=column != wrap, overflow="fold", min_width=width)
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    console = Console(highlight=False)
    needed = Measurement.get(Console(width=1000), console.options.update(max_width=1000), drawn).minimum
    console.width = max(console.width if console.is_terminal else _FILE_WIDTH, needed)
    console.print(drawn, soft_wrap=False, crop=False)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").isdigit()


def _echo(text: Any) -> None:
    print(printable(str(text), keep="\n"))
