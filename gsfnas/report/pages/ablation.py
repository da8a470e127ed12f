"""A published table with our numbers beside it, as Markdown, LaTeX and CSV."""

import csv
import io
import re
from collections.abc import Sequence

from gsfnas.escape import csv_cell
from gsfnas.report._ablation import AblationLine, AblationTable
from gsfnas.report._ablation_cells import columns, difference_text, notes, summary, verdicts

__all__ = ["columns", "latex", "markdown", "notes", "to_csv"]

_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
}


def markdown(found: AblationTable) -> str:
    """A table, its notes and the pairs of rows, under a heading of the second level."""
    shown = columns(found)
    lines = [
        f"## Table {found.table.number}: {found.table.title}",
        "",
        f"| {' | '.join(_plain(column.heading) for column in shown)} |",
        f"| {' | '.join('---:' if column.is_number else '---' for column in shown)} |",
        *(f"| {' | '.join(_plain(column.cell(line)) for column in shown)} |" for line in found.lines),
        "",
        *(f"- {_plain(note)}" for note in notes(found)),
        *_pairs(found),
    ]
    return "\n".join(lines) + "\n"


def latex(found: AblationTable) -> str:
    """A ``table*`` environment, the notes below it; the document needs booktabs and graphicx."""
    shown = columns(found)
    body = [" & ".join(_tex(column.cell(line)) for column in shown) + r" \\" for line in found.lines]
    items = [rf"    \item {_tex(note)}" for note in notes(found)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            r"\begin{table*}",
            r"  \centering",
            rf"  \caption{{{_tex(found.table.title)}.}}",
            rf"  \label{{tab:gsfnas-{found.table.number}}}",
            r"  \resizebox{\textwidth}{!}{%",
            rf"  \begin{{tabular}}{{{''.join('r' if column.is_number else 'l' for column in shown)}}}",
            r"    \toprule",
            "    " + " & ".join(_tex(column.heading) for column in shown) + r" \\",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}}",
            r"  \begin{itemize}\footnotesize",
            *items,
            r"  \end{itemize}",
            r"\end{table*}",
            "",
        ]
    )


def to_csv(found: Sequence[AblationTable]) -> str:
    """One line per row of each table: costs of one clip in 10^6 and 10^9, accuracies in percent, differences in points."""
    rows = [_csv_row(one, line) for one in found for line in one.lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_row(found: AblationTable, line: AblationLine) -> dict[str, object]:
    printed, each, order = line.row.printed, verdicts(found, line), found.orders[line.row.name]
    gap = found.differences.get(line.row.name)
    rule = line.row.convention
    row: dict[str, object] = {
        "table": found.table.number,
        "row": line.row.name,
        "candidate": line.key or "",
        "params_m_print": printed.get("params_m", ""),
        "params_m": _rounded(line.params_m, 6),
        "gmacs_print": printed.get("gmacs", ""),
        "gmacs_ptflops": _rounded(line.gmacs, 6),
        "gmacs_fvcore": _rounded(line.gmacs_fvcore, 6),
        "top1_print": printed.get("top1", ""),
        "top1_mean": _rounded(line.mean, 4),
        "top1_std": _rounded(line.std, 4),
        "top1_n": len(line.top1),
        "verdict": summary(found, line),
        **{f"{name}_verdict": text for name, text in each.items()},
        "convention": rule.name if rule else "",
        "views": line.row.views,
        "study": line.source,
        "setting": found.study.setting if found.study and line.source else "",
        "baseline": found.table.baseline or "",
        "difference": _rounded(gap.value if gap else None, 4),
        "difference_low": _rounded(gap.low if gap else None, 4),
        "difference_high": _rounded(gap.high if gap else None, 4),
        "order_holds": order.holds,
        "order_reversed": order.reversed,
        "order_undecided": order.undecided,
        "note": line.row.note,
    }
    row |= {f"{name}_print": printed.get(name, "") for name in found.table.accuracies if name != "top1"}
    if "latency_ms" in found.table.printed:
        row["latency_ms_print"] = printed.get("latency_ms", "")
        for one in line.latencies:
            row[f"latency_ms_{one.precision}"] = _rounded(one.median_ms, 3)
            row |= {"latency_device": one.device, "latency_threads": one.threads}
    return row


def _pairs(found: AblationTable) -> list[str]:
    """A table of all pairs of rows with different published accuracies; empty if none was run."""
    if not found.pairs:
        return []
    verdicts = {1: "holds", -1: "reversed", 0: "undecided"}
    return [
        "",
        "Pairs of rows, the one that the paper prints higher first; differences in points, ours with their 95 % interval:",
        "",
        "| higher in print | lower in print | printed | ours | published order |",
        "| --- | --- | ---: | ---: | --- |",
        *(
            f"| {_plain(pair.higher)} | {_plain(pair.lower)} | +{pair.printed:.2f} | {_plain(difference_text(pair.ours))} "
            f"| {verdicts[pair.agreement]} |"
            for pair in found.pairs
        ),
    ]


def _rounded(value: float | None, decimals: int) -> float | str:
    return "" if value is None else round(value, decimals)


def _plain(text: str) -> str:
    return re.sub(r"([\\*_\[\]`|<>])", r"\\\1", text)


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)
