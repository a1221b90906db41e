"""Which finding is taken for which, when ECGs and reports search each other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.retrieval_confusion import Confusion
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import TICK_PT, headline
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import MIN_FONT_PT, PAGE_MM, styled

NUMBERS = 24  # classes up to which each cell has its number
LABEL_MM = 50.0  # of a class's name at most
CELL_MM = 6.0  # of a row


@styled
def plot_confusion(
    found: Confusion, classes: Sequence[str], *, asked: str = "ECG", answer: str = "report",
    title: str = "",
) -> Chart:  # fmt: skip
    """Share of the searches that a class asked with (row) ends at each class (column), in %.

    The last row is an answer drawn blindly: what a column shows above it was found. asked, answer:
    what searches, and what is found. Raises UsageError for another number of classes.
    `chart.data`: asked, queries, found, share.
    """
    from seaborn import heatmap  # here: its import takes most of a second

    if found.shares.shape != (len(classes), len(classes)):
        raise UsageError(f"{len(classes)} names do not fit shares {list(found.shares.shape)}")
    names = [words.shorten(name, LABEL_MM, TICK_PT) for name in classes]
    rows = [f"{name} (n = {n:,})" for name, n in zip(names, found.queries)]
    shares = np.vstack([found.shares, found.chance])
    chart = new_chart(PAGE_MM, 26 + max(map(_width, names)) + CELL_MM * (len(classes) + 2))
    axes = chart.subplots()
    heatmap(
        100 * shares, ax=axes, cmap="Blues", vmin=0, vmax=100, fmt=".0f",
        annot=len(classes) <= NUMBERS, annot_kws={"size": MIN_FONT_PT},
        xticklabels=names, yticklabels=[*rows, f"any {answer}"],
        cbar_kws={"label": f"first {answer} has it [%]"},
    )  # fmt: skip
    axes.axhline(len(classes), color="white", lw=4)  # apart: no class asks there
    axes.set(xlabel=f"class of the {answer} found first", ylabel=f"class of the {asked}")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    headline(chart, title)
    chart.data = pd.DataFrame({
        "asked": np.repeat([*classes, f"any {answer}"], len(classes)),
        "queries": np.repeat([*found.queries, found.queries.sum()], len(classes)),
        "found": list(classes) * len(shares), "share": shares.ravel(),
    })  # fmt: skip
    return chart


def _width(name: str) -> float:
    return words.width_mm(name, TICK_PT)
