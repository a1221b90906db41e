"""Twelve leads as a clinic prints them: ECG paper in true millimetres.

25 mm/s and 10 mm/mV on a grid of 1 mm and 5 mm, a calibration pulse of 1 mV and 0.2 s before each
row, lead names, a note of the scale. Printed at 100 % the squares measure 1 mm. The columns of
"3x4+rhythm" follow each other in time, and the rhythm strip beneath runs through all of them
(recommendations for the 12-lead display: Kligfield et al., Circulation 115:1306, 2007).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from dbeta_lib.leads import LEADS, lead_index
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.ecg_sheet import (
    PULSE_MV,
    PULSE_S,
    PULSE_ZONE_MM,
    Recording,
    Sheet,
    layout_rows,
    plan_sheet,
    shown,
    to_recording,
    windows,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import INK, MM_PER_INCH, styled

PAPER, FINE, BOLD, TRACE = "#FFFBFA", "#F6CFCB", "#E39A94", "#1A1A1A"
MISSING = "#5A5A5A"
FONT_PT = 11.2  # two sheets of 5 s are 1.6 pages wide: printed to the page this is 7 pt
MARGIN_MM = 4.0


@styled
def draw_ecg(
    ecg: np.ndarray,
    sampling_rate: float,
    *,
    lead_mask: Sequence[bool] | None = None,
    title: str = "",
    report: str = "",
    layout: str = "3x4+rhythm",
    seconds: float = 10.0,
    speed: float = 25.0,
    gain: float = 10.0,
) -> Chart:
    """One ECG, mV `[12, T]` in the order of `LEADS`, on paper with its report beneath.

    `layout`: a name in `ecg_sheet.LAYOUTS`, or leads as "II,V1", a strip each.
    `lead_mask` `[12]`, False = not recorded (drawn as a dashed line); NaN are gaps. The first
    `seconds` are shown at `speed` mm/s and `gain` mm/mV; each lead's median is put on its
    baseline, as a recorder's high-pass would. What runs off the paper is named in the note.
    Raises UsageError for another shape, rate or layout. `chart.data`: time_s and the leads in mV.
    """
    recording = to_recording(ecg, sampling_rate, lead_mask, seconds)
    sheet = plan_sheet(layout_rows(layout), [recording], speed, gain)
    return _compose([recording], [title], [report], sheet)


@styled
def draw_pair(
    left: np.ndarray,
    right: np.ndarray,
    sampling_rate: float,
    *,
    titles: tuple[str, str] = ("real", "synthetic"),
    reports: tuple[str, str] = ("", ""),
    lead_masks: tuple[Sequence[bool] | None, Sequence[bool] | None] = (None, None),
    layout: str = "6x2",
    seconds: float = 5.0,
) -> Chart:
    """Two ECGs, mV `[12, T]` each, side by side on paper of one scale and one row distance.

    5 s each by default: together as wide as one sheet of 10 s. Errors as `draw_ecg`.
    """
    pair = [
        to_recording(ecg, sampling_rate, mask, seconds)
        for ecg, mask in zip((left, right), lead_masks, strict=True)
    ]
    return _compose(pair, titles, reports, plan_sheet(layout_rows(layout), pair, 25.0, 10.0))


def _compose(
    recordings: Sequence[Recording], titles: Sequence[str], reports: Sequence[str], sheet: Sheet
) -> Chart:
    """Sheets side by side, each with its title above and its report beneath."""
    heads = [words.wrap(title, sheet.width, FONT_PT, "bold") for title in titles]
    bodies = [words.wrap(report, sheet.width, FONT_PT) for report in reports]
    head = max(words.height_mm(len(lines), FONT_PT) for lines in heads)
    body = max(words.height_mm(len(lines), FONT_PT) + 2 * bool(lines) for lines in bodies)
    height = MARGIN_MM + body + sheet.height + head + MARGIN_MM
    count = len(recordings)
    width = MARGIN_MM + count * (sheet.width + MARGIN_MM)
    chart = new_chart(width, height, constrained=False)
    for i, recording in enumerate(recordings):
        left = MARGIN_MM + i * (sheet.width + MARGIN_MM)
        box = (left / width, (MARGIN_MM + body) / height)
        axes = chart.add_axes((*box, sheet.width / width, sheet.height / height))
        _paper(axes, sheet)
        _pulses(axes, sheet)
        _traces(axes, sheet, recording)
        _names(axes, sheet, recording)
        _note(axes, sheet, recording)
        top = (height - MARGIN_MM) / height
        _lines(chart, left / width, top, heads[i], weight="bold")
        _lines(chart, left / width, (MARGIN_MM + body - 2) / height, bodies[i])
    chart.data = _table(recordings, titles)
    return chart


def _paper(axes: Axes, sheet: Sheet) -> None:
    """The grid; axis units are millimetres in both directions."""
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height), xticks=[], yticks=[])
    axes.set_facecolor(PAPER)
    axes.spines[:].set(visible=True, color=BOLD)
    for name, step, color, width in (("fine", 1, FINE, 0.35), ("bold", 5, BOLD, 0.6)):
        xs, ys = np.arange(0, sheet.width + 0.01, step), np.arange(0, sheet.height + 0.01, step)
        upright = [((x, 0), (x, sheet.height)) for x in xs]
        level = [((0, y), (sheet.width, y)) for y in ys]
        grid = LineCollection(upright + level, colors=color, linewidths=width, zorder=0.5)
        grid.set_gid(f"grid-{name}")
        axes.add_collection(grid, autolim=False)


def _pulses(axes: Axes, sheet: Sheet) -> None:
    """The calibration pulse in front of each row."""
    width = PULSE_S * sheet.speed
    start = (PULSE_ZONE_MM - width) / 2
    xs = np.array([0, start, start, start + width, start + width, PULSE_ZONE_MM]) + 1.0
    ys = np.array([0, 0, 1, 1, 0, 0]) * PULSE_MV * sheet.gain
    for base in sheet.baselines:
        axes.plot(xs, base + ys, color=TRACE, linewidth=0.9, gid="pulse", solid_joinstyle="miter")


def _traces(axes: Axes, sheet: Sheet, recording: Recording) -> None:
    """All leads; a dashed flat line where a lead was not recorded, a tick between columns."""
    for row, base in zip(sheet.rows, sheet.baselines, strict=True):
        for name, start, stop in windows(row, sheet.seconds):
            edge, end = sheet.left + start * sheet.speed, sheet.left + stop * sheet.speed
            times, values = shown(recording, name, start, stop)
            if recording.present[lead_index(name)]:
                xs, ys = sheet.left + times * sheet.speed, base + values * sheet.gain
                axes.plot(xs, ys, color=TRACE, linewidth=0.9, gid=f"lead-{name}")
            else:
                axes.plot([edge, end], [base, base], "--", color=MISSING, lw=0.9, gid=f"no-{name}")
            if start:
                tick = [base - 2.5, base + 2.5]
                axes.plot([edge, edge], tick, color=TRACE, linewidth=0.9, gid="column")


def _names(axes: Axes, sheet: Sheet, recording: Recording) -> None:
    """Each lead's name above the beginning of its trace, under the ink but over the grid."""
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    ink = _strokes(axes)
    for row, base in zip(sheet.rows, sheet.baselines, strict=True):
        for name, start, _ in windows(row, sheet.seconds):
            there = recording.present[lead_index(name)]
            weight = "bold" if there else "normal"
            text = name if there else f"{name} (not recorded)"
            x = sheet.left + start * sheet.speed + 1.5
            y = _free_height(ink, x, x + words.width_mm(text, FONT_PT, weight), base)
            label = axes.text(x, y, text, fontsize=FONT_PT, fontweight=weight, bbox=box, zorder=1)
            label.set(color=TRACE if there else MISSING, gid="lead-name")


def _strokes(axes: Axes) -> np.ndarray:
    """`[4, n]`, all lines drawn so far stroke by stroke: first x, last x, lowest y, highest y."""
    parts = []
    for line in axes.lines:
        xs, ys = line.get_data()
        lows, highs = np.minimum(ys[1:], ys[:-1]), np.maximum(ys[1:], ys[:-1])
        parts.append(np.stack([xs[:-1], xs[1:], lows, highs]))
    return np.concatenate(parts, axis=1)


def _free_height(ink: np.ndarray, left: float, right: float, base: float) -> float:
    """The lowest of a few heights over a baseline where no stroke crosses a name, else the first.

    Never under the baseline: there a name would seem to belong to the next row.
    """
    _, _, lows, highs = ink[:, (ink[0] >= left - 1) & (ink[1] <= right + 1)]
    height = FONT_PT * MM_PER_INCH / 72
    for offset in (4.5, 6.5, 8.5, 10.5, 12.5):
        y = base + offset
        if not ((highs > y - 0.5) & (lows < y + height)).any():
            return y
    return base + 4.5


def _note(axes: Axes, sheet: Sheet, recording: Recording) -> None:
    """Scale, rate, and the leads that leave the paper, in its lower left corner."""
    parts = [f"{sheet.speed:g} mm/s, {sheet.gain:g} mm/mV"]
    parts.append(f"{recording.sampling_rate:g} Hz, {recording.seconds:.3g} s")
    lost = _off_paper(axes, sheet)
    if lost:
        parts.append(f"off the paper: {', '.join(lost)}")
    lines = words.wrap(" · ".join(parts), sheet.width - 4, FONT_PT)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    note = axes.text(1.5, 1.5, "\n".join(lines), fontsize=FONT_PT, color=INK, bbox=box)
    note.set(va="bottom", gid="scale", zorder=1)


def _off_paper(axes: Axes, sheet: Sheet) -> list[str]:
    """Leads with samples above or under the paper."""
    lost = {}
    for line in axes.lines:
        kind, _, name = (line.get_gid() or "").partition("-")
        heights = line.get_ydata()
        if kind == "lead" and ((heights < 0) | (heights > sheet.height)).any():
            lost[name] = True
    return list(lost)


def _lines(chart: Chart, x: float, y: float, lines: list[str], weight: str = "normal") -> None:
    """A block of wrapped lines hanging from (x, y), in fractions of the figure."""
    height = chart.get_figheight() * MM_PER_INCH
    step = words.height_mm(1, FONT_PT) / height
    y -= words.ascent_mm(FONT_PT) / height
    for i, line in enumerate(lines):
        chart.text(
            *(x, y - i * step),
            line,
            fontsize=FONT_PT,
            fontweight=weight,
            color=INK,
            parse_math=False,  # reports may hold a dollar sign
            gid="report" if weight == "normal" else "title",
        )


def _table(recordings: Sequence[Recording], titles: Sequence[str]) -> pd.DataFrame:
    """The drawn samples: time_s and one column per lead in mV; several sheets one above another."""
    tables = []
    for recording, title in zip(recordings, titles, strict=True):
        table = pd.DataFrame(recording.ecg.T, columns=list(LEADS))
        table.insert(0, "time_s", np.arange(len(table)) / recording.sampling_rate)
        if len(recordings) > 1:
            table.insert(0, "ecg", title)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
