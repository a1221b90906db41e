"""Plots of pre-training: the losses beside chance, the schedule, similarities before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    headline,
    legend_entries,
    legend_outside,
    light_grid,
    need_columns,
    power_of_ten,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import COLUMN_MM, GREY, LIGHT, PAGE_MM, PALETTE, styled

# How each kind of number looks in every panel; controls are grey.
LOOKS = {
    "training": {"color": PALETTE[0], "ls": "-", "marker": "o"},
    "validation": {"color": PALETTE[1], "ls": "-", "marker": "s"},
    "validation, random texts": {"color": PALETTE[2], "ls": "-", "marker": "^"},
    "validation, far texts": {"color": PALETTE[3], "ls": "-", "marker": "D"},
    "control: random texts, ECGs shuffled": {"color": GREY, "ls": "--", "marker": "^"},
    "control: far texts, ECGs shuffled": {"color": GREY, "ls": (0, (2, 1)), "marker": "D"},
}
# Panel: title, axis label with unit, columns drawn in it with their kind.
PANELS = (
    ("total", "sum of the four", {"total": "training", "val_total": "validation"}),
    ("MLM", "cross-entropy [nats]", {"mlm": "training", "val_mlm": "validation"}),
    ("MEM", "squared error [SD²]", {"mem": "training", "val_mem": "validation"}),
    ("ETM", "cross-entropy [nats]", {"etm": "training", "val_etm": "validation"}),
    ("ETS", "loss [nats]", {"ets": "training", "val_ets": "validation"}),
    (
        "ETM accuracy",
        "share right",
        {
            "etm_accuracy": "training",
            "val_etm_random": "validation, random texts",
            "val_etm_far": "validation, far texts",
            "val_etm_random_shuffled": "control: random texts, ECGs shuffled",
            "val_etm_far_shuffled": "control: far texts, ECGs shuffled",
        },
    ),
    ("learning rate", "step size", {"lr": "training"}),
)
SMOOTH_FROM = 60  # values; shorter curves are drawn as they are
LISTED = 24  # reports whose texts stand under the similarity matrices
ROBUST_TOP = 99.5  # percentile of dense values that fits: one spike must not flatten a curve


@styled
def plot_curves(
    curves: pd.DataFrame,
    chance: Mapping[str, float | tuple[float, str]] | None = None,
    *,
    title: str = "",
) -> Chart:
    """Small multiples of what pre-training logged, each loss beside its level at chance.

    `curves`: a column `step` and any of the columns in `PANELS`, as `curves.csv` of a run has them;
    NaN = not measured at this step. `chance`: column -> value, or (value, "ln 2"). Panels without
    numbers are left out. Raises UsageError without `step` or any known column. `chart.data` is
    `curves`.
    """
    panels = _panels(curves)
    rows = -(-len(panels) // 3)
    chart = new_chart(PAGE_MM, 46 * rows + 14)
    grid = chart.subplots(rows, min(3, len(panels)), squeeze=False, sharex=True).ravel()
    for axes, (name, unit, columns) in zip(grid, panels):
        axes.set(ylabel=unit, title=name, xlabel="step")
        axes.tick_params(labelbottom=True)
        _curve_panel(axes, curves, columns)
        _chance_line(axes, dict(chance or {}), columns)
        light_grid(axes, "y")
    for axes in grid[len(panels) :]:
        axes.axis("off")
    headline(chart, title)
    if len(panels) + 2 == len(grid):  # two cells are free: room for the legend
        entries = legend_entries(grid)
        legend = grid[-2].legend(entries.values(), entries, loc="center left")
        legend.set_in_layout(False)
    else:
        legend_outside(chart, grid)
    chart.data = curves.reset_index(drop=True)
    return chart


def _panels(curves: pd.DataFrame) -> list[tuple[str, str, dict[str, str]]]:
    """The panels for which the table has numbers, with the columns that it has."""
    need_columns(curves, ["step"], "the table of curves")
    known = [column for _, _, columns in PANELS for column in columns if column in curves]
    measured = {c for c in known if np.isfinite(curves[c].astype(float)).any()}
    if not measured:
        names = ", ".join(column for _, _, columns in PANELS for column in columns)
        raise UsageError(f"the table of curves has numbers in none of the columns {names}")
    panels = [(t, u, {c: kind for c, kind in cs.items() if c in measured}) for t, u, cs in PANELS]
    return [panel for panel in panels if panel[2]]


def _curve_panel(axes: Axes, curves: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Noisy values light with their running median; sparse ones as points. From 0 upwards."""
    lowest, highest = 0.0, 0.0
    for column, kind in columns.items():
        there = np.isfinite(curves[column].astype(float))
        steps, values = curves.loc[there, "step"], curves.loc[there, column].astype(float)
        if column == "lr":  # known, not measured: nothing to smooth, no entry in the legend
            axes.plot(steps, values, color=LOOKS[kind]["color"])
        else:
            _curve(axes, steps, values, kind)
        lowest = min(lowest, values.min())
        share = ROBUST_TOP if len(values) >= SMOOTH_FROM else 100
        highest = max(highest, np.percentile(values, share, method="lower"))
    axes.set_ylim(lowest, highest * 1.08 or 1.0)
    if "lr" in columns:
        power_of_ten(axes, "y", curves["lr"].max(), "step size")


def _curve(axes: Axes, steps: pd.Series, values: pd.Series, kind: str) -> None:
    look = dict(LOOKS[kind])
    marker = look.pop("marker")
    if len(values) < SMOOTH_FROM:
        few = marker if len(values) <= 25 else None
        axes.plot(steps, values, marker=few, ms=3, label=kind, **look)
        return
    window = max(5, len(values) // 40)
    median = values.rolling(window, center=True, min_periods=1).median()
    axes.plot(steps, values, color=look["color"], lw=0.5, alpha=0.3, label=f"{kind}, as logged")
    axes.plot(steps, median, label=f"{kind}, running median", **look)


def _chance_line(axes: Axes, chance: dict, columns: Mapping[str, str]) -> None:
    """The level of guessing, dotted, with its value at the right end of the title line."""
    column = next((c for c in columns if c in chance), None)
    if column is None:
        return
    given = chance[column]
    value, name = given if isinstance(given, tuple) else (given, "")
    reference_line(axes, value, "chance")
    shown = f"{name} = {value:.3g}" if name else f"{value:.3g}"
    axes.set_title(f"chance {shown}", loc="right", weight="normal", fontsize=TICK_PT)
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, value * 1.08))


@styled
def plot_schedule(
    learning_rate: Sequence[float],
    phases: Sequence[tuple[str, int, int]] = (),
    *,
    title: str = "",
) -> Chart:
    """Learning rate at each step; `phases` are (name, first step, step after the last).

    `chart.data`: step, learning_rate.
    """
    rates = np.asarray(learning_rate, dtype=float)
    if rates.ndim != 1 or not len(rates):
        raise UsageError("a schedule is one learning rate per step; the list is empty or no list")
    chart = new_chart(COLUMN_MM * 1.2, 55)
    axes = chart.subplots()
    axes.plot(np.arange(len(rates)), rates, color=PALETTE[0])
    for i, (name, start, stop) in enumerate(phases):
        if i % 2 == 0:
            axes.axvspan(start, stop, color=LIGHT, linewidth=0, zorder=0, gid="phase")
        across = axes.get_xaxis_transform()
        middle = (start + stop) / 2
        room = (stop - start) / len(rates) * 80
        label = "\n".join(words.wrap(name, max(room, 10), TICK_PT))
        axes.text(middle, 1.02, label, transform=across, ha="center", va="bottom", size=TICK_PT)
    axes.set(xlabel="step", xlim=(0, max(len(rates) - 1, 1)), ylim=(0, rates.max() * 1.06 or 1))
    power_of_ten(axes, "y", rates.max(), "learning rate")
    headline(chart, title)
    chart.data = pd.DataFrame({"step": np.arange(len(rates)), "learning_rate": rates})
    return chart


@styled
def plot_similarity(
    before: np.ndarray,
    after: np.ndarray,
    labels: Sequence[str],
    *,
    titles: tuple[str, str] = ("before pre-training", "after pre-training"),
    unit: str = "similarity (logit)",
) -> Chart:
    """ECG-text similarity `[n, n]` of n pairs before and after, on one colour scale around 0.

    Row = ECG, column = report, the pairs on the diagonal; `labels` are the reports' texts, listed
    beneath by number (up to 24). Raises UsageError for shapes that differ. `chart.data`: when,
    ecg, report, text, similarity.
    """
    matrices = [np.asarray(matrix, dtype=float) for matrix in (before, after)]
    n = len(labels)
    if any(matrix.shape != (n, n) for matrix in matrices):
        shapes = ", ".join(str(list(matrix.shape)) for matrix in matrices)
        raise UsageError(f"{n} labels need two similarity matrices [{n}, {n}], not {shapes}")
    reach = np.nanmax(np.abs(matrices)) or 1.0
    list_mm = words.height_mm(n, TICK_PT) + 4 if n <= LISTED else 0.0
    chart = new_chart(PAGE_MM, 84 + list_mm)
    upper, lower = chart.subfigures(2, 1, height_ratios=[84, max(list_mm, 1e-3)])
    panels = upper.subplots(1, 2, sharey=True)
    ticks = range(0, n, -(-n // 12))
    for axes, matrix, name in zip(panels, matrices, titles):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes.set(title=name, xlabel="report (number)")
        axes.set_xticks(ticks, [i + 1 for i in ticks])
    panels[0].set_yticks(ticks, [i + 1 for i in ticks])
    panels[0].set_ylabel("ECG (number of its own report)")
    upper.colorbar(image, ax=panels, label=unit, shrink=0.85)
    for i, text in enumerate(labels if n <= LISTED else ()):
        line = words.shorten(f"{i + 1}: {text}", PAGE_MM - 8, TICK_PT)
        y = 1 - (words.height_mm(i, TICK_PT) + words.ascent_mm(TICK_PT)) / list_mm
        lower.text(0.02, y, line, fontsize=TICK_PT, parse_math=False, gid="report")
    rows, columns = np.indices((n, n)).reshape(2, -1) + 1
    pairs = {"ecg": rows, "report": columns, "text": [labels[c - 1] for c in columns]}
    tables = [pd.DataFrame({"when": t} | pairs) for t in titles]
    for table, matrix in zip(tables, matrices):
        table["similarity"] = matrix.ravel()
    chart.data = pd.concat(tables, ignore_index=True)
    return chart
