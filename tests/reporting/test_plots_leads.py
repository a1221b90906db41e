import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, derive_limb_leads
from dbeta_lib.reporting.ecg_paper import TRACE
from dbeta_lib.reporting.plots_leads import (
    COMPUTED,
    DROPPED,
    draw_kept_leads,
    plot_lead_classes,
    plot_lead_sets,
)

CLASSES = ["left bundle branch block", "atrial fibrillation", "never seen", "an infarction of old"]


@pytest.fixture
def ecg():
    """mV [12, 1000]; the limb leads contradict the laws."""
    time = np.arange(1000) / 100
    return np.stack([0.3 * np.sin(2 * np.pi * (1 + i / 10) * time) for i in range(12)])


def colors(chart, name):
    """Colours of a lead's traces and of its names on the paper."""
    traces = [line for line in chart.axes[0].lines if line.get_gid() == f"lead-{name}"]
    names = [t for t in chart.axes[0].texts if t.get_text() == name]
    assert traces and names
    return {to_hex(each.get_color()) for each in (*traces, *names)}


def test_kept_leads_are_black_and_the_others_grey(ecg, layout_faults):
    chart = draw_kept_leads(ecg, 100, "V2,I,II", title="three leads")
    for name in LEADS:
        expected = TRACE if name in ("I", "II", "V2") else DROPPED
        assert colors(chart, name) == {expected.lower()}, name
    assert np.allclose(chart.data[list(LEADS)].T, ecg - np.median(ecg, axis=1, keepdims=True))
    assert layout_faults(chart) == []


def test_derived_leads_are_blue_and_computed_from_the_two(ecg, texts_of):
    chart = draw_kept_leads(ecg, 100, ("I", "II", "aVL"), derived=True)
    for name in ("III", "aVR", "aVF"):
        assert colors(chart, name) == {COMPUTED.lower()}
    assert colors(chart, "aVL") == {TRACE.lower()} and colors(chart, "V1") == {DROPPED.lower()}
    law = derive_limb_leads(ecg)
    for name, row in (("III", law[2]), ("aVL", ecg[4])):
        assert np.allclose(chart.data[name], row - np.median(row)), name
    (said,) = [text for text in texts_of(chart) if text.startswith("Black")]
    assert "kept (3)" in said and "I and II (3)" in said and "left out (6)" in said


def test_all_twelve_leave_nothing_grey_and_an_unknown_lead_is_named(ecg, texts_of):
    chart = draw_kept_leads(ecg, 100, "12")
    assert not [text for text in texts_of(chart) if "Grey" in text]
    with pytest.raises(UsageError, match="'V9' is no lead name"):
        draw_kept_leads(ecg, 100, "I,V9")


SETS = {"12 leads": 12, "6 limb leads": 6, "I": 1, "I II V5": 3, "I II III aVR aVL V1 V2 V3 V4": 9}
PANELS = ["zero-shot", "linear probe", "linear probe fitted on 12 leads"]


@pytest.fixture
def sets():
    rows = []
    names = ("pre-trained", "pre-trained, derived leads", "random encoder")
    for i, (encoder, protocol) in enumerate(itertools.product(names, PANELS)):
        for leads, n in SETS.items():
            value = 0.6 + 0.02 * n + 0.001 * i
            rows.append([encoder, leads, n, protocol, value, value - 0.03, value + 0.02])
    columns = ["encoder", "leads", "n_leads", "protocol", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def test_sets_are_rows_from_most_to_fewest_leads(sets, layout_faults):
    chart = plot_lead_sets(sets, title="synthetic conditions")
    names = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert names[0] == "12 leads" and names[2:] == ["6 limb leads", "I II V5", "I"]
    assert names[1].startswith("I II III aVR")
    assert [axes.get_title(loc="left") for axes in chart.axes] == PANELS
    assert layout_faults(chart) == []


def test_dots_and_intervals_of_each_panel_are_the_table_s(sets):
    chart = plot_lead_sets(sets)
    order = ["12 leads", "I II III aVR aVL V1 V2 V3 V4", "6 limb leads", "I II V5", "I"]
    for axes, protocol in zip(chart.axes, PANELS, strict=True):
        for encoder in sets["encoder"].unique():
            (line,) = [line for line in axes.lines if line.get_label() == encoder]
            part = sets[(sets["encoder"] == encoder) & (sets["protocol"] == protocol)]
            assert np.allclose(line.get_xdata(), part["value"])
            assert [order[round(y)] for y in line.get_ydata()] == part["leads"].tolist()
        bars = np.concatenate([c.get_segments() for c in axes.collections])
        mine = sets[sets["protocol"] == protocol]
        assert np.allclose(np.sort(bars[:, 0, 0]), np.sort(mine["low"]))
        assert np.allclose(np.sort(bars[:, 1, 0]), np.sort(mine["high"]))
    assert len(chart.data) == len(sets) and chart.data["leads"].iloc[0] == "12 leads"


@pytest.fixture
def classes():
    """Two leads beside the twelve; the third class has no AUC, the last differs clearly in V1."""
    rows = []
    for leads, worse in (("12 leads", 0.0), ("aVR", 0.02), ("V1", 0.3)):
        for i, name in enumerate(CLASSES):
            auc = np.nan if i == 2 else 0.7 + 0.05 * i - worse
            change = np.nan if leads == "12 leads" else -worse if i != 2 else np.nan
            half = 0.1
            rows.append([name, leads, 10 * i, auc, change, change - half, change + half])
    columns = ["class", "leads", "n_pos", "auc", "change", "change_low", "change_high"]
    return pd.DataFrame(rows, columns=columns)


def test_cells_show_auc_and_points_lost_and_bold_is_beyond_chance(classes, layout_faults):
    chart = plot_lead_classes(classes, title="zero-shot")
    upper, lower = chart.axes[:2]
    names = [label.get_text() for label in upper.get_yticklabels()]
    assert [name.split(" (")[0] for name in names] == [CLASSES[i] for i in (3, 1, 0, 2)]
    assert [label.get_text() for label in upper.get_xticklabels()] == ["12", "aVR", "V1"]
    assert [t.get_text() for t in upper.texts] == [
        *(".85", ".83", ".55"), *(".75", ".73", ".45"), *(".70", ".68", ".40"),
    ]  # fmt: skip
    assert [t.get_text() for t in lower.texts] == ["−2", "−30"] * 3
    bold = [
        (int(t.get_position()[1]), t.get_text()) for t in lower.texts if t.get_weight() == "bold"
    ]
    assert bold == [(0, "−30"), (1, "−30")], "in V1 alone, and not of the class without positives"
    assert layout_faults(chart) == []


def test_both_colour_scales_are_centred(classes):
    chart = plot_lead_classes(classes)
    for axes, centre in zip(chart.axes[:2], (0.5, 0.0), strict=True):
        (image,) = axes.collections
        assert image.norm(centre) == pytest.approx(0.5)
        assert image.norm.vmax - centre == pytest.approx(centre - image.norm.vmin)
        red, green, blue, _ = image.cmap(image.norm(centre))
        assert min(red, green, blue) > 0.9, "the centre is white"
        low, high = image.cmap(0.1), image.cmap(0.9)
        assert low[0] > low[2] and high[2] > high[0], "red is worse, blue is better"


def test_many_classes_and_all_leads_fit(layout_faults):
    sampler = np.random.default_rng(0)
    table = pd.DataFrame(
        list(itertools.product(("12 leads", *LEADS), [f"class number {i}" for i in range(23)])),
        columns=["leads", "class"],
    ).assign(n_pos=1234)
    table["auc"] = sampler.uniform(0.2, 1.0, len(table))
    table["change"] = np.where(table["leads"] == "12 leads", np.nan, table["auc"] - 0.7)
    table["change_low"], table["change_high"] = table["change"] - 0.01, table["change"] + 0.01
    chart = plot_lead_classes(table, title="many")
    assert layout_faults(chart) == [] and len(chart.data) == len(table)


def test_long_names_of_sets_stand_upright(classes, layout_faults):
    names = {"aVR": "6 limb leads", "V1": "I II III aVR aVL aVF V1 V2 V3 V4"}
    chart = plot_lead_classes(classes.replace({"leads": names}))
    assert {label.get_rotation() for label in chart.axes[0].get_xticklabels()} == {90}
    assert layout_faults(chart) == []


def test_a_missing_column_is_named(sets, classes):
    with pytest.raises(UsageError, match="needs a column 'n_leads'"):
        plot_lead_sets(sets.drop(columns="n_leads"))
    with pytest.raises(UsageError, match="needs a column 'auc'"):
        plot_lead_classes(classes.drop(columns="auc"))
