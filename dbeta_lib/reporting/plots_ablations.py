"""Plots of ablations: levels of each row, differences with verdicts, matching, costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dbeta_lib.evaluation.verdict import VERDICTS
from dbeta_lib.reporting.axes import (
    TICK_PT,
    banded_rows,
    headline,
    legend_outside,
    light_grid,
    log_axis,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import (
    GREY,
    INK,
    PAGE_MM,
    PALETTE,
    is_control,
    series_styles,
    styled,
)
from dbeta_lib.sweeps.compare import QUESTIONS, WRONG_TEXTS

LABEL_MM = 40.0  # of a row's name
TEXT_ALONE = "text alone"  # a control that reads no ECG
LOOKS = {  # of a verdict: colour, marker
    "helps": (PALETTE[0], "^"),
    "hurts": (PALETTE[1], "v"),
    "cannot tell": (GREY, "o"),
}
TEXTS = {
    "random": "wrong texts: random",
    "far": "wrong texts: the farthest",
    "leak": "own text, wrong text's mask",
}
COSTS = {  # column -> title, axis label, factor
    "train_seconds": ("training", "seconds", 1.0),
    "peak_memory_mb": ("most memory", "GB", 1 / 1024),
}


@styled
def plot_levels(table: pd.DataFrame, *, title: str = "", chance: float = 0.5) -> Chart:
    """Macro AUC of each row of a sweep with its interval: a panel per question.

    Columns: name, question (a key of `QUESTIONS`), value, low, high, per_seed. Where a row has
    several seeds, each is a small stroke; controls are grey. `chart.data` is the table, the seeds
    written out.
    """
    need_columns(table, ["name", "question", "value", "low", "high", "per_seed"], "the table")
    names, asked = (list(dict.fromkeys(table[column])) for column in ("name", "question"))
    chart = new_chart(PAGE_MM, 38 + 5.2 * len(names))
    panels = chart.subplots(1, len(asked), sharex=True, sharey=True, squeeze=False)[0]
    several = any(len(seeds) > 1 for seeds in table["per_seed"])
    label = "95 % interval of the mean over seeds; strokes: seeds" if several else "95 % interval"
    for axes, question in zip(panels, asked):
        part = table[table["question"] == question].set_index("name").reindex(names)
        banded_rows(axes, names, label_mm=LABEL_MM)
        grey = pd.Series([is_control(n) or n == TEXT_ALONE for n in names], index=names)
        _values(axes, part.where(~grey), PALETTE[0], "o", label, True)
        _values(axes, part.where(grey), GREY, "s", "control", grey.any())
        reference_line(axes, chance, f"chance = {chance:g}", upright=True)
        axes.set_title(_two_lines(QUESTIONS.get(question, question)))
        axes.set(xlabel="macro AUC")
        light_grid(axes, "x")
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = _written_out(table)
    return chart


@styled
def plot_verdicts(table: pd.DataFrame, *, title: str = "", metric: str = "macro AUC") -> Chart:
    """Differences with their intervals, one row each, and what is told of them.

    `table` as `verdicts` gives it, the compared thing as its index. A hollow mark rests on fewer
    than five seeds; strokes are single seeds. The interval is of the row alone, the verdict of p
    adjusted for all rows. `chart.data` is the table, the seeds written out.
    """
    needed = ["value", "low", "high", "p_holm", "verdict", "exploratory", "per_seed"]
    need_columns(table, needed, "the table of verdicts")
    names = [str(name) for name in table.index]
    chart = new_chart(PAGE_MM * 0.75, 36 + 5.6 * len(names))
    axes = chart.subplots()
    banded_rows(axes, names, label_mm=LABEL_MM + 12)
    table = table.set_axis(names)
    for verdict in VERDICTS:
        color, marker = LOOKS[verdict]
        for few in (False, True):
            picked = (table["verdict"] == verdict) & (table["exploratory"] == few)
            label = f"{verdict}, few seeds" if few else verdict
            part = table.where(picked)  # NaN in the rows of others: nothing is drawn there
            _values(axes, part, color, marker, label, picked.any(), hollow=few)
    told = [
        f"{v}, {p:.2g}" if np.isfinite(p) else v for v, p in table[["verdict", "p_holm"]].values
    ]
    look = {"size": TICK_PT, "color": INK, "annotation_clip": False}
    axes.annotate("verdict, Holm's p", (1.01, 1), xycoords="axes fraction", va="bottom", **look)
    for row, words in enumerate(told):
        where = ("axes fraction", "data")
        axes.annotate(words, (1.01, row), xycoords=where, va="center", **look)
    reference_line(axes, 0, "no difference", upright=True)
    axes.set(xlabel=f"difference in {metric}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    headline(chart, title)
    light_grid(axes, "x")
    legend_outside(chart, axes)
    chart.data = _written_out(table.rename_axis("row").reset_index())
    return chart


@styled
def plot_matching(table: pd.DataFrame, *, title: str = "") -> Chart:
    """ETM accuracy beside its control with other patients' ECGs: a panel per kind of wrong text.

    Columns: name, texts (of `WRONG_TEXTS`), accuracy and shuffled (shares, 0..1), per_seed. What
    lies above one half with shuffled ECGs was read from the text. `chart.data`: the table, the
    seeds written out.
    """
    need_columns(table, ["name", "texts", "accuracy", "shuffled", "per_seed"], "the table")
    names = list(dict.fromkeys(table["name"]))
    kinds = [kind for kind in WRONG_TEXTS if kind in set(table["texts"])]
    chart = new_chart(PAGE_MM, 36 + 5.2 * len(names))
    panels = chart.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds):
        part = table[table["texts"] == kind].set_index("name").reindex(names)
        rows, right, control = (
            np.arange(len(names)),
            *(100 * part[column].astype(float) for column in ("accuracy", "shuffled")),
        )
        banded_rows(axes, names, label_mm=LABEL_MM)
        axes.hlines(rows, control, right, color=PALETTE[0], lw=1)
        axes.plot(right, rows, "o", color=PALETTE[0], label="the records' own ECGs")
        axes.plot(control, rows, "s", color=GREY, mfc="none", ms=6, label="control: shuffled ECGs")
        reference_line(axes, 50, "guessing = 50 %", upright=True)
        axes.set(title=TEXTS[kind], xlabel="right decisions [%]")
        light_grid(axes, "x")
    low = min(45.0, 100 * table[["accuracy", "shuffled"]].min().min() - 3)
    panels[0].set_xlim(low, 101)
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = _written_out(table)
    return chart


@styled
def plot_costs(table: pd.DataFrame, *, title: str = "") -> Chart:
    """Seconds of training and the most memory of each row, as bars from zero.

    Columns: name, train_seconds, peak_memory_mb. `chart.data` is the table.
    """
    need_columns(table, ["name", *COSTS], "the table of costs")
    names = list(table["name"])
    chart = new_chart(PAGE_MM, 28 + 5.2 * len(names))
    panels = chart.subplots(1, len(COSTS), sharey=True)
    for axes, (column, (what, unit, factor)) in zip(panels, COSTS.items()):
        banded_rows(axes, names, label_mm=LABEL_MM)
        axes.barh(range(len(names)), factor * table[column].astype(float), 0.6, color=PALETTE[5])
        axes.set(title=what, xlabel=unit)
        light_grid(axes, "x")
    headline(chart, title)
    chart.data = table.reset_index(drop=True)
    return chart


@styled
def plot_contrast_cost(table: pd.DataFrame, *, title: str = "") -> Chart:
    """Time and memory of each contrast by itself over the batch.

    Columns: batch, loss, seconds, peak_mb, as `training.contrast_cost` gives them. `chart.data` is
    the table.
    """
    need_columns(table, ["batch", "loss", "seconds", "peak_mb"], "the table of costs")
    chart = new_chart(PAGE_MM, 66)
    panels = chart.subplots(1, 2)
    labels = (("seconds", 1e3, "forward and backward [ms]"), ("peak_mb", 1, "most memory [MB]"))
    for axes, (column, factor, label) in zip(panels, labels):
        for name, look in series_styles(table["loss"]).items():
            part = table[table["loss"] == name]
            line = {"color": look["color"], "marker": look["marker"], "ls": look["linestyle"]}
            axes.plot(part["batch"], factor * part[column], label=name, **line)
        axes.set(xlabel="records in the batch", ylabel=label)
        log_axis(axes, "x")
        log_axis(axes, "y")
        batches = sorted(set(table["batch"]))
        axes.set_xticks(batches, [f"{batch:,}" for batch in batches])
        light_grid(axes, "both")
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = table.reset_index(drop=True)
    return chart


def _values(
    axes: Axes, part: pd.DataFrame, color: str, marker: str, label: str, named: bool, *,
    hollow: bool = False,
) -> None:  # fmt: skip
    """Marks with intervals in rows 0, 1, ...; seeds as strokes where there are several."""
    rows = np.arange(len(part))
    low, high, value = (part[column].astype(float) for column in ("low", "high", "value"))
    axes.hlines(rows, low, high, color=color, lw=1.2)
    axes.plot(value, rows, marker, color=color, mfc="white" if hollow else color,
              label=label if named else None)  # fmt: skip
    for row, seeds in zip(rows, part["per_seed"]):
        if isinstance(seeds, Sequence) and len(seeds) > 1:
            axes.plot(seeds, [row + 0.28] * len(seeds), "|", color=color, alpha=0.6, ms=4)


def _two_lines(words: str) -> str:
    return words.replace(", ", ",\n", 1)


def _written_out(table: pd.DataFrame) -> pd.DataFrame:
    """Seeds as text, so that a CSV holds them in one cell."""
    seeds = [" ".join(f"{value:.6g}" for value in each) for each in table["per_seed"]]
    return table.assign(per_seed=seeds).reset_index(drop=True)
