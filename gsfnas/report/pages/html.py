"""The page: one file that loads nothing. All text of a study passes through ``escape``."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from gsfnas.report import _captions, _figures, _plotly, _tables
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._metrics import METRICS, NOT_RUN
from gsfnas.report._summary import summary
from gsfnas.report._tables import Cell, Table

# The page may run what it carries, and fetch nothing.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"


def page(analysis: StudyAnalysis) -> str:
    """The whole of report.html."""
    from plotly.offline import get_plotlyjs

    resources = files("gsfnas.report.pages")
    plots = _plots(analysis)
    title = _captions.title(analysis)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{resources.joinpath('page.css').read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            "<main>",
            *_body(analysis, title),
            "</main>",
            f"<script>{get_plotlyjs()}</script>",
            f'<script type="application/json" id="plots">{_plotly.to_json(plots)}</script>',
            f"<script>{resources.joinpath('page.js').read_text(encoding='utf-8')}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _plots(analysis: StudyAnalysis) -> dict[str, _plotly.Plot]:
    """By the name of their place on the page; a figure without data has none."""
    effects = analysis.effects["val_top1"]
    curves = [(METRICS[key], _figures.curves(analysis, key)) for key in ("val_top1", "train_loss")]
    curves = [(metric, found) for metric, found in curves if found]
    plots = {}
    if analysis.ranked:
        plots["accuracy"] = _plotly.accuracy_plot(_figures.accuracy_points(analysis))
    if not analysis.is_of_rows and any(effect.value is not None for effect in effects.sites):
        plots["effects"] = _plotly.effects_plot(effects)
    if curves:
        plots["curves"] = _plotly.curves_plot(curves)
    return plots


def _body(analysis: StudyAnalysis, title: str) -> list[str]:
    study = analysis.study
    plots = _plots(analysis)
    colours = _figures.module_colours(analysis)
    parts = [
        f'<p class="kicker">gsfnas · study {escape(study.name)}</p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{prose(summary(analysis))}</p>',
        *(f"<p>{prose(text)}</p>" for text in (_captions.front(analysis), _captions.worth(analysis)) if text),
        *_comparison(analysis, colours),
        "<h2>Accuracy against MACs</h2>",
        _plot(plots, "accuracy", "Top-1 accuracy against GMACs of every candidate", _captions.front_note(analysis)),
        "<h2>The candidates as strips of sites</h2>",
        f'<p class="note">{prose(_captions.strips_note(analysis))}</p>',
        _strips(analysis, colours),
    ]
    if not analysis.is_of_rows:
        warned = _captions.is_warned(analysis.effects["val_top1"])
        parts += [
            "<h2>What each site is worth</h2>",
            f'<p class="{"warning" if warned else "note"}">{prose(_captions.effects_note(analysis))}</p>',
            _plot(plots, "effects", "Main effect of each site with its 95 % interval", ""),
            _table(_tables.sites(analysis), colours, "middle"),
        ]
    options = _tables.options(analysis)
    if options.rows and not analysis.is_of_rows:
        parts += [
            "<h2>What each option is worth</h2>",
            f'<p class="note">{prose(_captions.OPTIONS_NOTE)}</p>',
            _table(options, colours, "middle"),
        ]
    parts += ["<h2>Every candidate</h2>", f'<p class="note">{prose(_captions.COPY_NOTE)}</p>']
    parts.append(_table(_tables.candidates(analysis), colours, "wide"))
    if "curves" in plots:
        parts += ["<h2>Learning curves</h2>", _plot(plots, "curves", "Learning curves", _captions.curves_note(analysis))]
    for heading, table in (
        ("Seeds", _tables.seeds(analysis)),
        ("Runs without a result", _tables.failures(analysis)),
        ("Under other protocols", _tables.protocols(analysis)),
        ("Latency under other conditions", _tables.latencies(analysis)),
    ):
        if table.rows:
            parts += [f"<h2>{heading}</h2>", _table(table, colours, "wide")]
    caveats = "".join(f"<li>{prose(caveat)}</li>" for caveat in _captions.caveats(analysis))
    parts += [
        "<h2>What to hold against these numbers</h2>",
        f"<ul>{caveats}</ul>",
        "<h2>How and where it ran</h2>",
        _table(_tables.environment(analysis), colours),
        "<h2>The resolved study</h2>",
        f"<pre><code>{escape(study.study_yaml.strip() or NOT_RUN)}</code></pre>",
        f"<footer>{prose(_captions.files_note(analysis))}</footer>",
    ]
    return [part for part in parts if part]


def _comparison(analysis: StudyAnalysis, colours: Mapping[str, str]) -> list[str]:
    table = _tables.comparison(analysis)
    return [f"<h2>{_captions.comparison_heading(analysis)}</h2>", _table(table, colours, "middle")] if table.rows else []


def prose(text: str) -> str:
    """Escaped, `names` set as code, and numbers kept on one line with their signs."""
    kept = text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(kept))


def _plot(plots: Mapping[str, object], name: str, alt: str, note: str) -> str:
    if name not in plots:
        return f'<p class="note">{NOT_RUN}</p>'
    described = f"{alt}; the tables of this page hold the same numbers." if alt else ""
    caption = f"<figcaption>{prose(note)}</figcaption>" if note else ""
    return (
        f'<figure class="wide"><div class="plot" id="plot-{name}" role="img" aria-label="{escape(described)}">'
        f"<noscript>{escape(described)}</noscript></div>{caption}</figure>"
    )


def _strips(analysis: StudyAnalysis, colours: Mapping[str, str]) -> str:
    """Candidates as a table of coloured cells, each with its label for those who cannot see colours."""
    rows = _figures.strips(analysis)
    if not rows:
        return f'<p class="note">{NOT_RUN}</p>'
    sites = "".join(f'<th scope="col" class="site"><span>{escape(name)}</span></th>' for name in analysis.sites)
    percent, gmacs = METRICS["val_top1"], METRICS["macs_fvcore"]
    decimals = gmacs.decimals([row.gmacs * 1e9 for row in rows])
    body = []
    for row in rows:
        cells = "".join(_strip_cell(cell, site, colours) for cell, site in zip(row.cells, analysis.sites, strict=True))
        name = escape(" = ".join(row.names))
        body.append(
            f'<tr><th scope="row"><code>{escape(row.key)}</code></th><td>{name}</td>{cells}'
            f'<td class="number">{percent.text(row.val_top1)}</td>'
            f'<td class="number">{gmacs.text(row.gmacs * 1e9, decimals)}</td></tr>'
        )
    legend = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in colours.items())
    return (
        f'<div class="wide"><div class="legend">{legend}<span><i style="background:var(--empty)"></i>nothing</span></div>'
        '<div class="scroll"><table class="strips"><thead><tr><th scope="col">Candidate</th><td></td>'
        f'{sites}<th scope="col" class="number">Val. (%)</th><th scope="col" class="number">GMACs</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></div>"
    )


def _strip_cell(cell: str, site: str, colours: Mapping[str, str]) -> str:
    if not cell:
        return f'<td class="cell" title="{escape(site)}: nothing"><span class="spoken">nothing</span></td>'
    colour = colours[_figures.module_of(cell)]
    spoken = f'<span class="spoken">{escape(cell)}</span>'
    return f'<td class="cell" style="background:{colour}" title="{escape(site)}: {escape(cell)}">{spoken}</td>'


def _table(table: Table, colours: Mapping[str, str], width: str = "") -> str:
    heads = []
    for column in table.columns:
        kind = ' class="number"' if column.is_number else ' class="copy-column"' if column.label == "JSON" else ""
        sortable = table.is_sortable and column.label != "JSON"
        text = f'<button type="button">{escape(column.label)}</button>' if sortable else escape(column.label)
        heads.append(f'<th scope="col"{kind}>{text}</th>' if column.label else "<td></td>")
    body = []
    for index, row in enumerate(table.rows):
        cells = [
            _cell(cell, colours, is_number=column.is_number, is_head=place == 0)
            for place, (cell, column) in enumerate(zip(row, table.columns, strict=True))
        ]
        mark = ' class="marked"' if index in table.marked else ""
        body.append(f"<tr{mark}>{''.join(cells)}</tr>")
    kind = ' class="sortable"' if table.is_sortable else ""
    head = f"<thead><tr>{''.join(heads)}</tr></thead>" if any(column.label for column in table.columns) else ""
    return (
        f'<div class="scroll {width}" tabindex="0" role="region" aria-label="{escape(table.caption)}">'
        f'<table id="{table.name}"{kind}>'
        f"<caption>{escape(table.caption)}</caption>{head}<tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(cell: Cell, colours: Mapping[str, str], *, is_number: bool, is_head: bool) -> str:
    sort = "" if cell.sort is None else f' data-sort="{escape(str(cell.sort))}"'
    kind = ["number"] if is_number else []
    if cell.copy is not None:
        inner = f'<button type="button" class="copy" data-copy="{escape(cell.copy)}">{escape(cell.text)}</button>'
        kind.append("copy-column")
    elif cell.strip is not None:
        inner = _small_strip(cell.strip, cell.text, colours)
    else:
        inner = f"<code>{escape(cell.text)}</code>" if cell.is_code else escape(cell.text)
        if len(cell.text) > 48:
            kind.append("text")
    classes = f' class="{" ".join(kind)}"' if kind else ""
    return f'<th scope="row"{classes}{sort}>{inner}</th>' if is_head else f"<td{classes}{sort}>{inner}</td>"


def _small_strip(strip: Sequence[str], text: str, colours: Mapping[str, str]) -> str:
    cells = "".join(f'<i style="background:{colours[_figures.module_of(one)]}"></i>' if one else "<i></i>" for one in strip)
    return f'<span class="strip" role="img" aria-label="{escape(text)}" title="{escape(text)}">{cells}</span>'
