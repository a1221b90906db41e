"""Plots of data and results by class: prevalence, AUC, few labels, one record's scores."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting.axes import (
    TICK_PT,
    banded_rows,
    headline,
    legend_outside,
    light_grid,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import COLUMN_MM, INK, PAGE_MM, PALETTE, series_styles, styled

SPLITS = ("train", "val", "test")


@styled
def plot_class_auc(table: pd.DataFrame, *, title: str = "", chance: float = 0.5) -> Chart:
    """AUC per class with its interval, one row per class, one dot per encoder.

    Columns: class, auc, low, high, n_pos and, for several, encoder. Classes are sorted by the
    first encoder's AUC; a class without AUC says so. `chart.data` is the table in that order.
    """
    need_columns(table, ["class", "auc", "low", "high", "n_pos"], "the table of AUCs")
    if "encoder" not in table:
        table = table.assign(encoder="AUC")
    styles = series_styles(table["encoder"])
    first = table[table["encoder"] == next(iter(styles))].set_index("class")["auc"]
    order = first.sort_values(ascending=False, na_position="last", kind="stable").index.tolist()
    order += [name for name in table["class"].unique() if name not in order]
    chart = new_chart(PAGE_MM, 24 + max(5.0, 3.2 * len(styles)) * len(order))
    axes = chart.subplots()
    positives = table.groupby("class")["n_pos"].max()
    banded_rows(axes, order, [positives[name] for name in order])
    rows = {name: row for row, name in enumerate(order)}
    for i, (name, look) in enumerate(styles.items()):
        part = table[(table["encoder"] == name) & table["auc"].notna()]
        shift = 0.0 if len(styles) == 1 else (i / (len(styles) - 1) - 0.5) * 0.6
        _dots(axes, part, part["class"].map(rows) + shift, look, name if len(styles) > 1 else None)
    reference_line(axes, chance, f"chance = {chance:g}", upright=True)
    for name in order:
        if table.loc[table["class"] == name, "auc"].isna().all():
            axes.text(chance, rows[name], "  no AUC: one value only", va="center", size=TICK_PT)
    lowest = np.nanmin([table["low"].min(), table["auc"].min(), chance])
    axes.set(xlabel="AUC (area under the ROC curve)")
    headline(chart, title)
    axes.set_xlim(max(0.0, lowest - 0.03), 1.01)
    light_grid(axes, "x")
    legend_outside(chart, axes)
    place = table["class"].map(rows)
    chart.data = table.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
    return chart


def _dots(axes: Axes, part: pd.DataFrame, y: pd.Series, look: dict, label: str | None) -> None:
    """Values with their intervals, along x."""
    axes.hlines(y, part["low"], part["high"], color=look["color"], lw=1)
    axes.plot(part["auc"], y, look["marker"], color=look["color"], label=label)


@styled
def plot_label_efficiency(
    results: pd.DataFrame,
    *,
    x: str = "label_fraction",
    metric: str = "macro AUC",
    chance: float | None = None,
    title: str = "",
) -> Chart:
    """What features are worth with few labels: the metric over the labels used, per encoder.

    Columns: encoder, value, low, high and `x`, "label_fraction" (0..1) or "n_train" (records).
    Several rows of one encoder and x (seeds) are faint dots around their mean; a single row
    shows its interval. `chart.data` is the table, sorted.
    """
    need_columns(results, ["encoder", "value", x], "the table of results")
    chart = new_chart(COLUMN_MM * 1.35, 75)
    axes = chart.subplots()
    points = np.sort(results[x].unique())
    styles = series_styles(results["encoder"])
    for i, (name, look) in enumerate(styles.items()):
        shift = 1.04 ** (i - (len(styles) - 1) / 2)  # apart by a few per cent on the log axis
        _efficiency(axes, results[results["encoder"] == name], x, shift, look, name)
    if chance is not None:
        reference_line(axes, chance, f"chance = {chance:g}")
    axes.set(xscale="log", ylabel=metric)
    headline(chart, title)
    percent = x == "label_fraction"
    axes.set_xlabel("training labels used [%]" if percent else "labelled training records")
    shown = _apart(points)
    axes.set_xticks(shown, [f"{p * 100:g}" if percent else f"{p:,.0f}" for p in shown])
    axes.set_xticks([], minor=True)
    light_grid(axes, "y")
    legend_outside(chart, axes)
    chart.data = results.sort_values(["encoder", x], kind="stable").reset_index(drop=True)
    return chart


def _efficiency(
    axes: Axes, part: pd.DataFrame, x: str, shift: float, look: dict, label: str
) -> None:
    """One encoder's line: means over seeds, or single values with their intervals."""
    means = part.groupby(x)["value"].mean()
    line = {"color": look["color"], "marker": look["marker"], "linestyle": look["linestyle"]}
    axes.plot(means.index * shift, means, label=label, **line)
    counts = part.groupby(x)["value"].transform("size")
    seeds = part[counts > 1]
    axes.plot(seeds[x] * shift, seeds["value"], ".", color=look["color"], alpha=0.35, ms=4)
    single = part[counts == 1]
    if {"low", "high"} <= set(part.columns) and len(single):
        axes.vlines(single[x] * shift, single["low"], single["high"], color=look["color"], lw=1)


def _apart(points: np.ndarray) -> list[float]:
    """Tick places at least a factor 1.35 apart, the last one always among them."""
    shown: list[float] = []
    for point in points[::-1]:
        if not shown or shown[-1] / point >= 1.35:
            shown.append(float(point))
    return shown[::-1]


@styled
def plot_score_bars(
    names: Sequence[str],
    scores: Sequence[float],
    *,
    truth: Collection[str] = (),
    title: str = "",
    unit: str = "similarity to the class description",
    top: int | None = None,
) -> Chart:
    """Zero-shot scores of one ECG, best first; the classes in `truth` are marked.

    `top` keeps the best only. `chart.data`: class, score, true (0/1).
    """
    if len(names) != len(scores) or not len(names):
        raise UsageError(f"{len(names)} names for {len(scores)} scores; give one score per name")
    table = pd.DataFrame({"class": list(names), "score": np.asarray(scores, dtype=float)})
    table["true"] = table["class"].isin(set(truth)).astype(int)
    table = table.sort_values("score", ascending=False, kind="stable").head(top or len(table))
    table = table.reset_index(drop=True)
    chart = new_chart(COLUMN_MM * 1.35, 24 + 4.6 * len(table))
    axes = chart.subplots()
    banded_rows(axes, list(table["class"]), label_mm=50)
    spread = float(np.ptp(table["score"])) or 1.0
    left = table["score"].min() - 0.1 * spread
    # Dots, not bars from 0: only the order and the distances mean something.
    looks = ((1, PALETTE[1], "D", "labelled so"), (0, PALETTE[0], "o", "not labelled so"))
    for value, color, marker, label in looks:
        part = table[table["true"] == value]
        axes.hlines(part.index, left, part["score"], color=color, lw=1, alpha=0.4)
        label = label if len(part) and truth else None
        axes.plot(part["score"], part.index, marker, color=color, label=label)
    axes.set_xlim(left, table["score"].max() + 0.05 * spread)
    axes.set(xlabel=unit)
    headline(chart, title)
    legend_outside(chart, axes)
    chart.data = table
    return chart


@styled
def plot_score_shift(
    names: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    *,
    truth: Collection[str] = (),
    labels: tuple[str, str] = ("12 leads", "leads kept"),
    title: str = "",
    unit: str = "similarity to the class description",
) -> Chart:
    """How the scores of one ECG move: a hollow dot before, a full one after, a line between.

    Classes are in the order of `before`, best first; those in `truth` are marked. `chart.data`:
    class, before, after, true (0/1).
    """
    if not len(names) or not len(names) == len(before) == len(after):
        raise UsageError(f"{len(names)} names for {len(before)} and {len(after)} scores")
    table = pd.DataFrame({"class": list(names), "before": before, "after": after})
    table["true"] = table["class"].isin(set(truth)).astype(int)
    table = table.sort_values("before", ascending=False, kind="stable").reset_index(drop=True)
    chart = new_chart(COLUMN_MM * 1.35, 26 + 4.6 * len(table))
    axes = chart.subplots()
    banded_rows(axes, list(table["class"]), label_mm=50)
    looks = ((1, PALETTE[1], "D", "labelled so"), (0, PALETTE[0], "o", "not labelled so"))
    for value, color, marker, label in looks:
        part = table[table["true"] == value]
        axes.hlines(part.index, part["before"], part["after"], color=color, lw=1.5, alpha=0.5)
        axes.plot(part["before"], part.index, marker, mfc="white", color=color, gid="before")
        label = label if len(part) and truth else None
        axes.plot(part["after"], part.index, marker, color=color, label=label, gid="after")
    for label, fill in zip(labels, ("white", INK)):  # what hollow and full mean, for the legend
        axes.plot([], [], "o", mfc=fill, color=INK, label=label)
    axes.margins(x=0.08)
    axes.set(xlabel=unit)
    light_grid(axes, "x")
    headline(chart, title)
    legend_outside(chart, axes)
    chart.data = table
    return chart


@styled
def plot_prevalence(
    labels: pd.DataFrame, splits: Sequence[str] | None = None, *, title: str = ""
) -> Chart:
    """How many records have each label, commonest first; with `splits` the share in each split.

    `labels`: 0/1, one column per class, one row per record; `splits`: one name per row.
    `chart.data`: class, split, n, share (0..1).
    """
    if not labels.shape[0] or not labels.shape[1]:
        raise UsageError("there are no labels to count; give records in rows, classes in columns")
    order = labels.sum().sort_values(ascending=False, kind="stable").index.tolist()
    table = [_counts(labels[order], "all")]
    names = np.asarray(splits) if splits is not None else np.array([])
    known = [s for s in SPLITS if s in names] + [s for s in dict.fromkeys(names) if s not in SPLITS]
    table += [_counts(labels[order][names == split], split) for split in known]
    data = pd.concat(table, ignore_index=True)
    chart = new_chart(PAGE_MM, 26 + 4.6 * len(order))
    axes = chart.subplots()
    whole = data[data["split"] == "all"]
    banded_rows(axes, order, whole["n"].tolist())
    axes.barh(range(len(order)), whole["share"] * 100, 0.6, color="#9DB9CF", label="all records")
    for split, look in series_styles(known).items():
        share = data.loc[data["split"] == split, "share"] * 100
        size = int((names == split).sum())
        dots = {"color": look["color"], "marker": look["marker"], "linestyle": "none", "ms": 3.5}
        axes.plot(share, range(len(order)), label=f"{split} (n = {size:,})", **dots)
    axes.set(xlabel=f"records with the label [%] of {len(labels):,}")
    headline(chart, title)
    axes.set_xlim(left=0)
    light_grid(axes, "x")
    legend_outside(chart, axes)
    chart.data = data
    return chart


def _counts(labels: pd.DataFrame, split: str) -> pd.DataFrame:
    count = labels.sum().astype(int)
    table = {"class": count.index, "split": split, "n": count.to_numpy()}
    return pd.DataFrame(table | {"share": count.to_numpy() / max(len(labels), 1)})
