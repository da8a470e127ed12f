"""A published table beside ours, as text: the columns, verdicts and notes that every format shares."""

from collections.abc import Callable
from dataclasses import dataclass

from gsfnas.convention import Convention
from gsfnas.metrics import NOT_RUN
from gsfnas.report._ablation import COST_DECIMALS, AblationLine, AblationTable, Difference, Order

EQUAL, NOT_PRINTED, PUBLISHED, OTHER_SETTING, CHANGED = (
    "equal to print",
    "not printed",
    "published",
    "other setting",
    "rows changed",
)
# How far a published parameter count may be from ours, in 10^6.
PARAMS_TOLERANCE = 0.01
_LABELS = {
    "top1": "top-1",
    "top1_ssv2": "top-1 V2",
    "verb": "verb",
    "noun": "noun",
    "action": "action",
}


@dataclass(frozen=True)
class Column:
    heading: str
    cell: Callable[[AblationLine], str]
    is_number: bool = True


def verdict(printed: float | None, ours: float | None, decimals: int = COST_DECIMALS, tolerance: float | None = None) -> str:
    """Compares our number with a published one, both rounded as published: equal, or by how much it differs.

    A difference within ``tolerance`` is marked as such.
    """
    if ours is None:
        return NOT_RUN
    if printed is None:
        return NOT_PRINTED
    if abs(round(ours, decimals) - printed) < 0.5 * 10**-decimals:
        return EQUAL
    within = f" (within {tolerance:g})" if tolerance is not None and abs(ours - printed) <= tolerance else ""
    return f"differs by {ours - printed:+.{decimals + 1}f}{within}"


def verdicts(found: AblationTable, line: AblationLine) -> dict[str, str]:
    """Verdicts on ``params``, ``gmacs`` and ``top1`` of one row; a row of another network is ``published`` throughout."""
    if line.key is None:
        return dict.fromkeys(("params", "gmacs", "top1"), PUBLISHED)
    printed = line.row.printed
    top1 = verdict(printed.get("top1"), line.mean, decimals=1)
    if line.is_changed:
        top1 = CHANGED
    elif line.top1 and found.study is not None and not found.study.is_papers:
        top1 = OTHER_SETTING
    return {
        "params": verdict(printed.get("params_m"), line.params_m, tolerance=PARAMS_TOLERANCE),
        "gmacs": verdict(printed.get("gmacs"), line.gmacs, tolerance=_gmacs_tolerance(line)),
        "top1": top1,
    }


def _gmacs_tolerance(line: AblationLine) -> float | None:
    rule, reference = line.row.convention, line.row.reference
    return None if rule is None or rule.tolerance is None or reference is None else rule.tolerance * reference.frames / 8


def summary(found: AblationTable, line: AblationLine) -> str:
    """The verdicts of a row in one cell; equal verdicts on both costs are merged."""
    each = verdicts(found, line)
    if line.key is None:
        return PUBLISHED
    if each["params"] == each["gmacs"]:
        each = {"costs": each["params"], "top1": each["top1"]}
    words = {"params": "params", "gmacs": "GMACs", "costs": "costs", "top1": "top-1"}
    return "; ".join(f"{words[name]}: {text}" for name, text in each.items() if text != NOT_PRINTED)


def columns(found: AblationTable) -> list[Column]:
    """The columns of the table, without those that would be empty."""
    table = found.table
    shown = [Column("row", lambda line: line.row.name, is_number=False)]
    if "params_m" in table.printed:
        shown.append(Column("params (M), print", lambda line: _printed(line, "params_m")))
    shown.append(Column("params (M), ours", lambda line: _number(line.params_m, 4, line)))
    if "gmacs" in table.printed:
        shown.append(Column("GMACs, print", lambda line: _printed(line, "gmacs")))
    shown.append(Column("ptflops", lambda line: _number(line.gmacs, 3, line)))
    shown.append(Column("fvcore", lambda line: _number(line.gmacs_fvcore, 3, line)))
    if any(line.row.views > 1 for line in found.lines):
        shown.append(Column("GMACs a video", _video))
    if "latency_ms" in table.printed:
        shown.append(Column("Titan V (ms), print", lambda line: _printed(line, "latency_ms")))
        shown += [
            _latency(precision) for precision in dict.fromkeys(one.precision for line in found.lines for one in line.latencies)
        ]
    for name in table.accuracies:
        shown.append(Column(f"{_LABELS[name]} (%), print", lambda line, name=name: _printed(line, name)))  # type: ignore[misc]
    if "top1" in table.printed:
        shown.append(Column("top-1 (%), ours", _accuracy))
    else:
        shown.append(Column("action (%), ours", lambda line: "" if line.key is None else NOT_RUN))
    if found.differences:
        shown.append(Column("− baseline", lambda line: difference_text(found.differences.get(line.row.name))))
    if found.pairs:
        shown.append(Column("order, holds/rev./?", lambda line: _order_cell(found.orders[line.row.name])))
    shown.append(Column("verdict", lambda line: summary(found, line), is_number=False))
    return shown


def notes(found: AblationTable) -> list[str]:
    """Notes below the table, one or two sentences each."""
    table = found.table
    messages = [f"ptflops{_rows_of(found, one)} is counted as {one.name}: {one.says}." for one in table.conventions]
    messages.append(f"Parameters and fvcore are with {_heads(table.classes)}.")
    if table.note:
        messages.append(table.note.strip())
    messages += [f"{line.row.name}: {line.row.note}." for line in found.lines if line.row.note]
    conditions = {f"{one.device}, {one.threads} threads" for line in found.lines for one in line.latencies}
    if conditions:
        messages.append(
            f"Latency here: {'; '.join(sorted(conditions))}, batch 1, medians; another device than the printed one."
        )
    study = found.study
    if study is not None:
        where = "the paper's data and networks" if study.is_papers else "not the paper's setting"
        messages.append(
            f"Top-1: study {study.name} ({study.setting}), {where}. Test clips, mean ± standard deviation over seeds."
        )
        if study.changed:
            rows = ", ".join(study.changed)
            again = f"gsfnas study run {table.study} study.name={study.name}-again"
            messages.append(
                f"Changed since study {study.name} ran, and left out: {rows}. To run them as they are: {again}, then gsfnas "
                f"table {table.number} --study {study.name}-again."
            )
    elif table.study is not None:
        messages.append(f"No accuracy was measured: gsfnas study run {table.study} fills the column.")
    if found.others:
        messages.append(f"Other studies of these rows: {', '.join(found.others)} (--study NAME).")
    if found.differences:
        messages.append(f"− baseline: the difference to {table.baseline}, seed by seed, with its 95 % interval.")
    if order_text(found):
        messages.append(order_text(found))
    return messages


def order_text(found: AblationTable) -> str:
    """One sentence on whether the published order holds; empty if no pair of rows was run."""
    order = found.order
    if not order.pairs:
        return ""
    seeds = sorted({len(line.top1) for line in found.lines if line.top1})
    tau = ""
    if found.kendall is not None:
        tau = f"; Kendall's tau of the means, undecided pairs and all, {found.kendall:+.2f}".replace("-", "−")
    many = f"{seeds[0]} seed{'' if seeds[0] == 1 else 's'}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return (
        "order: how many of a row's pairs hold / are reversed / are undecided. "
        f"Published order: of {order.pairs} pairs of rows, holds {order.holds}, reversed {order.reversed}, undecided "
        f"{order.undecided} (95 % interval of the paired difference, {many}, each pair by itself){tau}."
    )


def difference_text(difference: Difference | None) -> str:
    if difference is None:
        return ""
    text = f"{difference.value:+.1f}"
    if difference.low is not None and difference.high is not None:
        text += f" [{difference.low:+.1f}, {difference.high:+.1f}]"
    return text.replace("-", "−")


def _latency(precision: str) -> Column:
    def cell(line: AblationLine) -> str:
        return next((f"{one.median_ms:.2f}" for one in line.latencies if one.precision == precision), "")

    return Column(f"{precision} (ms)", cell)


def _rows_of(found: AblationTable, rule: Convention) -> str:
    """Which rows a counting convention applies to, if the table has several conventions."""
    if len(found.table.conventions) == 1:
        return ""
    rows = [line.row for line in found.lines if line.row.convention == rule and line.row.reference is not None]
    return f" of {', '.join(dict.fromkeys(row.reference.backbone for row in rows if row.reference))}"


def _order_cell(order: Order) -> str:
    return f"{order.holds}/{order.reversed}/{order.undecided}" if order.pairs else ""


def _printed(line: AblationLine, name: str) -> str:
    number = line.row.printed.get(name)
    return "-" if number is None else f"{number:.2f}"


def _number(value: float | None, decimals: int, line: AblationLine) -> str:
    return ("" if line.key is None else NOT_RUN) if value is None else f"{value:.{decimals}f}"


def _video(line: AblationLine) -> str:
    return "" if line.cost is None else f"{line.cost.gmacs * line.row.views:.1f}"


def _accuracy(line: AblationLine) -> str:
    if line.key is None:
        return ""
    if line.is_changed:
        return CHANGED
    if line.mean is None:
        return NOT_RUN
    spread = "" if line.std is None else f" ± {line.std:.1f}"
    return f"{line.mean:.1f}{spread} ({len(line.top1)})"


def _heads(classes: object) -> str:
    assert isinstance(classes, dict)
    return " and ".join(f"{number} classes" if task == "class" else f"{number} {task}s" for task, number in classes.items())
