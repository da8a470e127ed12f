"""Writes a report: into a temporary folder first, then each finished file replaces the old one."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gsfnas.errors import UserError
from gsfnas.escape import csv_cell, printable
from gsfnas.record import StudyRecord
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report.sections._load import SectionLike, load_sections
from gsfnas.report.sections.base import Section

PAGE = "report.html"


def build_report(
    study: StudyRecord, folder: Path, sections: Sequence[SectionLike] | None = None, *, is_from_data: bool = False
) -> Path:
    """Writes the report of ``study`` to ``folder``, which is created if necessary; returns the path of ``report.html``.

    ``study`` may be unfinished: missing results are shown as ``not run``. Files are replaced as a whole, and an error leaves
    the old report as it was.

    ``sections`` are the sections of the pages, in order; all shipped ones if None. Each is a name in ``SECTIONS``, ``default``
    (stands for all of these), ``package.module:object``, a class, an instance or a function. Naming code here means trusting
    it: pass ``is_from_data=True`` for names that were read from a file.

    Raises UserError if the folder cannot be written, if a section does not exist or is not trusted, and if a section fails;
    the message names the section.
    """
    folder = Path(folder)
    loaded = load_sections(sections, is_from_data=is_from_data)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write_all(study, loaded, made)
            folder.mkdir(exist_ok=True)
            # The page comes last, so that the files it refers to are there before it.
            for path in sorted(made.iterdir(), key=lambda path: (path.name == PAGE, path.name)):
                path.replace(folder / path.name)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.strerror or error}; name a writable folder"
        ) from error
    return folder / PAGE


def _write_all(study: StudyRecord, sections: Mapping[str, Section], folder: Path) -> None:
    # Imported late: no other command needs the templates and the drawing.
    from gsfnas.report._contents import contents_of, draw
    from gsfnas.report.pages import html, markdown

    analysis = StudyAnalysis(study)
    contents = contents_of(analysis, sections)
    figures = draw(contents)
    analysis.runs.map(csv_cell).to_csv(folder / "trials.csv", index=False, lineterminator="\n")
    _text(folder / "study.yaml", printable(study.study_yaml, keep="\n\t"))
    _text(folder / "env.json", json.dumps(_environment(study), indent=2, sort_keys=True, default=str) + "\n")
    for name, content in figures.items():
        (folder / name).write_bytes(content)
    _text(folder / "report.md", printable(markdown.page(contents), keep="\n\t"))
    _text(folder / PAGE, html.page(contents, figures))


def _environment(study: StudyRecord) -> dict[str, object]:
    return {"study": study.name, "environments": dict(study.environments), "configurations": dict(study.configurations)}


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
