"""Finds a candidate given as JSON, a JSON file, a key, or a row of a report."""

import csv
import io
import sys
from pathlib import Path

from gsfnas.candidate import Candidate
from gsfnas.component import is_outside, trust
from gsfnas.errors import UserError
from gsfnas.files import read_text

_TABLE = "trials.csv"
# Longer than any candidate; a text that is cut off here is not valid JSON.
_MAX_CHARACTERS = 1 << 24


def find_candidate(given: str, runs: Path) -> Candidate:
    """The candidate given as JSON text, ``-`` (JSON on standard input), a JSON file, ``REPORT:ROW``, or a key.

    REPORT is a report's folder and ROW a rank in its table. A key, or the beginning of one, is looked up in the studies under
    ``runs``. A user's own backbone and modules are trusted if they are named in the JSON text itself, but not if the names come
    from standard input or a file. Raises UserError if ``given`` is none of these.
    """
    if given == "-":
        return Candidate.from_json(sys.stdin.read(_MAX_CHARACTERS))
    if given.lstrip().startswith("{"):
        candidate = Candidate.from_json(given)
        named = (candidate.backbone.name, *(insertion.module for _, insertion in candidate.insertions))
        trust(*filter(is_outside, named))
        return candidate
    path = Path(given)
    if _exists(path) and not path.is_dir():
        try:
            return Candidate.from_json(read_text(path))
        except UserError as error:
            raise error if str(path) in str(error) else UserError(f"{given}: {error}") from None
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
    if not path.exists():
        raise UserError(f"{str(folder)!r} is no report: it has no {_TABLE}")
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a table ({error})") from None
    if not rows or not {"rank", "candidate"} <= rows[0].keys():
        raise UserError(f"{path} is no table of candidates: it has no columns rank and candidate")
    for line in rows:
        if line["rank"] == row:
            return Candidate.from_json(line["candidate"] or "")
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


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # Too long for a file name, or with a character that file names cannot have.
        return False
