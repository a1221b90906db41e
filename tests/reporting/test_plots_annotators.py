"""The figure of a model beside annotators: its ROC, their points, and what is said of them."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import annotators
from dbeta_lib.evaluation.zero_shot import summarise
from dbeta_lib.reporting import plots

CLASSES = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    y = (rng.random((200, 6)) < 0.1).astype(int)
    y[:, 4] = 0  # a class without positives
    scores = rng.normal(size=y.shape) + 2 * y
    result = summarise("gold", CLASSES, np.arange(200), y, scores, np.arange(200), 10)
    votes = {n: np.abs(y - (rng.random(y.shape) < 0.02)) for n in annotators.KINDS}
    return result, annotators.compare(result, votes, 10)


def test_lines_are_the_roc_and_points_the_annotators(measured):
    result, compared = measured
    chart = plots.plot_annotators(result, compared, model="D-BETA")
    axes = chart.axes[1]
    false, true, _ = roc_curve(result.y[:, 1], result.scores[:, 1], drop_intermediate=False)
    lines = {line.get_label().split(" (")[0]: line for line in axes.lines}
    assert np.allclose(lines["D-BETA"].get_xydata(), np.stack([false, true], axis=1))
    for one in compared:
        drawn = lines[one.annotator.replace("_", " ")].get_xydata()
        assert np.allclose(drawn, [[1 - one.specificity[1], one.sensitivity[1]]])
    shown = chart.data[chart.data["class"] == "RBBB"]
    assert len(shown) == len(false) + len(compared)


def test_every_annotator_is_inside_and_who_made_the_gold_standard_is_hollow(measured):
    result, compared = measured
    chart = plots.plot_annotators(result, compared)
    right = chart.axes[0].get_xlim()[1]
    assert right > np.nanmax([1 - one.specificity for one in compared])
    drawn = {line.get_label(): line for line in chart.axes[0].lines}
    assert {"cardiologist1 (made the gold standard)", "dnn (no human)"} <= set(drawn)
    faces = {
        line.get_label().split(" (")[0]: line.get_markerfacecolor() for line in chart.axes[0].lines
    }
    assert faces["cardiologist1"] == faces["cardiologist2"] == "none"
    assert faces["medical students"] != "none"


def test_a_class_without_positives_has_no_line_and_the_layout_holds(measured, layout_faults):
    chart = plots.plot_annotators(*measured, title="CODE-test: the model beside six annotators")
    assert "the model" not in [line.get_label() for line in chart.axes[4].lines]
    assert not layout_faults(chart)


def test_without_annotators_there_is_nothing_to_draw(measured):
    with pytest.raises(UsageError, match="no annotator"):
        plots.plot_annotators(measured[0], [])
