import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots, style

LONG = "sinusrhythmus linkstyp erregungsrückbildungsstörungen anterolateral, digitaliseffekt " * 5


@pytest.fixture
def neighbours():
    near = [(f"sinus rhythm. normal ecg. {i}", 0.99 - i / 10) for i in range(4)]
    far = [(LONG, -0.4), ("schrittmacher ekg $1 $2", -0.3), ("", -0.2)]
    return plots.plot_neighbours("sinus rhythm. normal ecg.", near, far, max_lines=12)


def test_neighbours_show_every_text_and_cosine_inside_the_figure(neighbours, by_gid, layout_faults):
    cosines = [text.get_text() for text in by_gid(neighbours, "cosine")]
    assert cosines == ["+0.99", "+0.89", "+0.79", "+0.69", "−0.40", "−0.30", "−0.20"]
    shown = " ".join(text.get_text() for text in by_gid(neighbours, "text"))
    assert " ".join(LONG.split()) in shown and "$1 $2" in shown
    assert layout_faults(neighbours) == []


def test_bars_are_as_long_as_their_cosine(neighbours, by_gid):
    bars = by_gid(neighbours, "bar")
    lengths = np.array([np.diff(bar.get_xdata())[0] for bar in bars])
    cosines = neighbours.data["cosine"].to_numpy()
    assert np.allclose(lengths / lengths[0], cosines / cosines[0])


def test_very_long_neighbours_end_in_an_ellipsis(by_gid, layout_faults):
    chart = plots.plot_neighbours(LONG, [(LONG * 5, 0.9)], [(LONG * 5, -0.9)], max_lines=3)
    lines = [text.get_text() for text in by_gid(chart, "text")]
    assert len(lines) == 6 and lines[2].endswith("…")
    assert chart.data["text"][0] == LONG * 5
    assert layout_faults(chart) == []


def test_zipf_ranks_counts_and_says_how_much_the_top_ten_cover(layout_faults):
    counts = np.array([1] * 50 + [30, 20])
    chart = plots.plot_zipf({"cohort": counts, "other": np.array([5, 5])})
    line = chart.axes[0].lines[0]
    assert list(line.get_ydata()[:3]) == [30, 20, 1] and line.get_xdata()[0] == 1
    legend = [text.get_text() for text in chart.legends[0].get_texts()]
    assert legend[0] == "cohort: 52 texts in 100 records, top 10 = 58%"
    assert chart.data.query("reports == 'other'")["rank"].tolist() == [1, 2]
    assert layout_faults(chart) == []


def test_hubs_say_how_few_texts_are_half_of_the_negatives(layout_faults):
    counts = {"N3S": np.array([50, 30, 10, 5, 5, 0, 0, 0]), "random": np.full(8, 4)}
    chart = plots.plot_hubs(counts, title="hubs")
    legend = [text.get_text() for text in chart.legends[0].get_texts()]
    assert "N3S: half of the negatives are 1 of 8 texts" in legend
    assert "random: half of the negatives are 4 of 8 texts" in legend
    assert legend[-1] == "each text equally often"
    assert chart.data.query("sampler == 'N3S'")["share"].iloc[1] == pytest.approx(0.8)
    random, reference = chart.axes[1].lines[1:3]
    assert random.get_color() == style.GREY
    assert random.get_linestyle() != reference.get_linestyle()
    assert layout_faults(chart) == []


def test_cosines_give_the_share_of_near_duplicates(layout_faults):
    groups = {"random": np.r_[np.full(5, 0.99), np.linspace(-0.5, 0.5, 95)], "N3S": [-0.4, -0.3]}
    chart = plots.plot_cosines(groups)
    legend = [text.get_text() for text in chart.legends[0].get_texts()]
    assert "random: 5.0% above 0.95" in legend and "N3S: 0.0% above 0.95" in legend
    heights = [
        patch.get_xy()[:, 1].max() for patch in chart.axes[0].patches if patch.get_fill() is False
    ]
    assert max(heights) <= 100
    assert layout_faults(chart) == []


def test_no_numbers_to_draw_is_said(layout_faults):
    with pytest.raises(UsageError, match="no finite numbers to draw for random"):
        plots.plot_hubs({"random": np.array([])})
    with pytest.raises(UsageError, match="no finite numbers"):
        plots.plot_zipf({})
