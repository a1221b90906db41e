import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, lead_index
from dbeta_lib.reporting.ecg_paper import draw_ecg, draw_pair

MM = 25.4
REPORT = (
    "sinusrhythmus überdrehter linkstyp linksanteriorer hemiblock qrs(t) abnormal anteriorer "
    "infarkt alter unbestimmt t abnormal in anterolateralen ableitungen 4.46 unbestätigter bericht "
) * 4


@pytest.fixture
def ecg():
    """mV [12, 1000]: a different sine per lead, medians 0."""
    time = np.arange(1000) / 100
    return np.stack([0.3 * np.sin(2 * np.pi * (1 + i / 10) * time) for i in range(12)])


def traces(chart):
    return {
        name: [line for line in chart.axes[0].lines if line.get_gid() == f"lead-{name}"]
        for name in LEADS
    }


def test_paper_is_drawn_in_true_millimetres(ecg):
    chart = draw_ecg(ecg, 100, title="one", report=REPORT)
    axes = chart.axes[0]
    box = axes.get_position()
    width, height = chart.get_size_inches() * MM
    assert box.width * width == pytest.approx(np.diff(axes.get_xlim())[0], abs=1e-6)
    assert box.height * height == pytest.approx(np.diff(axes.get_ylim())[0], abs=1e-6)
    (rhythm,) = (line for line in traces(chart)["II"] if len(line.get_xdata()) > 500)
    assert np.ptp(rhythm.get_xdata()) == pytest.approx(999 / 100 * 25)


@pytest.mark.parametrize(("gid", "step"), [("grid-fine", 1), ("grid-bold", 5)])
def test_grid_lines_are_one_and_five_millimetres_apart(ecg, by_gid, gid, step):
    (grid,) = by_gid(draw_ecg(ecg, 100), gid)
    segments = np.array(grid.get_segments())
    upright = np.unique(segments[segments[:, 0, 0] == segments[:, 1, 0]][:, 0, 0])
    level = np.unique(segments[segments[:, 0, 1] == segments[:, 1, 1]][:, 0, 1])
    assert np.allclose(np.diff(upright), step) and np.allclose(np.diff(level), step)


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 20)])
def test_the_calibration_pulse_is_one_millivolt_and_a_fifth_of_a_second(ecg, by_gid, speed, gain):
    pulses = by_gid(draw_ecg(ecg, 100, speed=speed, gain=gain), "pulse")
    assert len(pulses) == 4
    for pulse in pulses:
        xs, ys = pulse.get_xdata(), pulse.get_ydata()
        top = xs[ys == ys.max()]
        assert np.ptp(ys) == pytest.approx(gain)
        assert np.ptp(top) == pytest.approx(0.2 * speed)


def test_three_by_four_shows_each_lead_in_its_own_quarter(ecg):
    drawn = traces(draw_ecg(ecg, 100))
    quarters = [("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6")]
    left = drawn["I"][0].get_xdata()[0]
    for quarter, names in enumerate(quarters):
        for name in names:
            line = drawn[name][0]
            assert line.get_xdata()[0] - left == pytest.approx(quarter * 62.5)
            shown = ecg[lead_index(name), quarter * 250 : quarter * 250 + 251]
            ys = line.get_ydata()
            assert np.allclose(np.diff(ys), 10 * np.diff(shown), atol=1e-9)
    assert len(drawn["II"]) == 2 and all(len(drawn[n]) == 1 for n in LEADS if n != "II")


def test_columns_stand_in_the_order_of_a_printout(ecg, by_gid):
    chart = draw_ecg(ecg, 100)
    labels = sorted(by_gid(chart, "lead-name"), key=lambda t: -t.get_position()[1])
    rows = {}
    for label in labels:
        rows.setdefault(round(label.get_position()[1] / 12), []).append(label)
    order = [
        [t.get_text() for t in sorted(r, key=lambda t: t.get_position()[0])] for r in rows.values()
    ]
    assert order == [
        ["I", "aVR", "V1", "V4"],
        ["II", "aVL", "V2", "V5"],
        ["III", "aVF", "V3", "V6"],
        ["II"],
    ]


@pytest.mark.parametrize(("layout", "rows"), [("12x1", 12), ("6x2", 6), ("3x4+rhythm", 4)])
def test_layouts_show_twelve_leads_and_a_pulse_per_row(ecg, by_gid, layout, rows, layout_faults):
    chart = draw_ecg(ecg, 100, layout=layout)
    assert len(by_gid(chart, "pulse")) == rows
    assert all(traces(chart)[name] for name in LEADS)
    assert layout_faults(chart) == []


def test_a_missing_lead_is_a_dashed_flat_line_with_a_note(ecg, by_gid, texts_of):
    mask = np.ones(12, bool)
    mask[lead_index("V2")] = False
    chart = draw_ecg(ecg, 100, lead_mask=mask)
    assert traces(chart)["V2"] == []
    (line,) = by_gid(chart, "no-V2")
    assert line.get_linestyle() == "--" and len(set(line.get_ydata())) == 1
    assert "V2 (not recorded)" in texts_of(chart)
    assert chart.data["V2"].isna().all()


def test_gaps_stay_gaps_and_an_empty_lead_counts_as_missing(ecg, by_gid):
    ecg[0, 100:120] = np.nan
    ecg[3] = np.nan
    ecg[7, 5] = np.inf
    chart = draw_ecg(ecg, 100)
    assert np.isnan(traces(chart)["I"][0].get_ydata()).sum() == 20
    assert len(by_gid(chart, "no-aVR")) == 1


def test_all_leads_missing_still_gives_a_sheet(ecg, layout_faults):
    assert layout_faults(draw_ecg(ecg, 100, lead_mask=[False] * 12)) == []


def test_a_constant_offset_is_taken_off_but_the_shape_is_kept(ecg):
    moved = traces(draw_ecg(ecg + 3.0, 100))["V1"][0].get_ydata()
    assert np.allclose(moved, traces(draw_ecg(ecg, 100))["V1"][0].get_ydata())


def test_taller_complexes_move_the_rows_apart_up_to_a_limit(ecg, by_gid):
    def least_distance(gain):
        bases = sorted(p.get_ydata()[0] for p in by_gid(draw_ecg(ecg * gain, 100), "pulse"))
        return np.diff(bases).min()

    assert least_distance(1) == 20 and least_distance(4) == 30 and least_distance(50) == 35


def test_what_runs_off_the_paper_is_named(ecg, texts_of):
    ecg[lead_index("V4"), 900] = 12.0
    ecg[lead_index("V3"), 100] = 12.0  # not in the time shown of V3
    notes = [text for text in texts_of(draw_ecg(ecg, 100)) if "mm/s" in text]
    assert notes == ["25 mm/s, 10 mm/mV · 100 Hz, 10 s · off the paper: V4"]


def test_names_keep_clear_of_traces(ecg, by_gid):
    ecg = ecg * 0.1
    ecg[:, 255:262] += 0.7  # a complex at the beginning of the second column
    chart = draw_ecg(ecg, 100)
    chart.canvas.draw()
    (label,) = (t for t in by_gid(chart, "lead-name") if t.get_text() == "aVL")
    box = label.get_window_extent().transformed(chart.axes[0].transData.inverted())
    line = traces(chart)["aVL"][0]
    xs, ys = line.get_xdata(), line.get_ydata()
    assert ys[(xs > box.x0) & (xs < box.x1)].max() < box.y0


def test_long_reports_and_titles_are_wrapped_inside(ecg, by_gid, layout_faults):
    chart = draw_ecg(ecg, 100, title="PTB-XL record 17 " * 12, report=REPORT)
    lines = by_gid(chart, "report")
    assert len(lines) > 3 and len(by_gid(chart, "title")) > 1
    assert " ".join(line.get_text() for line in lines) == " ".join(REPORT.split())
    assert layout_faults(chart) == []


def test_a_dollar_sign_in_a_report_is_no_formula(ecg, by_gid, layout_faults):
    chart = draw_ecg(ecg, 100, report="costs $5 and $6 {\\alpha}_1^")
    (line,) = by_gid(chart, "report")
    assert line.get_text() == "costs $5 and $6 {\\alpha}_1^" and not line.get_parse_math()
    assert layout_faults(chart) == []


def test_short_recordings_shrink_the_columns(ecg):
    drawn = traces(draw_ecg(ecg[:, :500], 100))
    assert drawn["aVR"][0].get_xdata()[0] - drawn["I"][0].get_xdata()[0] == pytest.approx(31.25)


def test_500_hz_takes_the_same_paper(ecg):
    fast = np.repeat(ecg, 5, axis=1)
    assert np.allclose(draw_ecg(fast, 500).get_size_inches(), draw_ecg(ecg, 100).get_size_inches())


def test_the_table_behind_holds_the_drawn_samples(ecg):
    data = draw_ecg(ecg, 100).data
    assert list(data.columns) == ["time_s", *LEADS] and len(data) == 1000
    assert np.allclose(data["V6"], ecg[11] - np.median(ecg[11]))


def test_a_pair_shares_scale_and_rows(ecg, layout_faults):
    chart = draw_pair(ecg, ecg * 4, 100, titles=("real", "made"), reports=(REPORT, "short"))
    left, right = chart.axes
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    bases = [[p.get_ydata()[0] for p in a.lines if p.get_gid() == "pulse"] for a in chart.axes]
    assert bases[0] == bases[1]
    assert left.get_position().x1 < right.get_position().x0
    assert chart.get_figwidth() * MM < 310
    assert list(chart.data["ecg"].unique()) == ["real", "made"]
    assert layout_faults(chart) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ecg": np.zeros((1000, 12))}, r"\[12, T\] in mV, not \[1000, 12\]"),
        ({"sampling_rate": 0}, "0 Hz"),
        ({"layout": "12x2"}, "did you mean '12x1'"),
        ({"lead_mask": [True] * 11}, "12 entries"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(ecg, change, sentence):
    given = {"ecg": ecg, "sampling_rate": 100} | change
    with pytest.raises(UsageError, match=sentence):
        draw_ecg(given.pop("ecg"), given.pop("sampling_rate"), **given)
