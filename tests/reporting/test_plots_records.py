import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots

SENTENCES = ("atrial fibrillation", "linksschenkelblock $1 " * 3)


@pytest.fixture
def cohort():
    """40 ECGs, two sentences; ECG 7 fits the first best, ECG 30 the second."""
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(40, 2))
    scores[7, 0], scores[30, 1] = 9.0, 8.0
    ecgs = draw.normal(scale=0.1, size=(40, 12, 1000))
    ecgs[7, 1, 200] = 1.0
    reports = [f"report {i} " + "with many words " * (20 if i == 30 else 0) for i in range(40)]
    return scores, ecgs, reports


def test_the_best_ecg_of_each_sentence_is_drawn_with_its_own_report(
    cohort, by_gid, texts_of, layout_faults
):
    scores, ecgs, reports = cohort
    truth = scores > 1
    chart = plots.plot_ranking(SENTENCES, scores, ecgs, 100, reports=reports, truth=truth)
    shown = " ".join(texts_of(chart))
    assert "“atrial fibrillation”" in shown and "Its own report: report 7" in shown
    assert "Its own report: report 30" in shown and "…" in shown
    first, second = by_gid(chart, "lead-II")
    assert np.ptp(first.get_ydata() - 10 * ecgs[7, 1, :400]) < 1e-9, "10 mm/mV"
    assert np.allclose(np.diff(second.get_xdata()), 0.25), "25 mm/s at 100 Hz"
    bests = [marker.get_xdata()[0] for marker in by_gid(chart, "best")]
    assert bests == [9.0, 8.0]
    assert layout_faults(chart) == []


def test_the_table_ranks_every_ecg_for_every_sentence(cohort):
    scores, ecgs, _ = cohort
    chart = plots.plot_ranking(SENTENCES, scores, ecgs, 100)
    for q, sentence in enumerate(SENTENCES):
        part = chart.data[chart.data["sentence"] == sentence]
        assert part["ecg"].iloc[0] == (7, 30)[q] and part["rank"].tolist() == list(range(1, 41))
        assert (np.diff(part["similarity"]) <= 0).all()
        assert np.allclose(scores[part["ecg"], q], part["similarity"])
    assert (chart.data["true"] == -1).all()


def test_dots_are_parted_by_truth(cohort, texts_of):
    scores, ecgs, _ = cohort
    truth = np.zeros((40, 2), bool)
    truth[:5, 0] = True
    shown = texts_of(plots.plot_ranking(SENTENCES, scores, ecgs, 100, truth=truth))
    assert {"labelled so (5)", "others (35)", "labelled so (0)", "others (40)"} <= set(shown)


@pytest.mark.parametrize(("size", "scale"), [(1.6, "10 mm/mV"), (3.0, "5 mm/mV"), (9, "2.5 mm/mV")])
def test_a_large_ecg_is_drawn_smaller_and_the_scale_says_so(cohort, by_gid, texts_of, size, scale):
    scores, ecgs, _ = cohort
    flat = np.zeros_like(ecgs)
    flat[:, 6, 100] = size
    chart = plots.plot_ranking(SENTENCES, scores, flat, 100)
    assert f"25 mm/s, {scale}" in texts_of(chart)
    drawn = by_gid(chart, "lead-V1")[0].get_ydata()
    assert np.ptp(drawn) == pytest.approx(size * float(scale.split()[0]))


@pytest.mark.parametrize("wrong", ["scores", "ecgs", "truth"])
def test_shapes_that_do_not_fit_are_refused(cohort, wrong):
    scores, ecgs, _ = cohort
    given = {"scores": scores, "ecgs": ecgs, "truth": scores > 0}
    given[wrong] = given[wrong][:, :1] if wrong != "ecgs" else ecgs[:3]
    with pytest.raises(UsageError):
        plots.plot_ranking(SENTENCES, given["scores"], given["ecgs"], 100, truth=given["truth"])


def test_heart_rates_say_size_and_median_and_leave_out_the_unknown(layout_faults):
    rates = {"measured": np.array([61.0, 75, 75, 148, np.nan]), "known": np.array([60.0, 74, 76])}
    chart = plots.plot_heart_rates(rates, title="rates")
    legend = [text.get_text() for text in chart.legends[0].get_texts()]
    assert "measured: n = 4, median 75" in legend and "60 to 100 per minute" in legend
    assert len(chart.data) == 7
    heights = chart.axes[0].patches
    assert heights and chart.axes[0].get_xlim() == (60, 150)
    assert layout_faults(chart) == []
