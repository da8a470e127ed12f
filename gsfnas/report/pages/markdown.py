"""The report as Markdown. Figures are the PNG files in the same folder."""

import re
from collections.abc import Mapping, Sequence

from gsfnas.report._contents import Contents
from gsfnas.report._style import module_of
from gsfnas.report._table import Cell, Table
from gsfnas.report.sections.base import Shown


def page(contents: Contents) -> str:
    """The content of report.md."""
    parts = [f"# {prose(contents.title)}"]
    for section in contents.sections.values():
        parts += _section(section, contents.signs)
    parts.append(prose(contents.files_note))
    return "\n\n".join(part for part in parts if part) + "\n"


def prose(text: str) -> str:
    """Escapes a text; `names` stay code."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(_code(piece[1:-1]) if piece.startswith("`") else _plain(piece) for piece in pieces)


def _section(section: Shown, signs: Mapping[str, str]) -> list[str]:
    """The parts of a section; nothing if it has only an interactive figure."""
    sentence = section.sentence if section.printed_sentence is None else section.printed_sentence
    parts = [
        *_figure(section),
        prose(sentence),
        *(prose(text) for text in section.paragraphs),
        "" if section.table is None else _table(section.table, signs),
        "\n".join(f"- {prose(text)}" for text in section.bullets),
        "\n".join(f"    {line}" for line in section.code.splitlines()),
    ]
    return [f"## {prose(section.title)}" if section.title else "", *parts] if any(parts) else []


def _figure(section: Shown) -> list[str]:
    figure = section.figure
    return (
        [] if figure is None or figure.draw is None else [f"![{_plain(figure.alt)}]({figure.name}.png)", prose(figure.caption)]
    )


def _plain(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return re.sub(r"([\\*_\[\]`])(?!\|)", r"\\\1", escaped)


def _code(text: str) -> str:
    """A text as code, unless it holds characters that would end the code or the cell, or that some readers take for markup."""
    return _plain(text) if set("`|<&") & set(text) else f"`{text}`"


def _table(table: Table, signs: Mapping[str, str]) -> str:
    """A table, without columns of texts to be copied."""
    kept = [index for index, column in enumerate(table.columns) if not column.is_copy]
    columns = [table.columns[index] for index in kept]
    lines = [
        _row([_plain(column.label) for column in columns]),
        _row(["---:" if column.is_number else "---" for column in columns]),
        *(_row([_cell(row[index], signs) for index in kept]) for row in table.rows),
    ]
    return "\n".join(lines) + f"\n\n{prose(table.caption)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, signs: Mapping[str, str]) -> str:
    if cell.strip is not None:
        return "`" + "".join(signs.get(module_of(one), "?") if one else "·" for one in cell.strip) + "`" if cell.strip else ""
    text = " ".join(cell.text.split())
    return _code(text) if cell.is_code else _plain(text)
