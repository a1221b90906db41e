"""Plots of signals: a masked ECG filled in again, and the check of the lead order."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, canonical, lead_index
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    banded_rows,
    headline,
    legend_outside,
    light_grid,
    log_axis,
    long_table,
    named_groups,
    place,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import MM_PER_INCH, PAGE_MM, PALETTE, series_styles, styled

SHADE = "#E6E6E6"
LEGEND_MM = 4.0  # a row of the legend
ERRORS_MM = 60.0  # for the names of the predictions beside their errors
RESIDUAL_FLOOR_MV = 1e-4  # a tenth of the store's resolution: what rounding leaves, on a log axis


@styled
def plot_reconstruction(
    target: np.ndarray,
    prediction: np.ndarray | Mapping[str, np.ndarray],
    mask: np.ndarray,
    sampling_rate: float,
    *,
    leads: Sequence[str] = ("I", "II", "V1", "V5"),
    title: str = "",
) -> Chart:
    """What the decoder puts into the hidden patches of one ECG.

    `target` and `prediction` `[12, T']` in the target's units (standard deviations of the lead),
    `mask` `[tokens]` with 1 = hidden, T' = tokens x patch; several predictions as
    `{"before": ..., "after": ...}`. Predictions are shown where hidden; the error beside each
    lead is the mean square there (always guessing the mean gives about 1). Raises UsageError for
    shapes that do not fit. `chart.data`: time_s, lead, hidden, original, one column each.
    """
    target, predictions, hidden = _reconstruction_input(target, prediction, mask)
    names = [canonical(name) for name in leads]
    chart = new_chart(PAGE_MM, 20 + 21 * len(names), constrained=False)
    panels = chart.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    time = np.arange(target.shape[1]) / sampling_rate
    spans = _spans(hidden, 1 / sampling_rate)
    for axes, name in zip(panels, names):
        _reconstructed_lead(axes, time, spans, hidden, target, predictions, name)
    panels[-1].set_xlabel("time [s]")
    panels[0].set_xlim(0, len(time) / sampling_rate)
    headline(chart, title)
    rows = legend_outside(chart, panels[0])
    chart.set_figheight(chart.get_figheight() + (rows - 1) * LEGEND_MM / MM_PER_INCH)
    place(chart, left=22, right=3, top=5, bottom=12 + LEGEND_MM * rows, hspace=0.42)
    chart.data = _reconstruction_table(time, names, hidden, target, predictions)
    return chart


def _reconstruction_input(
    target: np.ndarray, prediction: np.ndarray | Mapping[str, np.ndarray], mask: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Arrays of one shape `[12, T']`, and bool `[T']`, True = hidden."""
    named = dict(prediction) if isinstance(prediction, Mapping) else {"prediction": prediction}
    target = np.asarray(target, dtype=float)
    named = {name: np.asarray(values, dtype=float) for name, values in named.items()}
    mask = np.asarray(mask).astype(bool).ravel()
    shapes = {target.shape, *(values.shape for values in named.values())}
    if len(shapes) > 1 or target.ndim != 2 or len(target) != len(LEADS):
        raise UsageError(f"target and predictions must share one shape [12, T'], not {shapes}")
    if not len(mask) or target.shape[1] % len(mask):
        raise UsageError(f"{target.shape[1]} samples are no whole patches of {len(mask)} tokens")
    return target, named, np.repeat(mask, target.shape[1] // len(mask))


def _reconstructed_lead(
    axes: Axes,
    time: np.ndarray,
    spans: list[tuple[float, float]],
    hidden: np.ndarray,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    name: str,
) -> None:
    row = lead_index(name)
    across = axes.get_xaxis_transform()
    axes.broken_barh(spans, (0, 1), transform=across, color=SHADE, lw=0, zorder=0, label="hidden")
    axes.plot(time, target[row], color="#555555", linewidth=0.6, zorder=3, label="original")
    errors = []
    for i, (label, values) in enumerate(predictions.items()):
        shown = np.where(hidden, values[row], np.nan)
        axes.plot(time, shown, color=PALETTE[i], linewidth=1.5, label=label, gid=f"{label}-{name}")
        if hidden.any():
            error = np.mean((values[row] - target[row])[hidden] ** 2)
            short = words.shorten(label, ERRORS_MM / len(predictions), TICK_PT)
            errors.append(f"{short} {error:.2f}")
    axes.set(title=name, ylabel="amplitude\n[SD]")
    if errors:
        note = f"mean squared error where hidden [SD²]: {', '.join(errors)}"
        axes.set_title(note, loc="right", weight="normal", fontsize=TICK_PT)
    axes.margins(y=0.08)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    axes.yaxis.set_label_coords(-0.085, 0.5)  # one line for all leads, whatever their numbers


def _spans(hidden: np.ndarray, step: float) -> list[tuple[float, float]]:
    """Runs of True as (start, length), in seconds when a sample lasts `step`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return [(a * step, (b - a) * step) for a, b in zip(edges[::2], edges[1::2])]


def _reconstruction_table(
    time: np.ndarray,
    names: Sequence[str],
    hidden: np.ndarray,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    parts = []
    for name in names:
        row = lead_index(name)
        part = {"time_s": time, "lead": name, "hidden": hidden.astype(int), "original": target[row]}
        parts.append(pd.DataFrame(part | {k: v[row] for k, v in predictions.items()}))
    return pd.concat(parts, ignore_index=True)


@styled
def plot_lead_check(residuals: Mapping[str, np.ndarray] | pd.DataFrame, title: str = "") -> Chart:
    """How badly each candidate lead order breaks Einthoven's and Goldberger's laws.

    `residuals`: per candidate order one value per record, the largest |III - (II - I)| and so on
    in mV. The right order lies at the rounding error, the others at the size of the ECG. Boxes
    are quartiles, whiskers 5 and 95 %, the dot is the median. `chart.data`: order, residual_mv.
    """
    groups = named_groups(residuals, "residual")
    chart = new_chart(PAGE_MM, 24 + 8 * len(groups))
    axes = chart.subplots()
    color = next(iter(series_styles(groups).values()))["color"]  # one: the rows are named
    look = {"color": color, "solid_capstyle": "butt"}
    for row, (name, values) in enumerate(groups.items()):
        floor = np.maximum(np.abs(values), RESIDUAL_FLOOR_MV)
        low, left, middle, right, high = np.percentile(floor, [5, 25, 50, 75, 95])
        axes.plot([low, high], [row, row], lw=1, **look)
        axes.plot([left, right], [row, row], lw=6, alpha=0.5, gid=f"box-{name}", **look)
        axes.plot([middle], [row], "o", color=color, gid=f"median-{name}")
    axes.set_xscale("log")
    axes.set_xlim(left=RESIDUAL_FLOOR_MV / 2)
    log_axis(axes, "x")
    axes.set_xlabel(f"residual per record [mV]; smaller ones are drawn at {RESIDUAL_FLOOR_MV:g}")
    headline(chart, title)
    light_grid(axes, "x")
    banded_rows(axes, list(groups))
    chart.data = long_table(groups, "order", "residual_mv")
    return chart
