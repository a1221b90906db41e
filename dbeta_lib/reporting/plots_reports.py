"""Plots of reports: neighbours in the space of N3S, duplicates, hubs, how far negatives are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    REFERENCE,
    headline,
    legend_outside,
    light_grid,
    log_axis,
    long_table,
    named_groups,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import (
    COLUMN_MM,
    GREY,
    INK,
    LIGHT,
    PAGE_MM,
    PALETTE,
    series_styles,
    styled,
)

TEXT_PT = 7.5
_BAR_MM = 21.5  # room for a cosine and its bar, left of each text
_BAR_HALF_MM = 5.0  # a cosine of 1
_GAP_MM = 1.6

Neighbours = Sequence[tuple[str, float]]


@styled
def plot_neighbours(
    query: str, nearest: Neighbours, farthest: Neighbours, *, max_lines: int = 8
) -> Chart:
    """One report with the reports nearest to it and farthest from it: text and cosine.

    `nearest` and `farthest` are pairs (text, cosine in -1..1), in the order to be shown. Texts are
    wrapped; after `max_lines` they end in an ellipsis. `chart.data`: side, rank, cosine, text.
    """
    margin, half = 3.0, (PAGE_MM - 9.0) / 2
    head = words.wrap(query, PAGE_MM - 2 * margin - 4, TEXT_PT + 0.5)
    columns = [
        [(words.wrap(t, half - _BAR_MM - 2, TEXT_PT, max_lines=max_lines), c) for t, c in side]
        for side in (nearest, farthest)
    ]
    head_mm = words.height_mm(len(head) + 1, TEXT_PT + 0.5) + 3
    body_mm = max(sum(_block_mm(lines) for lines, _ in side) for side in columns) + 8
    height = head_mm + body_mm + 2 * margin
    chart = new_chart(PAGE_MM, height, constrained=False)
    axes = chart.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PAGE_MM), ylim=(0, height))
    axes.axis("off")
    top = height - margin
    _query_box(axes, margin, top, PAGE_MM - 2 * margin, head, head_mm)
    titles = ("nearest: possible false negatives", "farthest: what N3S draws from")
    for i, (side, title) in enumerate(zip(columns, titles)):
        x = margin + i * (half + 3.0)
        _neighbour_column(axes, x, top - head_mm - 2, side, title, PALETTE[i])
    chart.data = pd.DataFrame(
        [
            {"side": side, "rank": rank, "cosine": cosine, "text": text}
            for side, rows in (("nearest", nearest), ("farthest", farthest))
            for rank, (text, cosine) in enumerate(rows, 1)
        ],
        columns=["side", "rank", "cosine", "text"],
    )
    return chart


def _block_mm(lines: Sequence[str]) -> float:
    return words.height_mm(max(len(lines), 1), TEXT_PT) + _GAP_MM


def _query_box(
    axes: Axes, x: float, top: float, width: float, lines: Sequence[str], height: float
) -> None:
    box = axes.fill_between([x, x + width], top - height, top, color=LIGHT, linewidth=0)
    box.set_gid("query-box")
    size = TEXT_PT + 0.5
    y = top - 1.5 - words.ascent_mm(size)
    axes.text(x + 2, y, "the report", fontsize=size, weight="bold", color=INK)
    for i, line in enumerate(lines, 1):
        at = y - words.height_mm(i, size)
        axes.text(x + 2, at, line, fontsize=size, parse_math=False, gid="query")


def _neighbour_column(
    axes: Axes,
    x: float,
    top: float,
    rows: Sequence[tuple[Sequence[str], float]],
    title: str,
    color: str,
) -> None:
    """Cosine, its bar from 0 (left = negative), and the text, row by row."""
    y = top - words.ascent_mm(TEXT_PT + 0.5)
    axes.text(x, y, title, fontsize=TEXT_PT + 0.5, weight="bold", color=INK)
    y -= 6
    zero = x + 10.0 + _BAR_HALF_MM
    for lines, cosine in rows:
        middle = y + words.ascent_mm(TEXT_PT) / 2 - 0.2
        shown = f"{cosine:+.2f}".replace("-", "\N{MINUS SIGN}")
        axes.text(x, y, shown, fontsize=TEXT_PT, color=INK, gid="cosine")
        axes.plot([zero, zero], [middle - 1.2, middle + 1.2], color=GREY, linewidth=0.5)
        end = zero + cosine * _BAR_HALF_MM
        axes.plot([zero, end], [middle] * 2, color=color, lw=3, solid_capstyle="butt", gid="bar")
        for i, line in enumerate(lines):
            at = y - words.height_mm(i, TEXT_PT)
            axes.text(x + _BAR_MM, at, line, fontsize=TEXT_PT, parse_math=False, gid="text")
        y -= _block_mm(lines)


@styled
def plot_zipf(counts: Mapping[str, np.ndarray] | np.ndarray, title: str = "") -> Chart:
    """How often each distinct report occurs, by rank: the duplicates that are false negatives.

    `counts`: records per distinct text, or such arrays by name. `chart.data`: reports, rank, count.
    """
    groups = {k: np.sort(v)[::-1] for k, v in named_groups(counts, "reports").items()}
    chart = new_chart(COLUMN_MM * 1.35, 72)
    axes = chart.subplots()
    for name, look in series_styles(groups).items():
        values = groups[name]
        few = values[:10].sum() / values.sum()
        label = f"{name}: {len(values):,} texts in {values.sum():,.0f} records, top 10 = {few:.0%}"
        rank = np.arange(1, len(values) + 1)
        axes.plot(rank, values, color=look["color"], ls=look["linestyle"], label=label)
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_xlabel("rank of the report text (1 = most frequent)")
    axes.set(ylabel="records with this text")
    headline(chart, title)
    light_grid(axes, "both")
    legend_outside(chart, axes)
    table = long_table(groups, "reports", "count")
    table.insert(1, "rank", table.groupby("reports", sort=False).cumcount() + 1)
    chart.data = table
    return chart


@styled
def plot_hubs(counts: Mapping[str, np.ndarray] | np.ndarray, title: str = "") -> Chart:
    """How few reports serve as negatives, and how large a share of all negatives they are.

    `counts`: how often each distinct report was drawn as a negative (zeros included), or such
    arrays by sampler. `chart.data`: sampler, rank, count, share (cumulated, 0..1).
    """
    groups = {k: np.sort(v)[::-1] for k, v in named_groups(counts, "negatives").items()}
    chart = new_chart(PAGE_MM, 64 + 4 * max(2, len(groups)))
    left, right = chart.subplots(1, 2)
    for name, look in series_styles(groups).items():
        values = groups[name]
        rank, share = np.arange(1, len(values) + 1), np.cumsum(values) / max(values.sum(), 1)
        half = int(np.searchsorted(share, 0.5 - 1e-12)) + 1
        line = {"color": look["color"], "ls": look["linestyle"]}
        left.plot(rank, np.where(values > 0, values, np.nan), **line)
        label = f"{name}: half of the negatives are {half:,} of {len(values):,} texts"
        right.plot(rank / len(values) * 100, share * 100, label=label, **line)
    look = {"color": "black", "ls": ":", "lw": 1, "gid": REFERENCE}
    right.plot([0, 100], [0, 100], label="each text equally often", **look)
    left.set(xlabel="rank of the text", ylabel="times drawn")
    log_axis(left, "x")
    log_axis(left, "y")
    right.set(xlabel="texts, most drawn first [%]", ylabel="share of all negatives [%]")
    right.set(xlim=(0, 100), ylim=(0, 101))
    headline(chart, title)
    for axes in (left, right):
        light_grid(axes, "both")
    legend_outside(chart, right)
    table = long_table(groups, "sampler", "count")
    by_sampler = table.groupby("sampler", sort=False)["count"]
    table.insert(1, "rank", by_sampler.cumcount() + 1)
    table["share"] = by_sampler.cumsum() / by_sampler.transform("sum").clip(lower=1)
    chart.data = table
    return chart


@styled
def plot_cosines(
    groups: Mapping[str, np.ndarray], *, duplicate: float = 0.95, title: str = ""
) -> Chart:
    """Cosine between a record's report and its negative, per sampler.

    Values above `duplicate` are as good as the same report: false negatives; the legend has their
    share. `chart.data`: sampler, cosine.
    """
    groups = named_groups(groups, "negatives")
    chart = new_chart(COLUMN_MM * 1.35, 68)
    axes = chart.subplots()
    low = min(-0.05, *(values.min() for values in groups.values()))
    bins = np.linspace(low, 1.0 + 1e-9, 51)
    for name, look in series_styles(groups).items():
        values = groups[name]
        share = (values > duplicate).mean()
        weights = np.full(len(values), 100 / len(values))
        label = f"{name}: {share:.1%} above {duplicate:g}"
        style = {"histtype": "step", "color": look["color"], "ls": look["linestyle"], "lw": 1.2}
        axes.hist(values, bins, weights=weights, label=label, **style)
    axes.axvspan(duplicate, 1.0, color=LIGHT, linewidth=0, zorder=0, label="near-duplicates")
    axes.set(xlabel="cosine of a report and its negative", ylabel="pairs [%]")
    headline(chart, title)
    axes.set_xlim(low, 1.01)
    light_grid(axes, "y")
    legend_outside(chart, axes)
    chart.data = long_table(groups, "sampler", "cosine")
    return chart
