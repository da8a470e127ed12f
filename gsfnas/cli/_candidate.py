"""Candidates as a user names them: JSON, a file of it, a key, a row of a report."""

import csv
import sys
from pathlib import Path

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError

_TABLE = "trials.csv"


def find_candidate(given: str, runs: Path) -> Candidate:
    """The candidate that is meant: JSON text or ``-`` for it on standard input; a file of it; ``REPORT:ROW``, where REPORT is a
    report's folder and ROW a number in its table; the key of a candidate of a study under ``runs``.

    Raises UserError where it is none of them.
    """
    if given == "-":
        return Candidate.from_json(sys.stdin.read())
    if given.lstrip().startswith("{"):
        return Candidate.from_json(given)
    path = Path(given)
    if path.is_file():
        return Candidate.from_json(path.read_text(encoding="utf-8"))
    folder, _, row = given.rpartition(":")
    if folder and row.isdecimal():
        return _of_report(Path(folder), row)
    if given.startswith("c1-"):
        return _of_study(given, runs)
    raise UserError(
        f"a candidate is JSON, a file of it, - for standard input, a key such as c1-0123456789abcdef, or REPORT:ROW, but there "
        f"is no file {given!r}"
    )


def _of_report(folder: Path, row: str) -> Candidate:
    path = folder if folder.is_file() else folder / _TABLE
    if not path.is_file():
        raise UserError(f"{str(folder)!r} is no report: it has no {_TABLE}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"rank", "candidate"} <= rows[0].keys():
        raise UserError(f"{path} is no table of candidates: it has no columns rank and candidate")
    for line in rows:
        if line["rank"] == row:
            return Candidate.from_json(line["candidate"])
    raise UserError(f"{path} has no row {row}; its rows are numbered 1 to {len(rows)}")


def _of_study(key: str, runs: Path) -> Candidate:
    from gsfnas.study import load_study, study_names

    found: dict[str, Candidate] = {}
    for name in study_names(runs):
        try:
            records = load_study(runs, name).records
        except UserError:
            continue
        found |= {record.candidate.key: record.candidate for record in records if record.candidate.key.startswith(key)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise UserError(f"{key!r} is the beginning of {len(found)} keys: {', '.join(sorted(found)[:3])} ...")
    raise UserError(f"no study in {str(runs)!r} has a candidate {key!r}; a folder of other studies is given with --runs")
