"""CSV files as text, read so that no odd line end is taken for thousands of lines."""

import io
from pathlib import Path

import pandas as pd


def with_one_kind_of_line_ends(path: Path, errors: str = "strict") -> io.StringIO:
    """A UTF-8 file's text, each of its lines ended by a line feed.

    Of a carriage return alone, twice before a space, pandas makes lines until the memory is full.
    """
    with open(path, encoding="utf-8-sig", errors=errors) as file:
        return io.StringIO(file.read())


def read_text_table(path: Path) -> pd.DataFrame:
    """A published table, every cell as the text that stands there, "" where there is none.

    Raises ValueError (pandas' parser errors and a wrong encoding are such) or OSError.
    """
    text = with_one_kind_of_line_ends(path)
    return pd.read_csv(text, dtype=str, keep_default_na=False)
