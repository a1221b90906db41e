"""Result tables for people: values with intervals, as Markdown, HTML and LaTeX, safe to display.

Cells may hold report text, so everything is escaped in every format. A `Table` shows itself in a
notebook; figures and prose take their numbers from the same result records.
"""

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.evaluation.results import split_note
from dbeta_lib.reporting.axes import need_columns

NOTHING = "–"  # an empty cell
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "µ": r"\textmu{}",
} | {character: "\\" + character for character in "&%$#_{}"}


def format_interval(
    value: float,
    low: float | None = None,
    high: float | None = None,
    digits: int = 3,
    interval_digits: int | None = None,
) -> str:
    """`0.803 [0.79, 0.82]`: the value, and its interval with one digit less; "–" for NaN.

    `interval_digits` where the interval shall have another number of them.
    """
    if _missing(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    if _missing(low) or _missing(high):
        return text
    fewer = max(digits - 1, 0) if interval_digits is None else interval_digits
    return f"{text} [{low:.{fewer}f}, {high:.{fewer}f}]"


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def format_cell(value: object, digits: int = 3) -> str:
    """One cell: floats rounded, whole numbers with thousands, text as it is, missing as "–"."""
    if _missing(value):
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return str(value)


@dataclass(frozen=True)
class Table:
    """Rows of finished text under a header, with a caption; shows itself in a notebook.

    `frame` keeps the numbers behind the text. `numeric` says which columns are set to the right.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""
    frame: pd.DataFrame | None = None

    def to_markdown(self) -> str:
        """A table of GitHub's Markdown, the caption in italics beneath."""
        lines = [_markdown_row(self.header)]
        lines.append("|" + "|".join("---:" if right else "---" for right in self.numeric) + "|")
        lines += [_markdown_row(row) for row in self.rows]
        if self.caption:
            lines += ["", f"*{escape_markdown(self.caption)}*"]
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        """A table with aligned columns, no scripts and no styles beyond the alignment."""
        head = "".join(_html_cell("th", *cell) for cell in zip(self.header, self.numeric))
        body = [
            "<tr>" + "".join(_html_cell("td", *cell) for cell in zip(row, self.numeric)) + "</tr>"
            for row in self.rows
        ]
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        head = f"<thead><tr>{head}</tr></thead>"
        return "\n".join([f"<table>{caption}", head, "<tbody>", *body, "</tbody></table>"]) + "\n"

    def to_latex(self) -> str:
        """A `tabular` with booktabs rules; inside a `table` when there is a caption."""
        columns = "".join("r" if right else "l" for right in self.numeric)
        # The empty group keeps a cell that begins with "[" from being read as an option of \\.
        rows = [
            "{}" * row[0].startswith("[") + " & ".join(map(escape_latex, row)) + r" \\"
            for row in (self.header, *self.rows)
        ]
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule"]
        lines += [*rows[1:], r"\bottomrule", r"\end{tabular}"]
        if self.caption:
            caption = rf"\caption{{{escape_latex(self.caption)}}}"
            lines = [r"\begin{table}", r"\centering", caption, *lines, r"\end{table}"]
        return "\n".join(lines) + "\n"

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        """Aligned columns for a terminal; notebooks show the HTML."""
        columns = list(zip(self.header, *self.rows))
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self.numeric)
            ).rstrip()
            for row in (self.header, *self.rows)
        ]
        return "\n".join([*([self.caption] if self.caption else []), *lines])


def show(frame: pd.DataFrame, caption: str = "", *, digits: int = 3, index: bool = False) -> Table:
    """Any table for display in a notebook: `show(results)` as the last line of a cell.

    Columns of numbers are set to the right; with `index` the index becomes the first columns.
    """
    shown = frame.reset_index() if index else frame
    header = tuple(" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in shown.columns)
    columns = [[format_cell(v, digits) for v in shown.iloc[:, i]] for i in range(shown.shape[1])]
    numeric = tuple(pd.api.types.is_numeric_dtype(shown.iloc[:, i]) for i in range(shown.shape[1]))
    return Table(header, tuple(zip(*columns)), numeric, caption, frame)


def with_interval(
    frame: pd.DataFrame,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    digits: int = 3,
    interval_digits: int | None = None,
) -> pd.DataFrame:
    """The frame with `value`, `low` and `high` as one text column in the place of `value`.

    Digits as in `format_interval`. Raises UsageError when a column is missing.
    """
    need_columns(frame, [value, low, high], "a table of intervals")
    cells = frame[[value, low, high]].astype(float).itertuples(index=False, name=None)
    out = frame.astype({value: object})
    out[value] = [format_interval(*cell, digits, interval_digits) for cell in cells]
    return out.drop(columns=[low, high])


def intervals(
    named: Mapping[Any, Any],
    head: str | Sequence[str] = "",
    *,
    metric: str = "macro AUC",
    caption: str = "",
    digits: int = 3,
) -> Table:
    """Estimates by name as a table; an estimate is anything with `value`, `low` and `high`.

    With several heads each name is a tuple of as many parts. `frame` has value, low and high.
    """
    heads = [head] if isinstance(head, str) else list(head)
    rows = []
    for name, estimate in named.items():
        names = [name] if isinstance(head, str) else list(name)
        rows.append([*names, estimate.value, estimate.low, estimate.high])
    frame = pd.DataFrame(rows, columns=[*heads, metric, "low", "high"])
    table = show(with_interval(frame, metric, digits=digits), caption)
    numeric = (False,) * len(heads) + (True,)
    return Table(table.header, table.rows, numeric, caption, frame)


def pivot(
    results: pd.DataFrame,
    *,
    rows: str | Sequence[str] = "encoder",
    columns: str = "label_fraction",
    value: str = "value",
    low: str = "low",
    high: str = "high",
    caption: str = "",
    digits: int = 3,
    interval_digits: int | None = None,
) -> Table:
    """Results as rows x columns, "0.803 [0.79, 0.82]" in each cell; fractions as "10 %".

    Rows and columns keep the order of `results`, columns of numbers are sorted. Several results for
    one cell (seeds) are shown as their mean and their range, and the caption says so; as it does
    where patients are not known (`split_note`). Digits as in `format_interval`.
    Raises UsageError for a missing column.
    """
    names = [rows] if isinstance(rows, str) else list(rows)
    need_columns(results, [*names, columns, value], "the table of results")
    keys = list(dict.fromkeys(results[names].itertuples(index=False, name=None)))
    heads = list(results[columns].dropna().unique())
    if pd.api.types.is_numeric_dtype(results[columns]):
        heads = sorted(heads)
    grouped = dict(list(results.groupby([*names, columns], sort=False, dropna=False)))
    cells, several = [], False
    for key in keys:
        groups = [grouped.get((*key, head)) for head in heads]
        several = several or any(group is not None and len(group) > 1 for group in groups)
        cells.append(
            [_pivot_cell(group, value, low, high, digits, interval_digits) for group in groups]
        )
    header = (*names, *(_head(head, columns) for head in heads))
    texts = tuple((*map(format_cell, key), *row) for key, row in zip(keys, cells))
    notes = [split_note(results)]
    if several:
        notes.append(
            "Where a cell stands for several runs: their mean and, in brackets, their range."
        )
    for note in filter(None, notes):
        caption = f"{caption.rstrip('.')}. {note}" if caption else note
    numeric = (False,) * len(names) + (True,) * len(heads)
    return Table(header, texts, numeric, caption, results)


def _pivot_cell(
    group: pd.DataFrame | None, value: str, low: str, high: str, *digits: int | None
) -> str:
    if group is None:
        return NOTHING
    values = group[value].astype(float)
    if len(group) > 1:
        return format_interval(values.mean(), values.min(), values.max(), *digits)
    bounds = [float(group[c].iloc[0]) if c in group else None for c in (low, high)]
    return format_interval(values.iloc[0], *bounds, *digits)


def _head(head: object, column: str) -> str:
    """0.01 of a column of fractions is "1 %"."""
    if "fraction" in column and isinstance(head, float | int | np.number):
        return f"{float(head) * 100:g} %"
    return format_cell(head)


def escape_markdown(text: str) -> str:
    """Text that Markdown (with HTML and mathematics) shows as it is, on one line.

    Square brackets stay readable: only what would make a link of them is escaped.
    """
    folded = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_|$~]|\](?=[(\[:]))", r"\\\1", folded)


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    return "".join(_LATEX.get(character, character) for character in " ".join(str(text).split()))


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape_markdown(cell) for cell in cells) + " |"


def _html_cell(tag: str, text: str, right: bool) -> str:
    align = "right" if right else "left"
    return f'<{tag} style="text-align: {align}">{html.escape(text)}</{tag}>'
