"""Small habits that all plots share: legends outside the data, light grids, wide enough rows."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.figures import Chart
from dbeta_lib.reporting.style import LIGHT, MM_PER_INCH, PAGE_MM

TICK_PT = 7.5
TITLE_PT = 9.0
EDGE_MM = 1.3  # between the chart's edge and what stands at it, as the style sheet pads
REFERENCE = "reference"  # the gid of lines at chance


def headline(chart: Chart, title: str) -> None:
    """A title over the whole chart, wrapped to its width; the chart grows by further lines.

    Titles may hold report text, so nothing in them is read as mathematics.
    """
    lines = words.wrap(title, chart.get_figwidth() * MM_PER_INCH - 6, TITLE_PT, "bold")
    if not lines:
        return
    further = words.height_mm(len(lines) - 1, TITLE_PT) / MM_PER_INCH
    chart.set_figheight(chart.get_figheight() + further)
    placed = chart.get_layout_engine() is not None  # by it, below the edge
    y = None if placed else 1 - EDGE_MM / (chart.get_figheight() * MM_PER_INCH)
    chart.suptitle("\n".join(lines), x=0.01, y=y, ha="left", fontsize=TITLE_PT, parse_math=False)


def place(
    chart: Chart, left: float, right: float, top: float, bottom: float, **gaps: float
) -> None:
    """Put the axes where no layout does: millimetres kept free at four sides, beneath the title.

    For charts that are redrawn while somebody waits: a constrained layout measures each text four
    times. gaps: `hspace`, `wspace`, shares of an axes. The title must have its lines already.
    """
    width, height = (inches * MM_PER_INCH for inches in chart.get_size_inches())
    title = chart.get_suptitle()
    taken = EDGE_MM + words.height_mm(title.count("\n") + 1, TITLE_PT) if title else 0.0
    chart.subplots_adjust(
        left=left / width, right=1 - right / width,
        bottom=bottom / height, top=1 - (top + taken) / height, **gaps,
    )  # fmt: skip


def legend_entries(axes: Iterable[Axes]) -> dict[str, Artist | Container]:
    """What the legends of some axes would hold, each name once, reference lines last."""
    entries: dict[str, Artist | Container] = {}
    for each in axes:
        entries |= dict(zip(*reversed(each.get_legend_handles_labels())))
    return dict(sorted(entries.items(), key=lambda item: _is_reference(item[1])))


def _is_reference(handle: Artist | Container) -> bool:
    return isinstance(handle, Artist) and handle.get_gid() == REFERENCE


def legend_outside(chart: Chart, axes: Axes | Iterable[Axes]) -> int:
    """One legend below all axes, in as many columns as fit; returns its rows.

    Above the axes the title has its place.
    """
    entries = legend_entries([axes] if isinstance(axes, Axes) else axes)
    if not entries:
        return 0
    widest = max(words.width_mm(label, TICK_PT) for label in entries) + 14
    width = min(chart.get_figwidth() * MM_PER_INCH, PAGE_MM) - 6
    labels = [words.shorten(label, width - 14, TICK_PT) for label in entries]
    columns = int(np.clip(width // widest, 1, len(entries)))
    chart.legend(list(entries.values()), labels, loc="outside lower left", ncols=columns)
    return -(-len(entries) // columns)


def light_grid(axes: Axes, axis: str) -> None:
    """A grid behind the data along one axis."""
    axes.grid(True, axis=axis)


def banded_rows(
    axes: Axes, names: Sequence[str], counts: Sequence[float] = (), label_mm: float = 60.0
) -> None:
    """Named rows from top to bottom at y = 0, 1, ..., every second one on a light band.

    Long names are shortened to `label_mm`; `counts` stand behind them as "(n = 12)".
    """
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=LIGHT, linewidth=0, zorder=0)
    labels = [words.shorten(name, label_mm, TICK_PT) for name in names]
    if len(counts):
        labels = [f"{label} (n = {n:,.0f})" for label, n in zip(labels, counts)]
    axes.set_yticks(range(len(names)), labels, fontsize=TICK_PT, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def reference_line(axes: Axes, value: float, label: str, upright: bool = False) -> None:
    """A dotted line at chance or another reference, named in the legend."""
    draw = axes.axvline if upright else axes.axhline
    draw(value, color="black", ls=":", lw=1.0, zorder=1, label=label, gid=REFERENCE)


def log_axis(axes: Axes, axis: str) -> None:
    """A logarithmic axis with plain numbers; 1, 2, 5 where it spans less than two decades.

    To be called once the data are drawn.
    """
    axes.set(**{f"{axis}scale": "log"})
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    which = getattr(axes, f"{axis}axis")
    which.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    which.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1 else f"{v:g}"))
    which.set_minor_formatter(NullFormatter())


def power_of_ten(axes: Axes, axis: str, largest: float, label: str) -> None:
    """Small numbers as multiples of a power of ten that stands in the axis label as its unit."""
    exponent = int(np.floor(np.log10(largest))) if largest > 0 else 0
    if exponent > -3:
        axes.set(**{f"{axis}label": label})
        return
    scaled = FuncFormatter(lambda value, _: f"{value / 10.0**exponent:g}")
    getattr(axes, f"{axis}axis").set_major_formatter(scaled)
    axes.set(**{f"{axis}label": rf"{label} [$10^{{{exponent}}}$]"})


def need_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raises UsageError naming the first column that `what` lacks, or that it is empty."""
    for column in columns:
        if column not in table:
            known = nearest(column, map(str, table.columns))
            raise UsageError(f"{what} needs a column '{column}'{known}")
    if not len(table):
        raise UsageError(f"{what} has no rows; nothing can be drawn")


def named_groups(values: Mapping | Sequence | np.ndarray, name: str) -> dict[str, np.ndarray]:
    """A mapping of names to arrays as it is, a single array under `name`; finite values only.

    Raises UsageError when a group is empty.
    """
    groups = dict(values) if isinstance(values, Mapping | pd.DataFrame) else {name: values}
    groups = {str(key): np.asarray(group, dtype=float).ravel() for key, group in groups.items()}
    groups = {key: group[np.isfinite(group)] for key, group in groups.items()}
    empty = [key for key, group in groups.items() if not len(group)]
    if empty or not groups:
        raise UsageError(f"no finite numbers to draw for {', '.join(empty) or name}")
    return groups


def long_table(groups: Mapping[str, np.ndarray], name: str, value: str) -> pd.DataFrame:
    """Groups one above another: columns `name` and `value`."""
    parts = [pd.DataFrame({name: key, value: group}) for key, group in groups.items()]
    return pd.concat(parts, ignore_index=True)
