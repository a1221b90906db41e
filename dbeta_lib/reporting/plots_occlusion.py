"""Why this score: the ECG's leads, each piece shaded by how far the score falls without it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.occlusion import Occlusion
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.axes import headline, light_grid, place
from dbeta_lib.reporting.ecg_paper import TRACE
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import PAGE_MM, PALETTE, styled

SCALE = "PuOr_r"  # orange above 0, violet below; told apart with the common colour blindnesses


@styled
def plot_occlusion(
    ecg: np.ndarray, sampling_rate: float, found: Occlusion, *, title: str = ""
) -> Chart:
    """Twelve leads over time, mV `[12, T]`, shaded by `found`; sums beside and beneath.

    Orange: the score falls when this piece is hidden, so it spoke for the class; violet: it rises.
    Beneath: one piece of time hidden in all leads at once; beside: one lead left out throughout.
    Each lead is scaled to its strip; NaN, what was not recorded, is empty. Raises UsageError
    where `found` is of another ECG. `chart.data`: lead, start_s, stop_s, fall (lead "all": of all
    leads at once; stop_s of the whole length: a lead throughout).
    """
    ecg = np.asarray(ecg, dtype=float)
    duration = ecg.shape[-1] / sampling_rate
    if ecg.shape != (len(LEADS), ecg.shape[-1]) or abs(found.edges[-1] - duration) > 1e-6:
        raise UsageError(f"this occlusion is of {found.edges[-1]:g} s, the ECG of {duration:g} s")
    chart = new_chart(PAGE_MM, 138, constrained=False)
    grid = chart.add_gridspec(2, 3, width_ratios=[8, 1.6, 0.25], height_ratios=[8, 1.2])
    strips = chart.add_subplot(grid[0, 0])
    beside = chart.add_subplot(grid[0, 1])  # shared, it would make the leads' ticks once more
    beneath = chart.add_subplot(grid[1, 0], sharex=strips)
    every = np.concatenate([found.pieces.ravel(), found.seconds, found.leads])
    reach = float(np.nanmax(np.abs(found.pieces), initial=0.0)) or 1.0
    shades = _shade(strips, found, reach)
    _traces(strips, ecg, sampling_rate)
    _bars(beside, range(len(LEADS)), found.leads, 0.7, upright=False)
    beside.set(ylim=strips.get_ylim(), yticks=())
    middles, widths = (found.edges[1:] + found.edges[:-1]) / 2, np.diff(found.edges)
    _bars(beneath, middles, found.seconds, widths * 0.85, upright=True)
    widest = float(np.nanmax(np.abs(every), initial=0.0)) or 1.0
    beside.set(xlim=_ends(found.leads, widest), xlabel="score falls by", title="lead left out")
    beneath.set(ylim=_ends(found.seconds, widest), ylabel="falls by", xlabel="time [s]")
    beneath.set_title("this time hidden in all leads")
    scale = chart.add_subplot(grid[0, 2])
    chart.colorbar(shades, cax=scale, label="score falls by (one piece of one lead)")
    headline(chart, title)
    place(chart, left=18, right=16, top=6, bottom=11, hspace=0.18, wspace=0.05)
    chart.data = _table(found)
    return chart


def _shade(axes: Axes, found: Occlusion, reach: float):
    heights = np.arange(len(LEADS) + 1) - 0.5
    filled = np.ma.masked_invalid(found.pieces)
    norm = Normalize(-reach, reach)
    return axes.pcolormesh(
        found.edges, heights, filled, cmap=SCALE, norm=norm, alpha=0.85, lw=0, zorder=0
    )


def _traces(axes: Axes, ecg: np.ndarray, sampling_rate: float) -> None:
    """Each lead in its own strip, scaled to it, from the top down."""
    time = np.arange(ecg.shape[1]) / sampling_rate
    for row, (name, values) in enumerate(zip(LEADS, ecg)):
        if not np.isfinite(values).any():
            continue
        low, high = np.nanmin(values), np.nanmax(values)
        scaled = (values - (low + high) / 2) / ((high - low) or 1.0) * 0.85
        axes.plot(time, row - scaled, color=TRACE, lw=0.7, gid=f"lead-{name}")
    axes.set_yticks(range(len(LEADS)), LEADS)
    axes.set(ylim=(len(LEADS) - 0.5, -0.5), xlim=(0, len(time) / sampling_rate), ylabel="lead")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelbottom=False)
    axes.hlines(np.arange(1, len(LEADS)) - 0.5, 0, len(time) / sampling_rate, color="white", lw=1)


def _bars(axes: Axes, places, falls: np.ndarray, widths, upright: bool) -> None:
    falls = np.nan_to_num(falls)
    colors = [PALETTE[1] if fall > 0 else "#6A51A3" for fall in falls]
    if upright:
        axes.bar(places, falls, widths, color=colors)
        axes.axhline(0, color=TRACE, lw=0.6)
        light_grid(axes, "y")
    else:
        axes.barh(places, falls, widths, color=colors)
        axes.axvline(0, color=TRACE, lw=0.6)
        light_grid(axes, "x")
    which = axes.yaxis if upright else axes.xaxis
    which.set_major_locator(MaxNLocator(2))
    which.set_major_formatter("{x:g}")


def _ends(falls: np.ndarray, widest: float) -> tuple[float, float]:
    """Room for the bars of one panel, never so close that noise looks large."""
    low, high = np.nanmin(falls, initial=0.0), np.nanmax(falls, initial=0.0)
    least = 0.05 * widest
    return min(1.1 * low, -least), max(1.1 * high, least)


def _table(found: Occlusion) -> pd.DataFrame:
    starts, stops = found.edges[:-1], found.edges[1:]
    parts = [
        pd.DataFrame({"lead": name, "start_s": starts, "stop_s": stops, "fall": found.pieces[row]})
        for row, name in enumerate(LEADS)
    ]
    parts.append(
        pd.DataFrame({"lead": "all", "start_s": starts, "stop_s": stops, "fall": found.seconds})
    )
    ends = {"start_s": 0.0, "stop_s": found.edges[-1]}
    parts.append(pd.DataFrame({"lead": LEADS, **ends, "fall": found.leads}))
    return pd.concat(parts, ignore_index=True)
