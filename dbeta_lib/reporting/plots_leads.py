"""Plots of lead subsets: which leads are kept, what each set is worth, which class needs which."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.evaluation.lead_subsets import implied
from dbeta_lib.leads import LEADS, derive_limb_leads, lead_index, subset_mask
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    banded_rows,
    headline,
    legend_outside,
    light_grid,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.ecg_paper import TRACE, draw_ecg
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import (
    LIGHT,
    PAGE_MM,
    PALETTE,
    series_styles,
    styled,
)

DROPPED = "#B3ABA9"  # seen on the paper, clearly not ink
COMPUTED = PALETTE[0]
ENOUGH = 10  # positives: with fewer, a bootstrap of patients hardly moves
SCALE = "RdBu"  # red below the centre, blue above: told apart with the common colour blindnesses


@styled
def draw_kept_leads(
    ecg: np.ndarray,
    sampling_rate: float,
    leads: str | Iterable[str],
    *,
    derived: bool = False,
    title: str = "",
    seconds: float = 10.0,
) -> Chart:
    """One ECG on paper, mV `[12, T]`: the leads of a set in black, the others in grey.

    `derived` shows in blue the limb leads that I and II determine, as computed from these two.
    `leads`: names, or a list as "I,II,V2". Raises UsageError for an unknown lead, or as `draw_ecg`.
    """
    kept = [name for name, there in zip(LEADS, subset_mask(leads), strict=True) if there]
    blue = implied(kept) if derived else ()
    ecg, computed = np.array(ecg, dtype=float), derive_limb_leads(np.asarray(ecg, dtype=float))
    for name in blue:
        ecg[lead_index(name)] = computed[lead_index(name)]
    grey = [name for name in LEADS if name not in kept and name not in blue]
    said = [f"Black: kept ({len(kept)})."]
    said += [f"Blue: computed from I and II ({len(blue)})."] * bool(blue)
    said += [f"Grey: left out ({len(grey)}), zeros for the encoder."] * bool(grey)
    chart = draw_ecg(ecg, sampling_rate, title=title, report=" ".join(said), seconds=seconds)
    look = {name: TRACE for name in kept} | dict.fromkeys(blue, COMPUTED)
    for artist in chart.findobj(lambda each: (each.get_gid() or "").startswith("lead-")):
        kind = artist.get_gid()
        name = artist.get_text() if kind == "lead-name" else kind.removeprefix("lead-")
        artist.set_color(look.get(name, DROPPED))
    return chart


@styled
def plot_lead_sets(table: pd.DataFrame, *, title: str = "", chance: float = 0.5) -> Chart:
    """Macro AUC of each set of leads with its interval: a panel per protocol, a dot per encoder.

    Columns: encoder, leads (name of the set), n_leads, protocol, value, low, high. Most leads are
    on top. `chart.data` is the table in the order of the panels and rows.
    """
    needed = ["encoder", "leads", "n_leads", "protocol", "value", "low", "high"]
    need_columns(table, needed, "the table of lead sets")
    sizes = table.groupby("leads", sort=False)["n_leads"].max()
    order = sizes.sort_values(ascending=False, kind="stable").index.tolist()
    rows = {name: row for row, name in enumerate(order)}
    styles, panels = series_styles(table["encoder"]), list(table["protocol"].unique())
    chart = new_chart(PAGE_MM, 30 + max(6.0, 3.4 * len(styles)) * len(order))
    every = chart.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axes, protocol in zip(every, panels, strict=True):
        banded_rows(axes, order, label_mm=45)
        axes.tick_params(labelleft=axes is every[0])
        for i, (name, look) in enumerate(styles.items()):
            part = table[(table["encoder"] == name) & (table["protocol"] == protocol)]
            y = part["leads"].map(rows) + (i - (len(styles) - 1) / 2) * 0.75 / len(styles)
            axes.hlines(y, part["low"], part["high"], color=look["color"], lw=1.2)
            axes.plot(part["value"], y, look["marker"], color=look["color"], label=name)
        reference_line(axes, chance, f"chance = {chance:g}", upright=True)
        axes.set_title(protocol)
        axes.set(xlabel="macro AUC")
        axes.locator_params(axis="x", nbins=7)
        light_grid(axes, "x")
    lowest, highest = min(table["low"].min(), chance), table["high"].max()
    every[0].set_xlim(lowest - 0.02, min(1.01, highest + 0.02))
    headline(chart, title)
    legend_outside(chart, every)
    place = pd.DataFrame({"panel": table["protocol"].map(panels.index),
                          "row": table["leads"].map(rows)})  # fmt: skip
    chart.data = table.loc[place.sort_values(["panel", "row"], kind="stable").index]
    chart.data = chart.data.reset_index(drop=True)
    return chart


@styled
def plot_lead_classes(table: pd.DataFrame, *, title: str = "") -> Chart:
    """Two heat maps of class x lead: the AUC around chance, and its difference from the 12 leads.

    Columns as `lead_sweep.by_class` gives them: class, leads, n_pos, auc, change, change_low,
    change_high, the 12 leads first. Colours are centred: white is chance above, no change beneath.
    A difference is bold where its interval leaves out 0 and the class has `ENOUGH` positives for an
    interval to mean something. The class with the best AUC from 12 leads is on top.
    """
    needed = ["class", "leads", "n_pos", "auc", "change", "change_low", "change_high"]
    need_columns(table, needed, "the table of classes and leads")
    table = table.replace({"leads": {"12 leads": "12"}})
    columns = list(table["leads"].unique())
    wide = table.pivot(index="class", columns="leads", values=needed[2:])
    order = wide[("auc", columns[0])].sort_values(ascending=False, kind="stable").index
    wide = wide.loc[order].reindex(columns=columns, level="leads")
    longest = max(words.width_mm(name, TICK_PT) for name in columns)
    upright = longest > 0.55 * PAGE_MM / len(columns)
    chart = new_chart(PAGE_MM, 40 + 2 * (4.8 * len(order) + longest * upright))
    upper, lower = chart.subplots(2, 1)
    positives = wide["n_pos"][columns[0]].astype(int)
    labels = [f"{name} (n = {n:,})" for name, n in positives.items()]
    auc = wide["auc"].to_numpy(float)
    texts = [f"{value:.2f}".lstrip("0") for value in auc.ravel()]
    _heat(upper, auc, texts, 0.5, 0.5)
    upper.set_title("AUC (white: chance)")
    points = 100 * wide["change"][columns[1:]].to_numpy(float)
    spread = max(5.0, np.abs(points[np.isfinite(points)]).max(initial=0.0))
    sure = (wide["change_low"][columns[1:]] > 0) | (wide["change_high"][columns[1:]] < 0)
    sure = sure.to_numpy() & (positives.to_numpy()[:, None] >= ENOUGH)
    texts = [_signed(value) for value in points.ravel()]
    _heat(lower, points, texts, 0.0, spread, sure.ravel())
    lower.set_title(f"minus that of 12 leads, in points (bold: interval without 0, n ≥ {ENOUGH})")
    for axes, names in ((upper, columns), (lower, columns[1:])):
        _name_cells(axes, labels, names, upright)
    headline(chart, title)
    place = table["class"].map({name: i for i, name in enumerate(order)})
    chart.data = table.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
    return chart


def _signed(points: float) -> str:
    """Whole points with their sign, a true minus: "+3", "−12", "0"."""
    if np.isnan(points) or round(points) == 0:
        return "0"
    return f"{points:+.0f}".replace("-", "−")


def _heat(
    axes: Axes,
    values: np.ndarray,
    texts: Sequence[str],
    centre: float,
    spread: float,
    bold: Sequence[bool] = (),
) -> None:
    """A coloured cell with its text per value `[K, L]`, the scale beside; NaN is grey and empty."""
    from seaborn import heatmap  # here: its import takes most of a second

    there = np.isfinite(values).ravel()
    heatmap(
        values, ax=axes, cmap=SCALE, vmin=centre - spread, vmax=centre + spread, fmt="",
        annot=np.reshape(texts, values.shape), annot_kws={"fontsize": TICK_PT},
        cbar_kws={"pad": 0.01, "aspect": 25},
    )  # fmt: skip
    axes.set_facecolor(LIGHT)
    for cell, is_bold in zip(axes.texts, np.compress(there, bold) if len(bold) else ()):
        cell.set_weight("bold" if is_bold else "normal")
    for cell in axes.texts:
        cell.set_in_layout(False)  # hundreds of them, all inside: the layout need not ask


def _name_cells(axes: Axes, classes: Sequence[str], leads: Sequence[str], upright: bool) -> None:
    """Classes beside the rows, sets of leads above the columns."""
    axes.xaxis.tick_top()
    turned = 90 if upright else 0
    axes.set_xticks(np.arange(len(leads)) + 0.5, leads, rotation=turned, fontsize=TICK_PT)
    short = [words.shorten(name, 60, TICK_PT) for name in classes]
    axes.set_yticks(
        np.arange(len(classes)) + 0.5, short, rotation=0, fontsize=TICK_PT, parse_math=False
    )
    axes.tick_params(length=0)
