import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting.plots_identification import plot_gallery_size, plot_genuine_impostor
from dbeta_lib.reporting.style import GREY


@pytest.fixture
def matrices():
    """Two encoders of 40 patients: one that tells them apart, one that hardly does."""
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 0.15, (40, 40)).clip(-0.5, 0.5) for _ in range(2)]
    return {"D-BETA": noise[0] + 0.5 * np.eye(40), "random encoder": noise[1] + 0.1 * np.eye(40)}


ERRORS = {"D-BETA": (0.04, 0.27), "random encoder": (0.39, 0.05)}


def test_each_kind_of_pair_sums_to_one_and_counts_the_right_cells(matrices, layout_faults):
    chart = plot_genuine_impostor(matrices, ERRORS, title="PTB-XL")
    data = chart.data.groupby("encoder")[["genuine", "impostor"]].sum()
    assert np.allclose(data, 1)
    part = chart.data[chart.data["encoder"] == "D-BETA"]
    middle = (part["left"] + part["right"]) / 2
    matrix = matrices["D-BETA"]
    assert np.isclose((part["genuine"] * middle).sum(), np.diag(matrix).mean(), atol=0.02)
    others = (matrix.sum() - np.trace(matrix)) / (40 * 39)
    assert np.isclose((part["impostor"] * middle).sum(), others, atol=0.02)
    assert layout_faults(chart) == []


def test_the_threshold_is_a_line_at_its_place_with_the_rate_in_words(matrices, texts_of, by_gid):
    chart = plot_genuine_impostor(matrices, ERRORS)
    lines = by_gid(chart, "reference")
    assert {line.get_xdata()[0] for line in lines if len(line.get_xdata()) == 2} >= {0.27, 0.05}
    assert "equal error rate 4.0 %, threshold 0.27" in texts_of(chart)
    assert "equal error rate 39.0 %, threshold 0.05" in texts_of(chart)


def test_one_encoder_and_a_name_of_any_length_fit(matrices, layout_faults):
    for name in ("hand-made features, ArcFace head", "dbeta-mini, pre-trained on " * 4):
        chart = plot_genuine_impostor({name: matrices["D-BETA"]}, {name: (0.04, 0.27)})
        assert layout_faults(chart) == []


def test_a_matrix_that_is_not_square_or_has_no_threshold_is_named(matrices):
    with pytest.raises(UsageError, match="similarity of a is"):
        plot_genuine_impostor({"a": np.zeros((3, 4))}, {"a": (0, 0)})
    with pytest.raises(UsageError, match="no rate and threshold of 'D-BETA'"):
        plot_genuine_impostor(matrices, {})
    with pytest.raises(UsageError, match="nothing can be drawn"):
        plot_genuine_impostor({}, {})


@pytest.fixture
def rates():
    rows = [
        {"encoder": name, "size": size, "k": k, "rate": min(1, level * k / size**0.2),
         "chance": min(1, k / size)}
        for name, level in (("D-BETA", 0.9), ("random encoder", 0.3))
        for k in (1, 5)
        for size in (128, 2, 16)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_curves_hold_the_rates_in_the_order_of_sizes(rates, layout_faults):
    chart = plot_gallery_size(rates, title="top-k")
    first = {line.get_label(): line for line in chart.axes[0].lines}
    assert first["D-BETA"].get_xdata().tolist() == [2, 16, 128]
    wanted = rates.query("k == 1 and encoder == 'D-BETA'").sort_values("size")["rate"]
    assert np.allclose(first["D-BETA"].get_ydata(), 100 * wanted)
    assert first["random encoder"].get_color() == GREY
    assert np.allclose(first["chance"].get_ydata(), [50, 6.25, 0.78125])
    assert len(chart.axes) == 2
    assert layout_faults(chart) == []


def test_a_missing_column_is_named(rates):
    with pytest.raises(UsageError, match="needs a column 'chance'"):
        plot_gallery_size(rates.drop(columns="chance"))
