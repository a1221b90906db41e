"""Plots of patient identification: how alike two records of one person are, and of two persons."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    headline,
    legend_outside,
    light_grid,
    log_axis,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import COLUMN_MM, GREY, PAGE_MM, PALETTE, series_styles, styled

BINS = 60
_WIDTH_MM = COLUMN_MM * 1.6
_AXIS_MM = 22  # left of the axes and at the right


@styled
def plot_genuine_impostor(
    similarity: Mapping[str, np.ndarray],
    equal_errors: Mapping[str, tuple[float, float]],
    *,
    unit: str = "similarity (cosine)",
    title: str = "",
) -> Chart:
    """Similarity of two records of one patient against that of two patients, a row per encoder.

    similarity: by encoder `[P, P]`, probes in rows, the gallery in columns, a person's own on the
    diagonal. equal_errors: by encoder the equal error rate (0..1) and the threshold where it
    stands. Each histogram is in per cent of its own pairs, since impostor pairs are P - 1 times
    as many. Raises UsageError for a matrix that is not square, or no threshold. `chart.data`:
    encoder, left, right (of the bin), genuine, impostor (shares 0..1), threshold, eer.
    """
    matrices = _checked(similarity, equal_errors)
    low = min(matrix.min() for matrix in matrices.values())
    high = max(matrix.max() for matrix in matrices.values())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    chart = new_chart(_WIDTH_MM, 20 + 33 * len(matrices))
    panels = chart.subplots(len(matrices), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    parts = []
    for axes, (name, matrix) in zip(panels, matrices.items()):
        part = _shares(matrix, edges).assign(encoder=name)
        rate, threshold = equal_errors[name]
        parts.append(part.assign(threshold=threshold, eer=rate))
        _histogram(axes, part["impostor"], edges, GREY, "two patients")
        _histogram(axes, part["genuine"], edges, PALETTE[0], "the same patient")
        reference_line(axes, threshold, "threshold of equal errors", upright=True)
        note = f"equal error rate {100 * rate:.1f} %, threshold {threshold:.2f}"
        axes.set_title(note, loc="right", weight="normal", fontsize=TICK_PT)
        room = _WIDTH_MM - _AXIS_MM - words.width_mm(note, TICK_PT)
        axes.set_title(words.shorten(name, room, 8, "bold"), parse_math=False)
        light_grid(axes, "y")
    panels[-1].set_xlabel(unit)
    panels[len(panels) // 2].set_ylabel("pairs [%]")
    panels[0].set_xlim(edges[0], edges[-1])
    headline(chart, title)
    legend_outside(chart, panels)
    columns = ["encoder", "left", "right", "genuine", "impostor", "threshold", "eer"]
    chart.data = pd.concat(parts, ignore_index=True)[columns]
    return chart


def _checked(
    similarity: Mapping[str, np.ndarray], equal_errors: Mapping[str, tuple[float, float]]
) -> dict[str, np.ndarray]:
    matrices = {str(name): np.asarray(m, dtype=float) for name, m in similarity.items()}
    if not matrices:
        raise UsageError("no similarity is given; nothing can be drawn")
    for name, matrix in matrices.items():
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise UsageError(f"the similarity of {name} is {matrix.shape}, not [P, P] of patients")
        if name not in equal_errors:
            raise UsageError(f"equal_errors has no rate and threshold of '{name}'")
    return matrices


def _shares(matrix: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """Share of the pairs of each kind in each bin."""
    own = np.eye(len(matrix), dtype=bool)
    counts = {"genuine": matrix[own], "impostor": matrix[~own]}
    shares = {kind: np.histogram(s, edges)[0] / len(s) for kind, s in counts.items()}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], **shares})


def _histogram(axes: Axes, share: pd.Series, edges: np.ndarray, color: str, label: str) -> None:
    axes.stairs(100 * share, edges, fill=True, color=color, alpha=0.35, lw=0)
    axes.stairs(100 * share, edges, color=color, lw=1.1, label=label)


@styled
def plot_gallery_size(table: pd.DataFrame, *, title: str = "") -> Chart:
    """How often the own patient is found in galleries of several sizes: a panel per k.

    Columns: encoder, size, k, rate and chance (0..1), as `rate_by_gallery` gives them with the
    encoder's name added. `chart.data` is the table, sorted.
    """
    need_columns(table, ["encoder", "size", "k", "rate", "chance"], "the table of gallery sizes")
    ks = sorted(table["k"].unique())
    chart = new_chart(min(PAGE_MM, 30 + 76 * len(ks)), 75)
    panels = chart.subplots(1, len(ks), sharey=True, squeeze=False)[0]
    styles = series_styles(table["encoder"])
    for axes, k in zip(panels, ks):
        part = table[table["k"] == k]
        for name, look in styles.items():
            line = part[part["encoder"] == name].sort_values("size")
            axes.plot(line["size"], 100 * line["rate"], label=name, **look)
        by_chance = part.drop_duplicates("size").sort_values("size")
        axes.plot(by_chance["size"], 100 * by_chance["chance"], color="black", ls=":", lw=1.0,
                  label="chance", gid="reference")  # fmt: skip
        place = "as the most similar" if k == 1 else f"among the {k} most similar"
        axes.set(xlabel="patients in the gallery", title=place, ylim=(0, 103))
        log_axis(axes, "x")
        light_grid(axes, "y")
    panels[0].set_ylabel("probes whose patient is found [%]")
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = table.sort_values(["k", "encoder", "size"], kind="stable").reset_index(drop=True)
    return chart
