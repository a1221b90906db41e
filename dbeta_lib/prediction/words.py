"""The notice that stands with every prediction, and tables as plain text."""

import numpy as np
import pandas as pd

from dbeta_lib.reporting.html_page import printable

NOTICE = "For research and teaching, not for diagnosis."


def cell(value: object) -> str:
    """One cell of a table."""
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)


def plain_table(frame: pd.DataFrame) -> str:
    """Words to the left, numbers to the right, nothing that steers a terminal."""
    cells = [[printable(head) for head in frame.columns]]
    for row in frame.itertuples(index=False, name=None):
        cells.append([printable(cell(value)) for value in row])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    numeric = [bool(frame.iloc[:, i].map(_is_number).all()) for i in range(frame.shape[1])]
    lines = []
    for row in cells:
        parts = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric)]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    text = str(value).strip("%-").replace(".", "", 1)
    return isinstance(value, float | np.floating) or text.isdigit()
