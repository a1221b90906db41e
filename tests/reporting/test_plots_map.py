import numpy as np
import pytest
from matplotlib.colors import to_hex

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.plots_map import NAMED, REST, to_data
from dbeta_lib.reporting.style import GREY, PALETTE

PLACES = np.random.default_rng(0).normal(size=(60, 2))
TEXT = PLACES[:9] + 5
UNIT = "heart rate [beats per minute]"


def drawn(chart, color):
    """Points of a colour, legend entries without data left out."""
    lines = [line for line in chart.axes[0].lines if to_hex(line.get_color()) == color.lower()]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines])


def test_the_commonest_names_have_colours_and_the_rest_is_grey(layout_faults, texts_of):
    names = np.array([f"class {min(i // 7, NAMED + 1)}" for i in range(60)])
    names[:3] = ""
    chart = plots.plot_map(PLACES, names, text=TEXT, title="a map")
    counts = {name: int((names == name).sum()) for name in set(names) - {""}}
    common = sorted(counts, key=lambda n: (-counts[n], list(names).index(n)))[:NAMED]
    for name, color in zip(common, PALETTE):
        assert np.allclose(drawn(chart, color), PLACES[names == name]), name
        assert f"{name} ({counts[name]})" in texts_of(chart)
    rest = ~np.isin(names, common)
    assert np.allclose(drawn(chart, REST), PLACES[rest])
    assert np.allclose(drawn(chart, GREY), TEXT) and "reports (9)" in texts_of(chart)
    assert layout_faults(chart) == []


def test_numbers_have_a_bar_with_their_unit_and_missing_ones_are_grey(layout_faults, texts_of):
    rates = np.linspace(50, 120, 60)
    rates[5] = np.nan
    chart = plots.plot_map(PLACES, rates, unit=UNIT, axis="PCA")
    (points,) = chart.axes[0].collections
    known = np.isfinite(rates)
    assert np.allclose(points.get_offsets(), PLACES[known])
    assert np.allclose(points.get_array(), rates[known])
    assert np.allclose(drawn(chart, REST), PLACES[5:6])
    assert UNIT in texts_of(chart) and "PCA 1" in texts_of(chart)
    assert layout_faults(chart) == []
    nothing = plots.plot_map(PLACES, np.full(60, np.nan), unit=UNIT)
    assert len(drawn(nothing, REST)) == 60


def test_the_chosen_points_are_ringed_the_first_one_larger(by_gid):
    chart = plots.plot_map(PLACES, np.array(["a"] * 60), chosen=[7, 3, 50])
    rest, first = by_gid(chart, "chosen")
    assert np.allclose(np.column_stack(first.get_data()), PLACES[[7]])
    assert np.allclose(np.column_stack(rest.get_data()), PLACES[[3, 50]])
    assert first.get_markersize() > rest.get_markersize()
    assert chart.data["chosen"].to_numpy().nonzero()[0].tolist() == [3, 7, 50]


def test_both_axes_have_one_scale_and_a_place_in_the_picture_finds_its_point():
    chart = plots.plot_map(PLACES, np.array(["a"] * 60), text=TEXT)
    chart.to_png()
    axes = chart.axes[0]
    one, other = axes.transData.transform([[0, 0], [1, 1]])
    assert np.isclose(*(other - one))
    for place in PLACES[:5]:
        x, y = axes.transData.transform(place) / (chart.bbox.width, chart.bbox.height)
        assert np.allclose(to_data(chart, x, 1 - y), place)


def test_the_table_behind_it_has_all_points():
    chart = plots.plot_map(PLACES, np.array(["a", "b"] * 30), text=TEXT)
    assert chart.data["kind"].value_counts().to_dict() == {"ECG": 60, "report": 9}
    assert np.allclose(chart.data[["x", "y"]][:60], PLACES)
    assert chart.data["colour"][:2].tolist() == ["a", "b"]


@pytest.mark.parametrize(("places", "colours"), [(PLACES, ["a"]), (PLACES[:, :1], ["a"] * 60)])
def test_shapes_that_do_not_fit_are_refused(places, colours):
    with pytest.raises(UsageError, match="points \\[n, 2\\]"):
        plots.plot_map(places, colours)
