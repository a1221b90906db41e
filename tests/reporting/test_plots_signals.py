import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import lead_index
from dbeta_lib.reporting import plots

TOKENS, PATCH = 62, 16


@pytest.fixture
def masked():
    """Target, prediction [12, 992] and mask [62] with 47 hidden tokens."""
    draw = np.random.default_rng(0)
    target = draw.normal(size=(12, TOKENS * PATCH))
    return target, 0.5 * target, draw.permutation(TOKENS) < 47


def lines_of(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_predictions_are_drawn_only_where_tokens_were_hidden(masked, layout_faults):
    target, prediction, mask = masked
    chart = plots.plot_reconstruction(target, prediction, mask, 100, title="record 17")
    assert [axes.get_title(loc="left") for axes in chart.axes] == ["I", "II", "V1", "V5"]
    hidden = np.repeat(mask, PATCH)
    for axes, name in zip(chart.axes, ("I", "II", "V1", "V5")):
        (drawn,) = lines_of(axes, "prediction")
        assert np.array_equal(~np.isnan(drawn.get_ydata()), hidden)
        row = lead_index(name)
        assert np.allclose(drawn.get_ydata()[hidden], prediction[row, hidden])
        assert np.allclose(lines_of(axes, "original")[0].get_ydata(), target[row])
    assert layout_faults(chart) == []


def test_the_error_beside_a_lead_is_the_mean_square_where_hidden(masked):
    target, prediction, mask = masked
    chart = plots.plot_reconstruction(target, prediction, mask, 100, leads=["V2"])
    slow = [
        (prediction[7, i] - target[7, i]) ** 2 for i in range(TOKENS * PATCH) if mask[i // PATCH]
    ]
    assert f"prediction {sum(slow) / len(slow):.2f}" in chart.axes[0].get_title(loc="right")


def test_shading_covers_the_hidden_seconds(masked):
    target, prediction, mask = masked
    chart = plots.plot_reconstruction(target, prediction, mask, 100)
    (shade,) = (c for c in chart.axes[0].collections if c.get_label() == "hidden")
    spans = [(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for p in shade.get_paths()]
    assert sum(b - a for a, b in spans) == pytest.approx(mask.sum() * PATCH / 100)
    for token in range(TOKENS):
        middle = (token + 0.5) * PATCH / 100
        assert any(a < middle < b for a, b in spans) == mask[token]


def test_two_predictions_have_two_colours_and_two_errors(masked, layout_faults):
    target, prediction, mask = masked
    named = {"before": 0 * target, "after": prediction}
    chart = plots.plot_reconstruction(target, named, mask, 100, leads=["V5"])
    before, after = (lines_of(chart.axes[0], name)[0] for name in named)
    assert before.get_color() != after.get_color()
    assert "before" in chart.axes[0].get_title(loc="right")
    assert list(chart.data.columns) == [
        *("time_s", "lead", "hidden", "original", "before", "after"),
    ]
    assert layout_faults(chart) == []


def test_nothing_hidden_and_all_hidden_are_drawn(masked):
    target, prediction, _ = masked
    for share in (np.zeros(TOKENS), np.ones(TOKENS)):
        chart = plots.plot_reconstruction(target, prediction, share, 100, leads=["I"])
        assert chart.data["hidden"].mean() == share.mean()


def test_shapes_that_do_not_fit_are_refused(masked):
    target, prediction, mask = masked
    with pytest.raises(UsageError, match="share one shape"):
        plots.plot_reconstruction(target, prediction[:, :-1], mask, 100)
    with pytest.raises(UsageError, match="no whole patches of 61 tokens"):
        plots.plot_reconstruction(target, prediction, mask[:-1], 100)


def test_lead_check_shows_median_and_quartiles_of_each_order(by_gid, layout_faults):
    draw = np.random.default_rng(1)
    residuals = {
        "standard": np.abs(draw.normal(0, 3e-4, 300)),
        "MIMIC (aVF before aVL)": draw.uniform(0.1, 1, 300),
    }
    chart = plots.plot_lead_check(residuals)
    for name, values in residuals.items():
        (dot,) = by_gid(chart, f"median-{name}")
        (box,) = by_gid(chart, f"box-{name}")
        floor = np.maximum(values, 1e-4)
        assert dot.get_xdata()[0] == pytest.approx(np.median(floor))
        assert box.get_xdata() == pytest.approx(np.quantile(floor, [0.25, 0.75]))
    assert "mV" in chart.axes[0].get_xlabel() and chart.axes[0].get_xscale() == "log"
    assert len(chart.data) == 600
    assert layout_faults(chart) == []


def test_residuals_of_exactly_zero_lie_at_the_floor(by_gid):
    chart = plots.plot_lead_check({"standard": np.zeros(5)})
    assert by_gid(chart, "median-standard")[0].get_xdata()[0] == 1e-4


def test_long_names_and_any_scale_stay_in_their_places(layout_faults):
    wave = np.sin(np.arange(1000) / 20)[None] * np.linspace(0.5, 1, 12)[:, None]
    hidden = np.arange(10) % 2
    named = {
        f"{when} the pre-training of many thousand steps": wave / 2 for when in ("before", "after")
    }
    for scale in (1e-3, 1.0, 3000.0):
        scaled = {name: scale * values for name, values in named.items()}
        chart = plots.plot_reconstruction(scale * wave, scaled, hidden, 100, title="record 17")
        assert layout_faults(chart) == []


def test_where_nothing_is_hidden_no_error_is_told(texts_of):
    wave = np.zeros((12, 1000))
    chart = plots.plot_reconstruction(wave, wave, np.zeros(10), 100)
    assert not [text for text in texts_of(chart) if "error" in text]
