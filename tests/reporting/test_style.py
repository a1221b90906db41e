import itertools

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.reporting import style


def test_drawing_leaves_the_users_settings_alone():
    with mpl.rc_context({"font.size": 31, "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        with style.style_context():
            assert mpl.rcParams["svg.hashsalt"] == "dbeta"
        assert dict(mpl.rcParams) == before


def test_the_users_settings_do_not_reach_a_figure():
    with mpl.rc_context({"axes.grid": True, "lines.marker": "*"}), style.style_context():
        assert mpl.rcParams["axes.grid"] is False
        assert mpl.rcParams["lines.marker"] == "None"


def test_a_failing_plot_restores_the_settings():
    @style.styled
    def fails():
        raise ValueError("no data")

    before = mpl.rcParams["font.size"]
    with pytest.raises(ValueError, match="no data"):
        fails()
    assert mpl.rcParams["font.size"] == before


def test_no_font_of_the_style_is_under_seven_points():
    with style.style_context():
        sizes = [v for k, v in mpl.rcParams.items() if k.endswith("size") and "font" in k]
        sizes += [mpl.rcParams[f"{axis}tick.labelsize"] for axis in "xy"]
    assert min(size for size in sizes if not isinstance(size, str)) >= style.MIN_FONT_PT


def _simulate(colour, kind):
    """sRGB as seen with a missing cone: Viénot, Brettel and Mollon (1999), linear RGB matrices."""
    matrices = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    linear = np.array(mpl.colors.to_rgb(colour)) ** 2.2
    return np.clip(np.array(matrices[kind]) @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_the_first_five_colours_stay_apart_for_the_colour_blind(kind):
    seen = [_simulate(colour, kind) for colour in style.PALETTE[:5]]
    distances = [np.abs(a - b).max() for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 0.1


@settings(max_examples=30)
@given(st.lists(st.text("abrndom ", min_size=1, max_size=6), unique=True, max_size=20))
def test_no_two_series_look_the_same(names):
    styles = style.series_styles(names)
    looks = {
        tuple(map(str, s.values())) for name, s in styles.items() if not style.is_control(name)
    }
    assert len(looks) == sum(not style.is_control(name) for name in names)
    assert list(styles) == names


def test_controls_are_grey_and_take_no_colour_from_the_others():
    styles = style.series_styles(["random encoder", "D-BETA", "shuffled ECG"])
    assert styles["random encoder"]["color"] == styles["shuffled ECG"]["color"] == style.GREY
    assert styles["random encoder"]["marker"] != styles["shuffled ECG"]["marker"]
    assert styles["D-BETA"]["color"] == style.PALETTE[0]
