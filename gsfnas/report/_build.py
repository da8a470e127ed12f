"""Writes a report: everything is made in a folder beside, then each file takes its place at once."""

import json
import shutil
import tempfile
from pathlib import Path

from gsfnas.errors import UserError
from gsfnas.escape import csv_cell, printable
from gsfnas.record import StudyRecord

PAGE = "report.html"


def build_report(study: StudyRecord, folder: Path) -> Path:
    """The report of ``study`` in ``folder`` (``reports/<study>``), made if need be; returns the path of ``report.html``.

    ``study`` may be unfinished: what nobody ran says so. A reader never sees half a file, and where making the report fails the
    old one stays. Raises UserError where the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write_all(study, made)
            folder.mkdir(exist_ok=True)
            # The page last: who sees a new page sees the new files that it names.
            for path in sorted(made.iterdir(), key=lambda path: (path.name == PAGE, path.name)):
                path.replace(folder / path.name)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.strerror or error}; name a writable folder"
        ) from error
    return folder / PAGE


def _write_all(study: StudyRecord, folder: Path) -> None:
    # Imported late: pandas, matplotlib and scipy take seconds that no other command should pay.
    from gsfnas.report import _captions, _figures, _matplotlib
    from gsfnas.report._analysis import StudyAnalysis
    from gsfnas.report.pages import html, markdown

    analysis = StudyAnalysis(study)
    analysis.runs.map(csv_cell).to_csv(folder / "trials.csv", index=False, lineterminator="\n")
    _text(folder / "study.yaml", printable(study.study_yaml, keep="\n\t"))
    _text(folder / "env.json", json.dumps(_environment(study), indent=2, sort_keys=True, default=str) + "\n")
    _matplotlib.draw_accuracy(_figures.accuracy_points(analysis), _captions.title(analysis), folder / "accuracy_vs_flops")
    if not analysis.is_of_rows:
        _matplotlib.draw_effects(analysis.effects["val_top1"], folder / "site_effects")
    _matplotlib.draw_strips(_figures.strips(analysis), analysis.sites, _figures.module_colours(analysis), folder / "strips")
    _text(folder / "report.md", printable(markdown.document(analysis), keep="\n\t"))
    _text(folder / PAGE, html.page(analysis))


def _environment(study: StudyRecord) -> dict[str, object]:
    return {"study": study.name, "environments": dict(study.environments), "configurations": dict(study.configurations)}


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
