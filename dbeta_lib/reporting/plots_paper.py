"""Dot plots of what is printed and what was run, and of demo results by themselves.

Everything is in points (x 100), as papers print it. The paper gives no intervals, so its numbers
are single marks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.results import without_digest
from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.axes import (
    TICK_PT,
    headline,
    legend_outside,
    light_grid,
    need_columns,
    reference_line,
)
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.paper_lists import ABSENT, share
from dbeta_lib.reporting.style import GREY, INK, LIGHT, PAGE_MM, PALETTE, series_styles, styled

DOMAIN_LOOKS = {  # in the order of the legend
    "out-of-domain": (PALETTE[0], "o"),
    "in-domain": (PALETTE[1], "s"),
    "not known": (PALETTE[2], "^"),
    "untrained": (GREY, "X"),
}
LEGEND = {"untrained": "ours, without pre-training"}
DBETA = "D-BETA, printed"
OTHERS = "printed elsewhere or for other models"
PER_BLOCK = ["protocol", "dataset", "label_fraction", "lead_subset", "our_metric"]
_LABEL_MM, _ROW_MM = 88.0, 4.4


@dataclass(frozen=True)
class Row:
    """A line of a dot plot: a block's heading, or a result with its dots in `part`."""

    label: str
    part: pd.DataFrame
    heading: bool = False


def comparable(beside: pd.DataFrame) -> pd.DataFrame:
    """The rows of `paper_tables.joined` in which we have a result and somebody a printed number."""
    told = beside["number"].notna() | (beside["compared"] != "") | (beside["elsewhere"] != "")
    return beside[told & beside["our_value"].notna()].reset_index(drop=True)


@styled
def plot_beside_paper(beside: pd.DataFrame, *, title: str = "") -> Chart:
    """Printed numbers and our intervals: a block of rows for each question that both answered.

    `beside`: `paper_tables.joined(results)`. The heading of a block carries the printed numbers,
    D-BETA's with a dotted line through the block; below it a row per result of ours, coloured by
    what pre-training had read. Raises UsageError where nothing was run that is also printed.
    `chart.data`: the rows drawn, with `others`, the other printed numbers in points.
    """
    shown = comparable(beside)
    if shown.empty:
        raise UsageError("no result answers a printed question; nothing can be drawn")
    printed = paper.published()
    blocks = [of for _, of in shown.groupby(PER_BLOCK, sort=False, dropna=False)]
    others = [_others(printed, of.iloc[0]) for of in blocks]
    rows = [
        row
        for of in blocks
        for row in (
            Row(_question(of.iloc[0]), of, heading=True),
            *(Row(label, of.loc[[i]]) for i, label in zip(of.index, _labels(of))),
        )
    ]
    chart, axes = _rows(rows)
    starts = [y for y, row in enumerate(rows) if row.heading]
    for y, of, numbers in zip(starts, blocks, others):
        axes.plot(numbers, [y] * len(numbers), "|", color=INK, ms=7, mew=0.9, label=OTHERS)
        number = paper.POINTS * of["number"].iloc[0]
        if not math.isnan(number):
            axes.vlines(number, y, y + len(of) + 0.5, color=INK, ls=":", lw=1)
            axes.plot(number, y, "D", color=INK, ms=5, label=DBETA)
    for domain, (color, marker) in DOMAIN_LOOKS.items():
        chosen = [y for y, r in enumerate(rows) if not r.heading and _domain(r) == domain]
        part = pd.concat([rows[y].part for y in chosen]) if chosen else shown.iloc[:0]
        _dots(axes, part, chosen, color, marker, LEGEND.get(domain, f"ours, {domain}"), "our_")
    axes.set(xlabel=f"{_metrics(shown['our_metric'])} x {paper.POINTS}")
    headline(chart, title)
    legend_outside(chart, axes)
    told = [_told(numbers) for of, numbers in zip(blocks, others) for _ in of.index]
    chart.data = pd.concat(blocks).assign(others=told).reset_index(drop=True)
    return chart


@styled
def plot_demo(results: pd.DataFrame, *, title: str = "") -> Chart:
    """Demo results with all leads: a row per encoder, a block per task and protocol.

    `results`: `paper_tables.tables(...)[DEMO].frame`. Macro AUC alone, differences left out; the
    figure says DEMO across itself, for it may be seen without its caption. Raises UsageError where
    nothing is left. `chart.data`: the rows drawn.
    """
    need_columns(results, ["encoder", "note", "task", "protocol", "value"], "the demo results")
    kept = (results["metric"] == "macro_auc") & (results["lead_subset"] == "12")
    shown = results[kept & (results["against"] == "")]
    if shown.empty:
        raise UsageError("no demo result is a macro AUC of twelve leads; nothing can be drawn")
    rows = []
    for keys, of in shown.groupby(["task", "protocol", "data", "profile"], sort=False):
        task, protocol, data, profile = keys
        sizes = " and ".join(f"{n:,}" for n in sorted(of["n"].unique()))
        heading = f"{task}, {protocol} ({data}, profile {profile or 'not named'}, n = {sizes})"
        rows.append(Row(heading, of, heading=True))
        of = of.assign(note=of["note"].where(of["domain"] == "untrained", ""))
        names = ["encoder", "variant", "note"]
        best = of.groupby(names)["value"].max().sort_values(ascending=False, kind="stable")
        for encoder, variant, note in best.index:
            part = of[(of[names] == [encoder, variant, note]).all(axis=1)]
            told = filter(None, [encoder, without_digest(variant), note])
            rows.append(Row(", ".join(told), part))
    chart, axes = _rows(rows)
    _watermark(axes, "DEMO")
    shares = [share(f) for f in sorted(shown["label_fraction"].dropna().unique())]
    shares += [ABSENT] * bool(shown["label_fraction"].isna().any())
    for name, look in series_styles(shares).items():
        label = "without labels" if name == ABSENT else f"{name} of the labels"
        ys = [y for y, row in enumerate(rows) if not row.heading]
        of_share = [rows[y].part[rows[y].part["label_fraction"].map(share) == name] for y in ys]
        at = [y for y, part in zip(ys, of_share) for _ in part.index]
        _dots(axes, pd.concat(of_share), at, look["color"], look["marker"], label)
    reference_line(axes, 50, "chance = 50", upright=True)
    axes.set(xlabel=f"macro AUC x {paper.POINTS}, all 12 leads")
    headline(chart, f"DEMO: {title or 'made data, no evidence about patients'}")
    legend_outside(chart, axes)
    chart.data = shown.reset_index(drop=True)
    return chart


def _rows(rows: Sequence[Row]) -> tuple[Chart, Axes]:
    """An empty dot plot with named rows; headings are bold, on a light band."""
    chart = new_chart(PAGE_MM, 26 + _ROW_MM * len(rows))
    axes = chart.subplots()
    weights = ["bold" if row.heading else "normal" for row in rows]
    labels = [words.shorten(r.label, _LABEL_MM, TICK_PT, w) for r, w in zip(rows, weights)]
    axes.set_yticks(range(len(rows)), labels, fontsize=TICK_PT, parse_math=False)
    for label, weight in zip(axes.get_yticklabels(), weights):
        label.set_fontweight(weight)
    for y, row in enumerate(rows):
        if row.heading:
            axes.axhspan(y - 0.5, y + 0.5, color=LIGHT, linewidth=0, zorder=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.04)
    light_grid(axes, "x")
    return chart, axes


def _dots(
    axes: Axes, part: pd.DataFrame, y: Sequence[int], color: str, marker: str, label: str,
    prefix: str = "",
) -> None:  # fmt: skip
    """Values with their intervals, in points; nothing where there is none."""
    if part.empty:
        return
    value, low, high = (
        paper.POINTS * part[prefix + name].astype(float) for name in ("value", "low", "high")
    )
    axes.hlines(y, low, high, color=color, lw=1)
    axes.plot(value, y, marker, color=color, ms=4, label=label)


def _watermark(axes: Axes, text: str) -> None:
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=54,
        fontweight="bold", color="#B5503C", alpha=0.13, zorder=0.5, gid="watermark",
    )  # fmt: skip


def _question(row: pd.Series) -> str:
    """`Linear probe, PTB-XL Form, 1 % labels (printed number doubtful)`."""
    told = [paper.PROTOCOLS[row["protocol"]], row["dataset"]]
    told += [f"{share(row['label_fraction'])} labels"] * (not math.isnan(row["label_fraction"]))
    told += [f"{row['lead_subset']} leads"] * (row["lead_subset"] != "12")
    doubtful = " (printed number doubtful)" if "doubtful" in row["printed"] else ""
    return ", ".join(told) + doubtful


def _labels(of: pd.DataFrame) -> list[str]:
    """A label per row; those that are the same in two runs say where they are kept."""
    labels = [_ours(row) for _, row in of.iterrows()]
    folders = of["our_folder"] if "our_folder" in of else [""] * len(of)
    return [
        f"{label}, {folder}" if folder and labels.count(label) > 1 else label
        for label, folder in zip(labels, folders)
    ]


def _ours(row: pd.Series) -> str:
    """Encoder, seed, what else was asked, and rows: enough to find the line in the table."""
    told = [row["our_encoder"]]
    seed = row["our_pretraining_seed"]
    told += [] if pd.isna(seed) else [f"seed {seed:.0f}"]
    told += [without_digest(row["our_variant"])] if row["our_variant"] else []
    extra = row["our_protocol"].removeprefix(row["protocol"]).strip(" ,")
    told += [extra] if extra else []
    told += [row["our_note"]] if row["our_domain"] == "untrained" and row["our_note"] else []
    return ", ".join(told) + f" (n = {row['our_n']:,.0f})"


def _domain(row: Row) -> str:
    return row.part["our_domain"].iloc[0]


def _others(printed: pd.DataFrame, cell: pd.Series) -> list[float]:
    """The numbers that others printed for a question, and those of the paper's other models."""
    shares = printed["label_fraction"].map(lambda text: float(text or "nan"))
    asked = paper.same_share(shares, cell["label_fraction"])
    for name in ("data", "task", "protocol", "lead_subset"):
        asked &= printed[name] == cell[name]
    asked &= printed["our_metric"] == cell["our_metric"]
    own = (printed["group"] == "paper") & printed["row"].map(paper.is_dbeta)
    rows = printed[asked & ~own & (printed["row"] != paper.DIFFERENCE)]
    numbers = [paper.POINTS * paper.number(text) for text in rows["value"]]
    return sorted(number for number in numbers if not math.isnan(number))


def _told(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


def _metrics(names: pd.Series) -> str:
    """`macro AUC`, or several joined by "or"."""
    plain = {"macro_auc": "macro AUC", "challenge_score": "challenge score"}
    return " or ".join(plain.get(name, name.replace("_", " ")) for name in names.unique())
