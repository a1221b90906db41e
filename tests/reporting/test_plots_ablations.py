"""Plots of ablations show the tables that they are given, and nothing is cut off."""

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.verdict import Difference, verdicts
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.plots_ablations import LOOKS
from dbeta_lib.reporting.style import GREY, PALETTE

NAMES = ["baseline", "+ ETS", "full", "the full model with InfoNCE in the place of ETS, and more",
         "random encoder", "text alone"]  # fmt: skip


def marks(axes):
    """Drawn points: (color, filled) -> {row: x}."""
    found = {}
    for line in axes.lines:
        if line.get_marker() not in ("None", "|", None, ""):
            key = (line.get_color(), line.get_markerfacecolor() not in ("white", "none"))
            pairs = zip(line.get_ydata(), line.get_xdata(), strict=True)
            found.setdefault(key, {}).update({y: x for y, x in pairs if np.isfinite(x)})
    return found


def strokes(axes):
    return [line for line in axes.lines if line.get_marker() == "|"]


@pytest.fixture
def levels():
    rows = []
    for question in ("probe_1", "zero_shot"):
        for i, name in enumerate(NAMES):
            if question == "zero_shot" and i > 3:
                continue
            seeds = (0.6 + i / 50,) if i == 2 else (0.59 + i / 50, 0.61 + i / 50)
            rows.append([name, question, 0.6 + i / 50, 0.55, 0.75, seeds])
    return pd.DataFrame(rows, columns=["name", "question", "value", "low", "high", "per_seed"])


def test_levels_stand_in_their_rows_and_controls_are_grey(levels, layout_faults):
    chart = plots.plot_levels(levels, title="Table 6 remade")
    probe, zero_shot = chart.axes
    found = marks(probe)
    assert found[PALETTE[0], True] == pytest.approx({i: 0.6 + i / 50 for i in range(4)})
    assert found[GREY, True] == pytest.approx({i: 0.6 + i / 50 for i in (4, 5)})
    assert marks(zero_shot)[PALETTE[0], True].keys() == {0, 1, 2, 3}
    assert len(strokes(probe)) == 5, "a single seed needs no stroke"
    assert "strokes: seeds" in chart.legends[0].get_texts()[0].get_text()
    assert probe.get_title("left") == "linear probe,\n1 % of labels"
    assert chart.data["per_seed"][0] == "0.59 0.61"
    assert layout_faults(chart) == []


@pytest.fixture
def told():
    made = {
        "ETS added": (0.03, 1e-4, 5), "N3S added": (-0.02, 1e-3, 5),
        "the architecture of Flan-T5": (0.001, 0.9, 5), "InfoNCE": (0.05, 0.02, 1),
    }  # fmt: skip
    return verdicts({
        name: Difference(v, v - 0.02, v + 0.02, p, 0.95, (v,) * seeds, 200, 300, 2000)
        for name, (v, p, seeds) in made.items()
    })  # fmt: skip


def test_a_verdict_has_its_colour_and_few_seeds_a_hollow_mark(told, layout_faults, texts_of):
    chart = plots.plot_verdicts(told, title="What each part does")
    found = marks(chart.axes[0])
    assert found[LOOKS["helps"][0], True] == {0: 0.03}
    assert found[LOOKS["hurts"][0], True] == {1: -0.02}
    assert found[GREY, True] == {2: 0.001} and found[LOOKS["helps"][0], False] == {3: 0.05}
    wanted = {"helps, 0.0004", "hurts, 0.003", "cannot tell, 0.9", "helps, 0.04"}
    assert wanted <= set(texts_of(chart))
    assert layout_faults(chart) == []
    (line,) = (line for line in chart.axes[0].lines if line.get_gid() == "reference")
    assert set(line.get_xdata()) == {0}


def test_a_single_row_has_room_too(told, levels, layout_faults, recwarn):
    one = plots.plot_verdicts(told.iloc[3:], title="one")
    assert layout_faults(one) == []
    assert layout_faults(plots.plot_levels(levels[levels["name"] == "full"], title="one")) == []
    assert not [w for w in recwarn if "constrained_layout" in str(w.message)]


def test_matching_stands_beside_its_control(layout_faults):
    rows = [
        ["random", "random", 0.8, 0.52, (0.8,)], ["random", "far", 0.9, 0.6, (0.9,)],
        ["released leak", "far", 0.5, 0.5, (0.5,)], ["released leak", "leak", 0.97, 0.96, (0.97,)],
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["name", "texts", "accuracy", "shuffled", "per_seed"])
    chart = plots.plot_matching(table, title="who reads the ECG?")
    assert [axes.get_title("left") for axes in chart.axes] == [
        "wrong texts: random", "wrong texts: the farthest", "own text, wrong text's mask",
    ]  # fmt: skip
    far = marks(chart.axes[1])
    assert far[PALETTE[0], True] == pytest.approx({0: 90, 1: 50})
    assert far[GREY, False] == pytest.approx({0: 60, 1: 50})
    assert marks(chart.axes[2])[GREY, False] == pytest.approx({1: 96})
    assert layout_faults(chart) == []


def test_costs_are_bars_from_zero(layout_faults):
    table = pd.DataFrame(
        {"name": NAMES[:3], "train_seconds": [60, 70, 80], "peak_memory_mb": [1024, 2048, 512]}
    )
    chart = plots.plot_costs(table, title="what a row costs")
    widths = [[bar.get_width() for bar in axes.patches if bar.get_height() == 0.6]
              for axes in chart.axes]  # fmt: skip
    assert widths == [[60, 70, 80], [1, 2, 0.5]]
    assert layout_faults(chart) == []


def test_the_contrast_is_drawn_over_the_batch(layout_faults):
    rows = [[b, loss, b * b * k * 1e-8, b * b * k / 1e5]
            for b in (128, 1024, 8192) for k, loss in ((1, "ETS"), (1.5, "InfoNCE"))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["batch", "loss", "seconds", "peak_mb"])
    chart = plots.plot_contrast_cost(table, title="the contrast by itself")
    time, memory = chart.axes
    assert time.get_xscale() == time.get_yscale() == "log"
    assert np.allclose(time.lines[0].get_ydata(), [1e-5 * b * b for b in (128, 1024, 8192)])
    assert np.allclose(memory.lines[1].get_ydata(), table.loc[1::2, "peak_mb"])
    assert [text.get_text() for text in time.get_xticklabels()] == ["128", "1,024", "8,192"]
    assert layout_faults(chart) == []


def test_a_table_without_a_column_is_refused(levels, told):
    with pytest.raises(UsageError, match="needs a column 'per_seed'"):
        plots.plot_levels(levels.drop(columns="per_seed"))
    with pytest.raises(UsageError, match="no rows"):
        plots.plot_verdicts(told.iloc[:0])
