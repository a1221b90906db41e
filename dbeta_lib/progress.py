"""Progress bars: widgets in a notebook that somebody watches, text where a runner shows it.

A widget's state is not in a notebook's output, so a runner without a browser could neither show
how far a cell is nor keep it in the page. `run_all.sh` therefore asks for text.
"""

import os
from typing import Any

from tqdm import tqdm as text_bar
from tqdm.auto import tqdm as widget_bar

AS_TEXT = "DBETA_TEXT_PROGRESS"  # environment variable; any value asks for text
SPARSE = {"mininterval": 2.0, "ncols": 120}  # every line is kept in the notebook's output


def tqdm(*args: Any, **options: Any) -> widget_bar:
    """`tqdm.auto.tqdm`, or plain text at least two seconds apart where `AS_TEXT` is set."""
    if os.environ.get(AS_TEXT):
        return text_bar(*args, **{**options, **SPARSE})
    return widget_bar(*args, **options)
