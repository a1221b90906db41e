"""A prediction as an HTML page: one recording with its ECG, or a folder of them.

`prediction` is a `result.Prediction` throughout, which imports this page.
"""

import base64
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dbeta_lib.prediction.refusals import Unread
from dbeta_lib.prediction.words import NOTICE, cell
from dbeta_lib.reporting.html_page import frame, safe

_STYLE = """
img { width: 100%; height: auto; } details { margin: .8rem 0; } summary { cursor: pointer; }
table.facts { width: auto; }
.notice { border: 1px solid var(--note); border-radius: .4rem; padding: .5rem .8rem; }
.bar { background: #0072B233; } .bar i { display: block; height: .8rem; background: #0072B2; }
section td { overflow-wrap: break-word; }
td.bar-cell { width: 9rem; vertical-align: middle; } section { overflow-x: auto; }
"""
# Said of each cell, since notebooks strip style sheets and set cells to the right.
_CELL, _HEAD = '<td style="text-align:left">', '<th style="text-align:left">'
_DPI = 110  # of the ECG: 1.1 MB at most, sharp on a screen


def page(prediction: Any) -> str:
    """One recording's page."""
    return frame(f"D-BETA · {prediction.name}", body(prediction), _STYLE)


def body(prediction: Any, with_ecg: bool = True, level: int = 1) -> str:
    """What stands on it; `level` of its heading. Everything from the recording is escaped."""
    given, about = prediction.given, prediction.about
    facts = "".join(
        f"<tr>{_HEAD}{safe(a)}</th>{_CELL}{safe(b)}</td></tr>" for a, b in given.facts()
    )
    parts = [
        f"<h{level}>{safe(given.name)}</h{level}>",
        f'<p class="notice">{NOTICE}</p>',
        f'<table class="facts">{facts}</table>',
        _findings(prediction),
        _picture(prediction) if with_ecg else "",
        f"<h{level + 1}>Scores of {safe(about.name)}</h{level + 1}>",
        f'<p class="sub">{safe(about.asked)} {safe(about.trained)}</p>',
        *(f'<p class="spoils">{safe(told)}</p>' for told in prediction.warnings()),
        _scores(prediction),
        "<p>" + " ".join(safe(told) for told in about.sentences()) + "</p>",
    ]
    if prediction.neighbours is not None:
        parts.append(f"<h{level + 1}>Nearest ECGs of the store</h{level + 1}>")
        parts.append(_table(prediction.neighbours.drop(columns="row")))
    return "".join(parts)


def many(name: str, results: Sequence[str], table: pd.DataFrame, unread: Sequence[Unread]) -> str:
    """A folder's page: its table, what could not be read, then `results` (bodies, folded)."""
    parts = [f"<h1>{safe(name)}</h1>", f'<p class="notice">{NOTICE}</p>', _table(table)]
    if unread:
        lines = "".join(f"<li>{safe(each.says)}</li>" for each in unread)
        parts.append(f'<h2>Not read</h2><ul class="spoils">{lines}</ul>')
    return frame(f"D-BETA · {name}", "".join([*parts, *results]), _STYLE)


def folded(prediction: Any) -> str:
    """A body to be opened by a click."""
    inner = body(prediction, level=2)
    return f"<details><summary>{safe(prediction.name)}</summary>{inner}</details>"


def _findings(prediction: Any) -> str:
    rows = "".join(
        f'<tr><td class="{"spoils" if f.spoils else "note"}">{safe(f.name)}</td>'
        f"<td>{safe(' '.join(f.leads) or 'all leads')}</td><td>{safe(f.says)}</td>"
        f"<td>{safe(f.remedy)}</td></tr>"
        for f in prediction.given.findings
    )
    if not rows:
        kind = "good" if prediction.is_whole else "note"
        return f'<p class="{kind}">{safe(prediction.verdict())}</p>'
    head = "<tr><th>Finding</th><th>Leads</th><th>What</th><th>What to do</th></tr>"
    return f"<table>{head}{rows}</table>"


def _picture(prediction: Any) -> str:
    data = base64.b64encode(prediction.figure().to_png(_DPI)).decode("ascii")
    told = safe(f"The first ten seconds of {prediction.name} on ECG paper, 25 mm/s and 10 mm/mV")
    return f'<img alt="{told}" src="data:image/png;base64,{data}">'


def _scores(prediction: Any) -> str:
    """The table of scores, with a bar for each rank."""
    table, ranks = prediction.table(), prediction.scores["rank"]
    with_bars = prediction.about.reference is not None
    place = list(table.columns).index("higher than") + 1 if with_bars else 0
    heads = [f"{_HEAD}{safe(head)}</th>" for head in table.columns]
    heads[place:place] = ["<th></th>"] * with_bars
    lines = [f"<tr>{''.join(heads)}</tr>"]
    for row, rank in zip(table.itertuples(index=False, name=None), ranks, strict=True):
        cells = [f"{_CELL}{safe(value)}</td>" for value in row]
        if with_bars:
            width = 0 if rank != rank else 100 * rank
            bar = f'<div class="bar"><i style="width:{width:.0f}%"></i></div>'
            cells.insert(place, f'<td class="bar-cell">{bar}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<section><table>{''.join(lines)}</table></section>"


def _table(frame_: pd.DataFrame) -> str:
    heads = "".join(f"{_HEAD}{safe(head)}</th>" for head in frame_.columns)
    rows = "".join(
        "<tr>" + "".join(f"{_CELL}{safe(cell(value))}</td>" for value in row) + "</tr>"
        for row in frame_.itertuples(index=False, name=None)
    )
    return f"<section><table><tr>{heads}</tr>{rows}</table></section>"
