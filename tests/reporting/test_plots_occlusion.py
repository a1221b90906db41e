import numpy as np
import pytest
from matplotlib.colors import to_hex

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.occlusion import Occlusion
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting import plots
from dbeta_lib.reporting.style import PALETTE

RNG = np.random.default_rng(0)
ECG = RNG.normal(0, 0.3, (12, 1000))


@pytest.fixture
def found():
    """Falls of pieces of 2 s; lead V3 was not recorded."""
    pieces, leads = RNG.normal(0, 0.1, (12, 5)), RNG.normal(0, 0.3, 12)
    pieces[8], leads[8] = np.nan, np.nan
    return Occlusion(1.5, np.arange(0, 11, 2.0), pieces, RNG.normal(0, 0.5, 5), leads)


def test_pieces_are_shaded_and_sums_are_bars(found, layout_faults, by_gid):
    chart = plots.plot_occlusion(ECG, 100, found, title="why “normal ecg”")
    strips, beside, beneath, _ = chart.axes
    (shades,) = strips.collections[:1]
    assert np.allclose(shades.get_array().filled(9.0), np.nan_to_num(found.pieces, nan=9.0))
    low, high = shades.get_clim()
    assert low == -high == -np.nanmax(np.abs(found.pieces))
    assert [bar.get_width() for bar in beside.patches] == pytest.approx(np.nan_to_num(found.leads))
    assert [bar.get_height() for bar in beneath.patches] == pytest.approx(found.seconds)
    for bar, fall in zip(beneath.patches, found.seconds):
        assert (to_hex(bar.get_facecolor()) == PALETTE[1].lower()) == (fall > 0)
    assert layout_faults(chart) == []


def test_leads_stand_in_their_strips_from_the_top_down(found, by_gid):
    chart = plots.plot_occlusion(ECG, 100, found)
    labels = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert labels == list(LEADS) and chart.axes[0].yaxis_inverted()
    for row, name in enumerate(LEADS):
        (trace,) = by_gid(chart, f"lead-{name}")
        assert np.abs(trace.get_ydata() - row).max() <= 0.5
        shape = -np.corrcoef(trace.get_ydata(), ECG[row])[0, 1]
        assert shape == pytest.approx(1)


def test_the_table_behind_it_has_pieces_sums_and_leads(found):
    table = plots.plot_occlusion(ECG, 100, found).data
    assert len(table) == 12 * 5 + 5 + 12
    piece = table[(table["lead"] == "II") & (table["start_s"] == 4) & (table["stop_s"] == 6)]
    assert piece["fall"].item() == found.pieces[1, 2]
    assert np.allclose(table[table["lead"] == "all"]["fall"], found.seconds)


def test_an_ecg_that_does_not_fit_is_refused(found):
    with pytest.raises(UsageError, match="of 10 s, the ECG of 9 s"):
        plots.plot_occlusion(ECG[:, :900], 100, found)


def test_nothing_that_falls_is_drawn_too(layout_faults):
    nothing = Occlusion(0.0, np.arange(0, 11, 2.0), np.zeros((12, 5)), np.zeros(5), np.zeros(12))
    assert layout_faults(plots.plot_occlusion(np.zeros((12, 1000)), 100, nothing)) == []


def test_what_was_not_recorded_is_not_drawn(found):
    ecg = ECG.copy()
    ecg[11], ecg[:, 500:] = np.nan, np.nan
    chart = plots.plot_occlusion(ecg, 100, found)
    drawn = {line.get_gid(): line.get_ydata() for line in chart.axes[0].lines}
    assert "lead-V6" not in drawn
    assert np.isfinite(drawn["lead-I"][:500]).all() and np.isnan(drawn["lead-I"][500:]).all()
