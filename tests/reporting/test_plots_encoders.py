"""Plots of text encoders show the tables that they are given, and nothing is cut off."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.text_pairs import load_pairs, pair_table
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.plots_encoders import LANGUAGES, LOOKS, spread
from dbeta_lib.reporting.style import GREY

SIZES = {"T5 narrow": 0.03, "BERT tiny": 0.66, "DeBERTa tiny": 0.66, "MiniLM": 22.7, "MPNet": 109,
         "BERT base": 109, "Flan-T5 small from int8": 35, "Flan-T5 large": 341}  # fmt: skip


@pytest.fixture
def gains():
    rows = []
    for number, (name, millions) in enumerate(SIZES.items()):
        for frozen in (False, True):
            value = number / 100 - 0.03 - 0.005 * frozen
            weights = "drawn here" if millions < 1 else "published"
            rows.append([name + ", frozen" * frozen, value, value - 0.02, value + 0.02,
                         millions * 1e6, weights, frozen, (value, value)])  # fmt: skip
    head = ["name", "value", "low", "high", "parameters", "weights", "frozen", "per_seed"]
    return pd.DataFrame(rows, columns=head).set_index("name")


def marks(axes):
    """Drawn marks: (colour, marker) -> the values along y, NaN and leaders left out."""
    return {
        (line.get_color(), line.get_marker()): list(line.get_ydata())
        for line in axes.lines
        if line.get_marker() in ("o", "s", "*", "^")
    }


def test_every_gain_has_its_mark_its_interval_and_its_name(gains, layout_faults, texts_of):
    chart = plots.plot_size_gain(gains, reference=("T5 tiny", 0.58e6), title="Size against gain")
    axes = chart.axes[0]
    found = marks(axes)
    for (weights, frozen), (color, marker, _) in LOOKS.items():
        part = gains[(gains["weights"] == weights) & (gains["frozen"] == frozen)]
        assert found[color, marker] == pytest.approx(part["value"].tolist())
    assert found["black", "*"] == [0]
    assert sum(len(lines.get_segments()) for lines in axes.collections) == len(gains)
    assert {*SIZES, "T5 tiny"} <= set(texts_of(chart))
    assert layout_faults(chart) == []
    assert chart.data["name"].tolist() == gains.index.tolist()


def test_a_line_leads_to_the_size_itself(gains, by_gid):
    chart = plots.plot_size_gain(gains, reference=("T5 tiny", 0.58e6))
    low, high = np.log(chart.axes[0].get_xlim())
    feet = sorted(line.get_xdata()[0] for line in by_gid(chart, "leader"))
    sizes = sorted([*SIZES.values(), 0.58])
    assert feet == pytest.approx([(np.log(size) - low) / (high - low) for size in sizes])


def test_a_frozen_reference_stands_in_its_own_column(gains):
    chart = plots.plot_size_gain(gains, reference=("T5 tiny, frozen", 0.58e6))
    assert [t.get_text() for t in chart.axes[0].texts].count("T5 tiny") == 1


def test_a_table_without_gains_or_columns_is_named(gains):
    with pytest.raises(UsageError, match="has no rows"):
        plots.plot_size_gain(gains.iloc[:0], reference=("T5 tiny", 1e6))
    with pytest.raises(UsageError, match="needs a column 'parameters'"):
        plots.plot_size_gain(gains.drop(columns="parameters"), reference=("T5 tiny", 1e6))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=25), st.floats(0.001, 0.2))
def test_columns_keep_their_distance_their_order_and_the_axes(wanted, gap):
    wanted = np.sort(wanted)
    at = spread(wanted, gap)
    room = min(gap, 1 / max(len(wanted) - 1, 1))
    assert (np.diff(at) >= room - 1e-9).all()
    assert at.min() >= -1e-9 and at.max() <= 1 + 1e-9
    if len(wanted) == 1 or np.diff(wanted).min() >= gap:
        assert at == pytest.approx(wanted)


@pytest.fixture
def known():
    pairs, draw = load_pairs(), np.random.default_rng(0)
    names = ["control: words alone", *(f"{n}: D-BETA's text features" for n in SIZES)]
    return pair_table(pairs, {n: draw.normal(size=len(pairs)) for n in names}, resamples=20)


def test_both_questions_stand_side_by_side_in_both_languages(known, layout_faults):
    chart = plots.plot_text_pairs(known, title="What text encoders take for the same")
    names = list(dict.fromkeys(known["encoder"]))
    for axes, against in zip(chart.axes, ("unrelated", "opposite"), strict=True):
        for points, language in zip(axes.collections[1::2], LANGUAGES, strict=True):
            part = known[(known["against"] == against) & (known["language"] == language)]
            x, y = np.asarray(points.get_offsets()).T
            assert x == pytest.approx(part["value"].tolist())
            assert np.round(y).tolist() == [names.index(n) for n in part["encoder"]]
            colors = points.get_facecolors()
            grey = tuple(int(GREY[i : i + 2], 16) / 255 for i in (1, 3, 5))
            assert tuple(colors[0][:3]) == pytest.approx(grey)  # the control
            assert tuple(colors[1][:3]) != pytest.approx(grey)
    assert layout_faults(chart) == []
    assert len(chart.data) == len(known)
