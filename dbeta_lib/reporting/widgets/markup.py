"""The text beside a widget's pictures, as HTML in which everything from outside is escaped."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.reporting import tables

# Styles of their own: a saved page has no style sheet of ours.
_LEFT = 'style="text-align: left"'
_LOW = 'style="max-height: 24em; overflow-y: auto"'


def paragraph(text: str) -> str:
    """Plain text as one paragraph."""
    return f"<p>{html.escape(text)}</p>"


def facts(named: Mapping[str, Any]) -> str:
    """Name and value, a row each; what is missing or empty is left out."""
    rows = [
        f"<tr><th {_LEFT}>{html.escape(name)}</th>"
        f"<td {_LEFT}>{html.escape(tables.format_cell(value))}</td></tr>"
        for name, value in named.items()
        if not _is_nothing(value)
    ]
    return f"<table>{''.join(rows)}</table>"


def _is_nothing(value: Any) -> bool:
    missing = value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
    return missing or value == ""


def table(frame: pd.DataFrame, caption: str = "", scrolls: bool = False) -> str:
    """A table as `tables.show` words it; `scrolls` keeps it low, with a bar of its own.

    What scrolls can be reached by the keyboard and has a name.
    """
    made = tables.show(frame, caption).to_html()
    if not scrolls:
        return made
    name = html.escape(caption, quote=True)
    return f'<div {_LOW} tabindex="0" role="region" aria-label="{name}">{made}</div>'
