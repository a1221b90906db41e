"""A map of a store: every ECG a point beside those like it, coloured by what is known of it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting.axes import headline, legend_outside
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import GREY, INK, MARKERS, PAGE_MM, PALETTE, styled

NAMED = 6  # groups with a colour of their own; the others are grey
OTHERS = "others"
REST = "#C3C3C3"


@styled
def plot_map(
    places: np.ndarray,
    colour: Sequence[str] | np.ndarray,
    *,
    text: np.ndarray | None = None,
    chosen: Sequence[int] = (),
    unit: str = "",
    axis: str = "UMAP",
    title: str = "",
) -> Chart:
    """Points `[n, 2]` of ECGs, those of reports `[m, 2]` beside them, and the chosen ones ringed.

    colour: a name for each point (the commonest are told apart, "" and the rest are grey), or a
    number for each with its `unit` (NaN: grey). The first of `chosen` has a larger ring. Both axes
    have one scale; their numbers mean nothing, so there are none. Raises UsageError for shapes that
    do not fit. `chart.data`: kind, x, y, colour, chosen (0/1).
    """
    places, colour = np.asarray(places, dtype=float), np.asarray(colour)
    text = np.empty((0, 2)) if text is None else np.asarray(text, dtype=float)
    if places.ndim != 2 or places.shape[1] != 2 or len(colour) != len(places):
        raise UsageError(
            f"a map needs points [n, 2] and n colours, not {list(places.shape)} and {len(colour)}"
        )
    chart = new_chart(PAGE_MM * 0.8, 118)
    axes = chart.subplots()
    if len(text):
        axes.plot(*text.T, "x", ms=3, mew=0.7, color=GREY, label=f"reports ({len(text):,})")
    if colour.dtype.kind == "f":
        _by_number(chart, axes, places, colour, unit)
    else:
        _by_name(axes, places, colour.astype(str))
    for size, these in ((9, list(chosen)[1:]), (14, list(chosen)[:1])):
        axes.plot(*places[these].T, "o", ms=size, mfc="none", mec=INK, mew=1.4, gid="chosen")
    axes.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2", xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    headline(chart, title)
    legend_outside(chart, axes)
    kinds = ["ECG"] * len(places) + ["report"] * len(text)
    chart.data = pd.DataFrame(np.concatenate([places, text]), columns=["x", "y"])
    chart.data.insert(0, "kind", kinds)
    chart.data["colour"] = [*colour.tolist(), *[""] * len(text)]
    chart.data["chosen"] = np.isin(np.arange(len(kinds)), np.asarray(chosen, dtype=int)).astype(int)
    return chart


def _by_number(chart: Chart, axes: Axes, places: np.ndarray, values: np.ndarray, unit: str) -> None:
    known = np.isfinite(values)
    axes.plot(*places[~known].T, ".", ms=4, mec="none", color=REST)
    if not known.any():
        return
    low, high = np.percentile(values[known], [2, 98])
    look = {"s": 9, "linewidths": 0, "cmap": "viridis", "vmin": low, "vmax": max(high, low + 1e-9)}
    points = axes.scatter(*places[known].T, c=values[known], **look)
    chart.colorbar(points, ax=axes, label=unit, extend="both", shrink=0.8)


def _by_name(axes: Axes, places: np.ndarray, names: np.ndarray) -> None:
    """The commonest names in colours and markers, the rare ones on top; all others grey."""
    counts = Counter(names[names != ""].tolist())
    named = [name for name, _ in counts.most_common(NAMED)]
    rest = ~np.isin(names, named)
    axes.plot(*places[rest].T, ".", ms=4, mec="none", color=REST, zorder=1)
    for i, name in enumerate(named):
        look = {"marker": MARKERS[i], "ms": 3.2, "mec": "none", "ls": "none", "zorder": 2 + i}
        points = places[names == name]
        axes.plot(*points.T, color=PALETTE[i], label=f"{name} ({len(points):,})", **look)
    if rest.any():
        axes.plot([], [], ".", color=REST, label=f"{OTHERS} ({int(rest.sum()):,})")


def to_data(chart: Chart, x: float, y: float) -> tuple[float, float]:
    """A place in the picture, fractions from its upper left corner, in the map's own numbers."""
    (axes, *_) = chart.axes
    pixel = (x * chart.bbox.width, (1 - y) * chart.bbox.height)
    return tuple(map(float, axes.transData.inverted().transform(pixel)))
