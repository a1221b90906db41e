"""Plots of text encoders: size against gain, and what they take for the same and the opposite."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from dbeta_lib.evaluation.text_pairs import AGAINST
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    banded_rows,
    headline,
    legend_outside,
    light_grid,
    log_axis,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import GREY, PAGE_MM, PALETTE, is_control, styled

FROZEN = ", frozen"  # how the name of a frozen row ends
LOOKS = {  # (weights, frozen) -> colour, marker, face
    ("drawn here", False): (PALETTE[0], "o", PALETTE[0]),
    ("drawn here", True): (PALETTE[0], "s", "white"),
    ("published", False): (PALETTE[1], "o", PALETTE[1]),
    ("published", True): (PALETTE[1], "s", "white"),
}
LANGUAGES = {"en": ("English", PALETTE[0], "o"), "de": ("German", PALETTE[4], "^")}
QUESTIONS = {"unrelated": "synonyms above unrelated", "opposite": "synonyms above opposites"}
LABEL_MM = 62.0
GAP, BESIDE = (
    0.032,
    0.006,
)  # across the axes: between encoders, of trained and frozen from the middle


@styled
def plot_size_gain(
    table: pd.DataFrame, *, reference: tuple[str, float], metric: str = "macro AUC", title: str = ""
) -> Chart:
    """What a text encoder gains over the reference's, over how many parameters it has.

    `table` as `sweeps.encoders.encoder_gains` gives it, the row's name as its index. reference:
    name and parameters of what all are compared with. `chart.data` is the table.
    """
    needed = ["value", "low", "high", "parameters", "weights", "frozen", "per_seed"]
    need_columns(table, needed, "the table of gains")
    owner = table.index.str.removesuffix(FROZEN)
    own = reference[0].removesuffix(FROZEN)
    sizes = {**dict(zip(owner, table["parameters"] / 1e6)), own: reference[1] / 1e6}
    room = max(words.width_mm(name, TICK_PT) for name in sizes)
    chart = new_chart(PAGE_MM, 86 + room)
    axes = chart.subplots()
    axes.set_xlim(min(sizes.values()) / 2, max(sizes.values()) * 2)
    log_axis(axes, "x")
    columns = _columns(axes, sizes)
    across = blended_transform_factory(axes.transAxes, axes.transData)
    for (weights, frozen), (color, marker, face) in LOOKS.items():
        picked = (table["weights"] == weights) & (table["frozen"] == frozen)
        if picked.any():
            part, beside = table[picked], BESIDE if frozen else -BESIDE
            x = [columns[name] + beside for name in owner[picked]]
            axes.vlines(x, part["low"], part["high"], color=color, lw=1.2, transform=across)
            label = f"{weights}, {'frozen' if frozen else 'trained'}"
            axes.plot(
                x, part["value"], marker, color=color, mfc=face, label=label, transform=across
            )
    at = columns[own] + (BESIDE if own != reference[0] else -BESIDE)
    axes.plot([at], [0], "*", color="black", ms=8, label=f"{reference[0]}: 0", transform=across)
    reference_line(axes, 0, "no difference")
    axes.set_xlabel("parameters of the text encoder [millions]")
    axes.set(ylabel=f"difference in {metric}")
    light_grid(axes, "y")
    headline(chart, title)
    legend_outside(chart, axes)
    seeds = [" ".join(f"{value:.6g}" for value in each) for each in table["per_seed"]]
    chart.data = table.assign(per_seed=seeds).reset_index(names="name")
    return chart


def _columns(axes: Axes, sizes: dict[str, float]) -> dict[str, float]:
    """A column for each encoder, 0..1 across the axes, its name above it, a line to its size.

    Encoders of like size stand beside each other; the line below leads to the size itself.
    """
    names = sorted(sizes, key=sizes.get)
    low, high = np.log(axes.get_xlim())
    true = (np.log([sizes[name] for name in names]) - low) / (high - low)
    columns = spread(true, GAP)
    for name, size, column in zip(names, true, columns):
        axes.plot([size, column, column], [0, 0.06, 1.02], transform=axes.transAxes, color=GREY,
                  lw=0.5, clip_on=False, zorder=0, gid="leader")  # fmt: skip
        axes.annotate(
            name, (column, 1.04), xycoords="axes fraction", rotation=90, ha="center", va="bottom",
            size=TICK_PT, annotation_clip=False, parse_math=False,
        )  # fmt: skip
    return dict(zip(names, columns))


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Places in 0..1 near the ascending `wanted` ones, at least `gap` apart where there is room.

    Half-way between pushing all to the right and all to the left: both keep the gap.
    """
    steps = min(gap, 1 / max(len(wanted) - 1, 1)) * np.arange(len(wanted))
    right = np.maximum.accumulate(wanted - steps) + steps
    left = np.minimum.accumulate((wanted - steps)[::-1])[::-1] + steps
    at = (right + left) / 2
    return np.clip(at, steps, 1 - steps[::-1])


@styled
def plot_text_pairs(table: pd.DataFrame, *, title: str = "") -> Chart:
    """Pair AUC of each encoder in each language: synonyms above unrelated, and above opposites.

    `table` as `evaluation.text_pairs.pair_table` gives it; languages "all" is left out. Controls
    are grey. `chart.data` is the table.
    """
    needed = ["encoder", "language", "against", "value", "low", "high"]
    need_columns(table, needed, "the table of pairs")
    names = list(dict.fromkeys(table["encoder"]))
    chart = new_chart(PAGE_MM, 30 + 5.4 * len(names))
    panels = chart.subplots(1, len(AGAINST), sharex=True, sharey=True)
    rows = {name: row for row, name in enumerate(names)}
    for axes, against in zip(panels, AGAINST):
        banded_rows(axes, names, label_mm=LABEL_MM)
        part = table[table["against"] == against]
        for shift, (language, (label, color, marker)) in zip((-0.16, 0.16), LANGUAGES.items()):
            here = part[part["language"] == language]
            place = here["encoder"].map(rows) + shift
            colors = [GREY if is_control(name) else color for name in here["encoder"]]
            axes.hlines(place, here["low"], here["high"], color=colors, lw=1.1)
            axes.scatter(here["value"], place, marker=marker, color=colors, s=14, zorder=3)
            axes.plot([], [], marker, color=color, label=label)
        reference_line(axes, 0.5, "chance = 0.5", upright=True)
        axes.set_title(QUESTIONS[against])
        axes.set(xlabel="pair AUC", xlim=(-0.02, 1.02))
        light_grid(axes, "x")
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = table.reset_index(drop=True)
    return chart
