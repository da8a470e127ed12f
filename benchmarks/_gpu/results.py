"""What a part found, on disk: a JSON file with all of it, and its rows as CSV."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from _gpu import PARTS
from gsfnas.escape import csv_cell
from gsfnas.files import write

RUNNING = "still running"
WHOLE = "whole"
Row = dict[str, Any]


@dataclass
class Result:
    """``ended`` says how: whole, after its time with what it had, skipped with the reason, or failed with the reason."""

    part: str
    is_small: bool
    machine: dict[str, str]
    when: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = RUNNING

    @property
    def has_failed(self) -> bool:
        return self.ended.startswith("failed")


def save(result: Result, folder: Path) -> None:
    """Replaces what stood there of this part."""
    write(folder / f"{result.part}.json", json.dumps(asdict(result), indent=1) + "\n")
    columns = list(dict.fromkeys(name for row in result.rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(_rounded(value)) for name, value in row.items()} for row in result.rows)
    write(folder / f"{result.part}.csv", text.getvalue() if columns else "")


def read(folder: Path, part: str) -> Result | None:
    """The result of a part, or None where there is none that can be read."""
    try:
        values = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
        return Result(**{each.name: values[each.name] for each in fields(Result)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clash(folder: Path, *, is_small: bool) -> str | None:
    """What the folder holds that must not be mixed with what is to come: real results with those of a dry run."""
    for part in PARTS:
        result = read(folder, part)
        if result is not None and result.is_small != is_small:
            return "a dry run (--small)" if result.is_small else f"a {result.machine.get('device', 'GPU')}"
    return None


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else "" if value is None else value
