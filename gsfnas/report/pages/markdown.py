"""The same report as Markdown, for a repository's pages: figures are the PNG files beside it."""

import re
import string
from collections.abc import Sequence

from gsfnas.report import _captions, _figures, _tables
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._figures import module_of
from gsfnas.report._metrics import NOT_RUN
from gsfnas.report._summary import summary
from gsfnas.report._tables import Cell, Table


def document(analysis: StudyAnalysis) -> str:
    """The whole of report.md."""
    modules = list(_figures.module_colours(analysis))
    study = analysis.study
    parts = [
        f"# {prose(_captions.title(analysis))}",
        prose(summary(analysis)),
        prose(_captions.front(analysis)),
        prose(_captions.worth(analysis)),
        *_comparison(analysis, modules),
        "## Accuracy against MACs",
        "![Top-1 accuracy against GMACs of every candidate](accuracy_vs_flops.png)",
        prose(_captions.front_note(analysis)),
        "## The candidates as strips of sites",
        "![Candidates as rows of sites, best first](strips.png)",
        prose(_captions.strips_note(analysis)),
    ]
    if not analysis.is_of_rows:
        parts += [
            "## What each site is worth",
            "![Main effect of each site with its 95 % interval](site_effects.png)",
            prose(_captions.effects_note(analysis)),
            _table(_tables.sites(analysis), modules),
        ]
    options = _tables.options(analysis)
    if options.rows and not analysis.is_of_rows:
        parts += ["## What each option is worth", prose(_captions.OPTIONS_NOTE), _table(options, modules)]
    parts += ["## Every candidate", prose(_legend(modules)), _table(_tables.candidates(analysis), modules)]
    for heading, table in (
        ("Seeds", _tables.seeds(analysis)),
        ("Runs without a result", _tables.failures(analysis)),
        ("Under other protocols", _tables.protocols(analysis)),
        ("Latency under other conditions", _tables.latencies(analysis)),
    ):
        if table.rows:
            parts += [f"## {heading}", _table(table, modules)]
    parts += [
        "## What to hold against these numbers",
        "\n".join(f"- {prose(caveat)}" for caveat in _captions.caveats(analysis)),
        "## How and where it ran",
        _table(_tables.environment(analysis), modules),
        "## The resolved study",
        "\n".join("    " + line for line in (study.study_yaml.strip() or NOT_RUN).splitlines()),
        prose(_captions.files_note(analysis)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _comparison(analysis: StudyAnalysis, modules: Sequence[str]) -> list[str]:
    table = _tables.comparison(analysis)
    return [f"## {_captions.comparison_heading(analysis)}", _table(table, modules)] if table.rows else []


def prose(text: str) -> str:
    """Markup characters of names lose their meaning; `names` stay code."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(_code(piece[1:-1]) if piece.startswith("`") else _plain(piece) for piece in pieces)


def _plain(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return re.sub(r"([\\*_\[\]`])(?!\|)", r"\\\1", escaped)


def _code(text: str) -> str:
    """As code, unless it holds what would end the code, the cell, or read as markup to a lax reader."""
    return _plain(text) if set("`|<&") & set(text) else f"`{text}`"


def _legend(modules: Sequence[str]) -> str:
    if not modules:
        return ""
    meaning = ", ".join(f"{sign} {module}" for sign, module in zip(_signs(modules), modules, strict=False))
    return f"Sites from the input to the head: · nothing, {meaning}. `trials.csv` holds each candidate's JSON."


def _signs(modules: Sequence[str]) -> str:
    return "■" if len(modules) == 1 else string.ascii_uppercase


def _table(table: Table, modules: Sequence[str]) -> str:
    """Without columns that only a page can use (the button that copies)."""
    kept = [index for index, column in enumerate(table.columns) if column.label != "JSON"]
    columns = [table.columns[index] for index in kept]
    lines = [
        _row([_plain(column.label) for column in columns]),
        _row(["---:" if column.is_number else "---" for column in columns]),
        *(_row([_cell(row[index], modules) for index in kept]) for row in table.rows),
    ]
    return "\n".join(lines) + f"\n\n{prose(table.caption)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, modules: Sequence[str]) -> str:
    if cell.strip is not None:
        signs = dict(zip(modules, _signs(modules), strict=False))
        return "`" + "".join(signs.get(module_of(one), "?") if one else "·" for one in cell.strip) + "`" if cell.strip else ""
    text = " ".join(cell.text.split())
    return _code(text) if cell.is_code else _plain(text)
