import math

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.plots_training import LOOKS, PANELS
from dbeta_lib.reporting.style import GREY


@pytest.fixture
def curves():
    """150 rows of every column that a run logs; validation in every tenth."""
    step = np.arange(150) * 10
    fall = np.exp(-step / 500)
    table = pd.DataFrame({"step": step, "mlm": 2 + 6 * fall, "mem": 0.4 + fall, "etm": 0.3 + fall})
    table["ets"], table["lr"] = 1 + fall, 5e-4 * fall
    table["total"] = table[["mlm", "mem", "etm", "ets"]].sum(axis=1)
    table["etm_accuracy"] = 0.9 - 0.4 * fall
    for _, _, columns in PANELS:
        for column in columns:
            if column not in table:
                table[column] = np.where(step % 100 == 0, 0.5 + fall, np.nan)
    return table


CHANCE = {"mlm": (math.log(4000), "ln V"), "etm": (math.log(2), "ln 2"), "mem": 1.0}


def panel(chart, title):
    (axes,) = (a for a in chart.axes if a.get_title(loc="left") == title)
    return axes


def test_every_loss_has_its_panel_with_unit_and_step(curves, layout_faults):
    chart = plots.plot_curves(curves, CHANCE, title="pre-training")
    named = [axes for axes in chart.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in named] == [name for name, _, _ in PANELS]
    assert all(axes.get_ylabel() and axes.get_xlabel() == "step" for axes in named)
    assert layout_faults(chart) == []


def test_chance_is_drawn_at_its_value_and_named(curves):
    chart = plots.plot_curves(curves, CHANCE)
    for title, value, name in (("ETM", math.log(2), "ln 2"), ("MEM", 1.0, "1")):
        axes = panel(chart, title)
        (line,) = (line for line in axes.lines if line.get_gid() == "reference")
        assert line.get_ydata()[0] == pytest.approx(value)
        assert name in axes.get_title(loc="right")
        assert axes.get_ylim()[0] <= 0 < value < axes.get_ylim()[1]
    assert not [line for line in panel(chart, "ETS").lines if line.get_gid() == "reference"]


def test_etm_accuracy_stands_beside_its_shuffled_controls(curves, texts_of):
    axes = panel(plots.plot_curves(curves), "ETM accuracy")
    by_label = {line.get_label(): line for line in axes.lines}
    controls = [label for label in LOOKS if label.startswith("control")]
    assert len(controls) == 2
    assert all(by_label[label].get_color() == GREY for label in controls)
    assert "control: far texts, ECGs shuffled" in texts_of(axes.figure)


def test_dense_curves_get_a_running_median_that_a_spike_does_not_move(curves):
    curves.loc[70, "total"] = 1e6
    axes = panel(plots.plot_curves(curves), "total")
    (median,) = (line for line in axes.lines if "median" in line.get_label())
    assert median.get_ydata().max() < 20 and axes.get_ylim()[1] < 1e3


def test_sparse_validation_is_points_at_the_measured_steps(curves):
    axes = panel(plots.plot_curves(curves), "MLM")
    (line,) = (line for line in axes.lines if line.get_label() == "validation")
    assert list(line.get_xdata()) == list(range(0, 1500, 100))


@pytest.mark.parametrize("columns", [["mlm"], ["mlm", "mem", "etm"], ["total", "mlm", "etm", "lr"]])
def test_missing_columns_leave_their_panel_out(curves, columns, layout_faults):
    chart = plots.plot_curves(curves[["step", *columns]], CHANCE)
    assert sum(axes.axison for axes in chart.axes) == len(columns)
    assert layout_faults(chart) == []


def test_a_table_without_known_columns_is_refused():
    with pytest.raises(UsageError, match="needs a column 'step'"):
        plots.plot_curves(pd.DataFrame({"mlm": [1.0]}))
    with pytest.raises(UsageError, match="none of the columns total"):
        plots.plot_curves(pd.DataFrame({"step": [1], "loss": [1.0], "mlm": [np.nan]}))


def test_the_schedule_names_its_phases_over_their_steps(layout_faults, texts_of):
    rates = np.r_[np.linspace(0, 5e-5, 100), np.full(400, 5e-5), np.geomspace(5e-5, 1e-6, 500)]
    phases = [("warm-up", 0, 100), ("hold", 100, 500), ("decay", 500, 1000)]
    chart = plots.plot_schedule(rates, phases, title="tri-stage")
    (line,) = chart.axes[0].lines
    assert np.allclose(line.get_ydata(), rates)
    assert {"hold", "decay"} <= set(texts_of(chart))
    assert "10^{-5}" in chart.axes[0].get_ylabel()
    assert len(chart.data) == 1000
    assert layout_faults(chart) == []


def test_an_empty_schedule_is_refused():
    with pytest.raises(UsageError, match="one learning rate per step"):
        plots.plot_schedule([])


def test_both_similarity_matrices_share_one_scale_around_zero(layout_faults):
    draw = np.random.default_rng(0)
    before, after = draw.normal(size=(8, 8)), draw.normal(size=(8, 8)) + 9 * np.eye(8)
    labels = [f"report {i} with $ and a rather long text " * 6 for i in range(8)]
    chart = plots.plot_similarity(before, after, labels)
    images = [image for axes in chart.axes for image in axes.images]
    assert len(images) == 2
    reach = np.abs([before, after]).max()
    assert all(image.get_clim() == pytest.approx((-reach, reach)) for image in images)
    assert np.allclose(images[1].get_array(), after)
    assert chart.axes[-1].get_ylabel() == "similarity (logit)"
    row = chart.data.query("when == 'after pre-training' and ecg == 3 and report == 5")
    assert row["similarity"].item() == after[2, 4] and row["text"].item() == labels[4]
    assert layout_faults(chart) == []


def test_many_reports_are_numbered_but_not_listed(by_gid, layout_faults):
    n = 40
    chart = plots.plot_similarity(np.eye(n), np.eye(n), ["text"] * n)
    assert by_gid(chart, "report") == [] and layout_faults(chart) == []


def test_matrices_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"3 labels need two similarity matrices \[3, 3\]"):
        plots.plot_similarity(np.eye(3), np.eye(4), ["a", "b", "c"])
