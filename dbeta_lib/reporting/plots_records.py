"""Plots of records: their heart rates, and the ECGs that a typed sentence finds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import lead_index
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import TICK_PT, legend_outside, light_grid, long_table, named_groups
from dbeta_lib.reporting.ecg_paper import BOLD, FINE, PAPER, TRACE
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import (
    COLUMN_MM,
    INK,
    LIGHT,
    MM_PER_INCH,
    PAGE_MM,
    PALETTE,
    series_styles,
    styled,
)

NORMAL_RATE = (60.0, 100.0)  # beats per minute of an adult at rest, both ends included
_TEXT_PT = 8.0
_MARGIN_MM, _PAPER_MM, _LEAD_MM = 3.0, 106.0, 17.0  # the strip of paper: its width, and per lead
_START_MM, _SCALE_MM, _MM_PER_S = 6.0, 5.0, 25.0
_GAINS = (10.0, 5.0, 2.5)  # mm/mV, the first at which every lead fits its part of the strip


@styled
def plot_heart_rates(rates: Mapping[str, np.ndarray] | np.ndarray, title: str = "") -> Chart:
    """How fast the hearts beat: a histogram per group, the normal range shaded.

    `rates`: beats per minute, or such arrays by name; NaN = not known, left out. The legend has
    each group's size and median. `chart.data`: group, rate.
    """
    groups = named_groups(rates, "records")
    every = np.concatenate(list(groups.values()))
    start, end = 10 * np.floor(every.min() / 10), 10 * np.ceil(every.max() / 10 + 0.01)
    bins = np.arange(start, end + 1, 5)
    chart = new_chart(COLUMN_MM * 1.35, 68)
    axes = chart.subplots()
    axes.axvspan(*NORMAL_RATE, color=LIGHT, linewidth=0, zorder=0, label="60 to 100 per minute")
    for name, look in series_styles(groups).items():
        values = groups[name]
        label = f"{name}: n = {len(values):,}, median {np.median(values):.0f}"
        style = {"histtype": "step", "color": look["color"], "ls": look["linestyle"], "lw": 1.2}
        axes.hist(
            values, bins, weights=np.full(len(values), 100 / len(values)), label=label, **style
        )
    axes.set(xlabel="heart rate [beats per minute]", ylabel="records [%]", title=title)
    axes.set_xlim(bins[0], bins[-1])
    light_grid(axes, "y")
    legend_outside(chart, axes)
    chart.data = long_table(groups, "group", "rate")
    return chart


@styled
def plot_ranking(
    sentences: Sequence[str],
    scores: np.ndarray,
    ecgs: np.ndarray,
    sampling_rate: float,
    *,
    reports: Sequence[str] = (),
    truth: np.ndarray | None = None,
    leads: Sequence[str] = ("II", "V1"),
    seconds: float = 4.0,
) -> Chart:
    """For each sentence the ECG that fits best, on paper, and where all ECGs stand.

    `scores` `[n, Q]`: similarity of n ECGs and Q sentences; `ecgs` `[n, 12, T]` mV in the same
    order, `reports` their n texts. With `truth` bool `[n, Q]` the ECGs that a sentence should
    find are a row of dots of their own. The strip has `seconds` of `leads` at 25 mm/s, and at
    10 mm/mV, half or a quarter of it as they fit. Raises UsageError for shapes that do not fit.
    `chart.data`: sentence, ecg (row of `scores`), similarity, rank (1 = best), true (0/1, -1
    without `truth`).
    """
    scores, truth = _ranking_input(sentences, scores, ecgs, reports, truth)
    best = scores.argmax(axis=0)
    room = {"available_mm": PAGE_MM - 2 * _MARGIN_MM, "size": TICK_PT, "max_lines": 2}
    own = [f"Its own report: {reports[i]}" if len(reports) else "" for i in best]
    found = [words.wrap(text, **room) for text in own]
    paper = _LEAD_MM * len(leads) + _SCALE_MM
    heights = [paper + 9 + words.height_mm(len(lines), TICK_PT) + 4 for lines in found]
    chart = new_chart(PAGE_MM, sum(heights) + 2 * _MARGIN_MM + 6, constrained=False)
    height = chart.get_figheight() * MM_PER_INCH
    top = height - _MARGIN_MM
    for q, sentence in enumerate(sentences):
        _write(chart, [f"“{words.clean(sentence)}”"], top, _TEXT_PT + 1, "sentence", "bold")
        box = (_MARGIN_MM, top - 7 - paper, _PAPER_MM, paper)
        strip = chart.add_axes(_fractions(box, height))
        _strip(strip, np.asarray(ecgs[best[q]]), sampling_rate, leads, seconds)
        left = _MARGIN_MM + _PAPER_MM + 27
        dots = chart.add_axes(
            _fractions((left, top - paper + 2, PAGE_MM - left - _MARGIN_MM, paper - 9), height)
        )
        _dots(dots, scores[:, q], None if truth is None else truth[:, q])
        _write(chart, found[q], top - paper - 8.5, TICK_PT, "report")
        top -= heights[q]
    note = (
        f"Of {len(scores):,} ECGs the one that fits best: {seconds:g} s of {' and '.join(leads)}."
    )
    _write(chart, [note], _MARGIN_MM + 4, TICK_PT, "note")
    chart.data = _ranking_table(sentences, scores, truth)
    return chart


def _ranking_input(
    sentences: Sequence[str],
    scores: np.ndarray,
    ecgs: np.ndarray,
    reports: Sequence[str],
    truth: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores `[n, Q]` and truth bool `[n, Q]`, checked."""
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or scores.shape[1] != len(sentences) or not scores.size:
        raise UsageError(
            f"{len(sentences)} sentences need scores [ECGs, {len(sentences)}], not "
            f"{list(scores.shape)}"
        )
    if len(ecgs) != len(scores) or (len(reports) and len(reports) != len(scores)):
        raise UsageError(
            f"{len(scores)} rows of scores need as many ECGs and reports, not {len(ecgs)} and "
            f"{len(reports)}"
        )
    if truth is not None and np.shape(truth) != scores.shape:
        raise UsageError(f"truth must be {list(scores.shape)} like the scores")
    return scores, None if truth is None else np.asarray(truth, dtype=bool)


def _fractions(box: tuple[float, float, float, float], height: float) -> tuple[float, ...]:
    """Left, bottom, width, height in mm as fractions of the page."""
    left, bottom, wide, high = box
    return left / PAGE_MM, bottom / height, wide / PAGE_MM, high / height


def _write(
    chart: Chart, lines: Sequence[str], top: float, size: float, gid: str, weight: str = "normal"
) -> None:
    """Lines of text hanging from `top`, mm above the lower edge."""
    height = chart.get_figheight() * MM_PER_INCH
    for i, line in enumerate(lines):
        y = top - words.ascent_mm(size) - words.height_mm(i, size)
        chart.text(
            _MARGIN_MM / PAGE_MM, y / height, line,
            fontsize=size, fontweight=weight, color=INK, parse_math=False, gid=gid,
        )  # fmt: skip


def _strip(
    axes: Axes, ecg: np.ndarray, sampling_rate: float, leads: Sequence[str], seconds: float
) -> None:
    """A strip of ECG paper; axis units are millimetres in both directions."""
    height = _LEAD_MM * len(leads) + _SCALE_MM
    axes.set(xlim=(0, _PAPER_MM), ylim=(0, height), xticks=[], yticks=[], facecolor=PAPER)
    axes.spines[:].set(visible=True, color=BOLD)
    for step, color, width in ((1, FINE, 0.3), (5, BOLD, 0.5)):
        xs, ys = np.arange(0, _PAPER_MM + 0.01, step), np.arange(0, height + 0.01, step)
        lines = [((x, 0), (x, height)) for x in xs] + [((0, y), (_PAPER_MM, y)) for y in ys]
        axes.add_collection(LineCollection(lines, colors=color, linewidths=width), autolim=False)
    length = min(seconds, (_PAPER_MM - _START_MM) / _MM_PER_S)
    shown = np.array([ecg[lead_index(name), : int(length * sampling_rate)] for name in leads])
    gain = next((g for g in _GAINS if np.ptp(shown, axis=1).max() * g <= _LEAD_MM), _GAINS[-1])
    xs = _START_MM + np.arange(shown.shape[1]) / sampling_rate * _MM_PER_S
    for i, (name, values) in enumerate(zip(leads, shown)):
        middle = height - _LEAD_MM * (i + 0.5)
        trace = middle + (values - (values.max() + values.min()) / 2) * gain
        axes.plot(xs, trace, color=TRACE, linewidth=0.8, gid=f"lead-{name}")
        axes.text(0.8, np.median(trace) - 1, name, fontsize=_TEXT_PT, weight="bold", color=TRACE)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.5}
    scale = f"{_MM_PER_S:g} mm/s, {gain:g} mm/mV"
    axes.text(_PAPER_MM - 1, 1, scale, ha="right", fontsize=TICK_PT, color=INK, bbox=box)


def _dots(axes: Axes, scores: np.ndarray, truth: np.ndarray | None) -> None:
    """All ECGs along the similarity; dots are spread in height only so that they can be seen."""
    rows = [("all ECGs", np.ones(len(scores), bool), PALETTE[0])]
    if truth is not None:
        rows = [("labelled so", truth, PALETTE[1]), ("others", ~truth, PALETTE[0])]
    for y, (_, rows_in, color) in enumerate(rows):
        values = scores[rows_in]
        spread = (np.arange(len(values)) * 0.618) % 1 - 0.5
        axes.plot(values, y + 0.5 * spread, "o", ms=2, alpha=0.5, mec="none", color=color)
    best = scores.argmax()
    place = 0 if truth is None or truth[best] else 1
    axes.plot(scores[best], place, "D", ms=5, mfc="none", mec=INK, gid="best")
    # Above the dots of its row, and to the left, since nothing lies further to the right.
    axes.annotate("best", (scores[best], place - 0.28), (3, 0), textcoords="offset points",
                  ha="right", va="bottom", fontsize=TICK_PT)  # fmt: skip
    labels = [f"{name} ({int(rows_in.sum()):,})" for name, rows_in, _ in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=TICK_PT)
    axes.set(ylim=(len(rows) - 0.5, -0.6), xlabel="similarity to the sentence")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=4)
    light_grid(axes, "x")


def _ranking_table(
    sentences: Sequence[str], scores: np.ndarray, truth: np.ndarray | None
) -> pd.DataFrame:
    """All ECGs of each sentence, best first; equal scores in the order of the ECGs."""
    tables = []
    for q, sentence in enumerate(sentences):
        order = np.argsort(-scores[:, q], kind="stable")
        true = np.full(len(order), -1) if truth is None else truth[order, q].astype(int)
        part = {"sentence": sentence, "ecg": order, "similarity": scores[order, q]}
        tables.append(pd.DataFrame(part | {"rank": np.arange(1, len(order) + 1), "true": true}))
    return pd.concat(tables, ignore_index=True)
