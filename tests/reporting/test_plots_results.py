import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.style import GREY

CLASSES = ["NORM", "MI", "STTC", "CD", "incomplete right bundle branch block, atypical, of old age"]


@pytest.fixture
def aucs():
    """Two encoders, five classes, the fourth without AUC."""
    rows = []
    for encoder, base in (("D-BETA", 0.8), ("random encoder", 0.6)):
        for i, name in enumerate(CLASSES):
            auc = base + 0.03 * i if i != 3 else np.nan
            low, high = auc - 0.05, auc + 0.04
            rows.append([encoder, name, auc, low, high, 10 * i])
    return pd.DataFrame(rows, columns=["encoder", "class", "auc", "low", "high", "n_pos"])


def dots(axes, label):
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return line


def test_classes_are_sorted_by_the_first_encoder_with_their_positives(aucs, layout_faults):
    chart = plots.plot_class_auc(aucs, title="zero-shot")
    names = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert names[0].startswith("incomplete right") and names[0].endswith("(n = 40)")
    assert names[1:] == ["STTC (n = 20)", "MI (n = 10)", "NORM (n = 0)", "CD (n = 30)"]
    assert layout_faults(chart) == []


def test_dots_and_intervals_are_those_of_the_table(aucs):
    axes = plots.plot_class_auc(aucs).axes[0]
    for encoder in ("D-BETA", "random encoder"):
        part = aucs[(aucs["encoder"] == encoder) & aucs["auc"].notna()]
        assert np.allclose(dots(axes, encoder).get_xdata(), part["auc"])
    ends = np.concatenate(
        [c.get_segments() for c in axes.collections if hasattr(c, "get_segments")]
    )
    assert np.allclose(ends[:, 0, 0], aucs["low"].dropna())
    assert np.allclose(ends[:, 1, 0], aucs["high"].dropna())
    assert dots(axes, "random encoder").get_color() == GREY


def test_encoders_of_one_class_lie_apart_in_its_row(aucs):
    axes = plots.plot_class_auc(aucs).axes[0]
    first, second = (dots(axes, name).get_ydata() for name in ("D-BETA", "random encoder"))
    assert (np.abs(first - second) > 0.3).all() and (np.round(first) == np.round(second)).all()


def test_chance_is_a_line_and_a_class_without_auc_says_so(aucs, texts_of):
    chart = plots.plot_class_auc(aucs)
    (line,) = (line for line in chart.axes[0].lines if line.get_gid() == "reference")
    assert set(line.get_xdata()) == {0.5}
    assert "no AUC: one value only" in [text.strip() for text in texts_of(chart)]


def test_one_encoder_needs_no_column_and_many_classes_fit(layout_faults):
    table = pd.DataFrame({"class": [f"C{i}" for i in range(44)], "auc": np.linspace(0.4, 1, 44)})
    table["low"], table["high"], table["n_pos"] = table["auc"] - 0.1, 1.0, 5
    assert layout_faults(plots.plot_class_auc(table)) == []


def test_a_missing_column_is_named(aucs):
    with pytest.raises(UsageError, match="needs a column 'low'"):
        plots.plot_class_auc(aucs.drop(columns="low"))
    with pytest.raises(UsageError, match="has no rows"):
        plots.plot_class_auc(aucs[:0])


@pytest.fixture
def efficiency():
    """1 and 10 %: three seeds; 100 %: one result with its interval."""
    rows = []
    for encoder, base in (("D-BETA", 0.75), ("random", 0.55)):
        for fraction, seeds in ((0.01, 3), (0.1, 3), (1.0, 1)):
            for seed in range(seeds):
                value = base + 0.03 * np.log10(100 * fraction) + 0.01 * seed
                rows.append([encoder, fraction, round(1357 * fraction), value, base, 0.9])
    return pd.DataFrame(
        rows, columns=["encoder", "label_fraction", "n_train", "value", "low", "high"]
    )


def test_label_efficiency_joins_means_over_seeds(efficiency, layout_faults):
    chart = plots.plot_label_efficiency(efficiency, chance=0.5, title="PTB-XL")
    axes = chart.axes[0]
    means = efficiency.query("encoder == 'D-BETA'").groupby("label_fraction")["value"].mean()
    assert np.allclose(dots(axes, "D-BETA").get_ydata(), means)
    assert np.allclose(dots(axes, "D-BETA").get_xdata(), means.index, rtol=0.05)
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "100"]
    assert layout_faults(chart) == []


def test_seeds_are_faint_dots_where_there_are_several(efficiency):
    axes = plots.plot_label_efficiency(efficiency).axes[0]
    faint = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in faint] == [6, 6]


def test_only_single_results_show_their_interval(efficiency):
    axes = plots.plot_label_efficiency(efficiency).axes[0]
    bars = [c.get_segments() for c in axes.collections]
    assert [len(segments) for segments in bars] == [1, 1]
    assert bars[0][0][:, 1] == pytest.approx([0.75, 0.9])


def test_label_efficiency_over_records_and_with_crowded_points(efficiency, layout_faults):
    chart = plots.plot_label_efficiency(efficiency, x="n_train")
    assert "records" in chart.axes[0].get_xlabel()
    many = pd.concat([efficiency.assign(n_train=n) for n in (8, 13, 14, 16, 64, 135, 140, 1357)])
    assert layout_faults(plots.plot_label_efficiency(many, x="n_train")) == []


def test_scores_are_sorted_and_the_true_class_is_marked(layout_faults):
    chart = plots.plot_score_bars(
        ["AF", "LBBB", "NORM"], [-3, 2, -1], truth={"AF"}, title="one ECG"
    )
    axes = chart.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["LBBB", "NORM", "AF"]
    marked, others = dots(axes, "labelled so"), dots(axes, "not labelled so")
    assert list(marked.get_xdata()) == [-3] and list(marked.get_ydata()) == [2]
    assert marked.get_color() != others.get_color()
    assert marked.get_marker() != others.get_marker()
    assert layout_faults(chart) == []


def test_scores_without_truth_have_no_legend_and_top_keeps_the_best():
    chart = plots.plot_score_bars(["a", "b", "c"], [1.0, 1.0, 3.0], top=2)
    assert chart.data["class"].tolist() == ["c", "a"] and not chart.legends
    with pytest.raises(UsageError, match="one score per name"):
        plots.plot_score_bars(["a"], [1.0, 2.0])


def test_prevalence_counts_labels_per_split(layout_faults):
    labels = pd.DataFrame({"MI": [1, 0, 0, 0], "NORM": [0, 1, 1, 1]})
    chart = plots.plot_prevalence(labels, ["test", "train", "train", "val"])
    data = chart.data.set_index(["class", "split"])
    assert data.loc[("NORM", "all"), "n"] == 3 and data.loc[("NORM", "all"), "share"] == 0.75
    assert data.loc[("NORM", "train"), "share"] == 1.0 and data.loc[("MI", "test"), "n"] == 1
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == [
        *("NORM (n = 3)", "MI (n = 1)"),
    ]
    legend = [text.get_text() for text in chart.legends[0].get_texts()]
    assert legend == ["train (n = 2)", "val (n = 1)", "test (n = 1)", "all records"]
    bars = [bar.get_width() for bar in chart.axes[0].patches if bar.get_height() == 0.6]
    assert bars == [75, 25]
    assert layout_faults(chart) == []


def test_no_labels_are_refused():
    with pytest.raises(UsageError, match="no labels to count"):
        plots.plot_prevalence(pd.DataFrame({"MI": []}))


def test_score_shift_draws_before_hollow_and_after_full_in_the_order_of_before(
    layout_faults, by_gid
):
    names, before, after = ["a", "b", "c"], [0.1, 0.9, 0.5], [0.4, 0.2, 0.5]
    chart = plots.plot_score_shift(names, before, after, truth={"c"}, title="moved")
    assert chart.data["class"].tolist() == ["b", "c", "a"]
    assert chart.data["true"].tolist() == [0, 1, 0]
    hollow, full = by_gid(chart, "before"), by_gid(chart, "after")
    assert all(line.get_markerfacecolor() == "white" for line in hollow)
    got = {
        kind: {y: x for line in lines for x, y in zip(*line.get_data())}
        for kind, lines in (("before", hollow), ("after", full))
    }
    assert got["before"] == {0: 0.9, 1: 0.5, 2: 0.1}
    assert got["after"] == {0: 0.2, 1: 0.5, 2: 0.4}
    assert layout_faults(chart) == []


def test_score_shift_refuses_lists_of_unequal_length():
    with pytest.raises(UsageError, match="2 names for 2 and 1 scores"):
        plots.plot_score_shift(["a", "b"], [1, 2], [1])
