import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.explorer import draw
from dbeta_lib.reporting.widgets.records import Labels


def find(panel, name):
    """A control of a panel by its label."""
    found, boxes = [], [panel]
    while boxes:
        box = boxes.pop()
        boxes.extend(getattr(box, "children", ()))
        if getattr(box, "description", None) == name:
            found.append(box)
    (control,) = found
    return control


@pytest.fixture
def panel(store):
    return widgets.explorer(store)


def test_the_paper_shows_the_record_in_millimetres_of_its_scale(store):
    for gain, speed in ((10.0, 25.0), (20.0, 50.0), (5.0, 12.5)):
        view = draw(store, Labels(store), 3, gain=gain, speed=speed)
        ((figure, alt),) = view.pictures
        assert f"{speed:g} mm/s, {gain:g} mm/mV" in alt and "12 leads" in alt
        axes = figure.axes[0]
        pulse = next(line for line in axes.lines if line.get_gid() == "pulse")
        xs, ys = np.diff(axes.transData.transform(pulse.get_xydata()), axis=0).T
        per_mm = figure.dpi / 25.4
        assert ys.max() / per_mm == pytest.approx(gain), "1 mV"
        assert xs[2] / per_mm == pytest.approx(0.2 * speed), "0.2 s"


def test_a_window_in_time_shows_these_seconds_and_never_beyond_the_end(store):
    view = draw(store, Labels(store), 3, layout="12x1", speed=50.0, start=99.0)
    figure, alt = view.pictures[0]
    assert "seconds 5 to 10" in alt
    shown = figure.data["V2"].to_numpy()
    ecg = store.ecg(3)[7, 500:]
    assert np.allclose(shown, ecg - np.median(ecg), atol=1e-6)


def test_chosen_leads_are_strips_and_no_lead_is_said(store, panel, png):
    view = draw(store, Labels(store), 3, leads=("II", "V1"))
    axes = view.pictures[0][0].axes[0]
    drawn = [line.get_gid() for line in axes.lines if str(line.get_gid()).startswith("lead-")]
    assert drawn == ["lead-II", "lead-V1"]
    before = png(panel)
    panel.controls["leads"].tick(("II",))
    assert png(panel) != before
    panel.controls["leads"].tick(())
    assert "tick at least one" in panel.said.value
    panel.controls["leads"].tick(LEADS)
    assert png(panel) == before and panel.said.value == ""


@pytest.mark.parametrize(("control", "value"), [
    ("layout", "6x2"), ("layout", "12x1"), ("gain", 20.0), ("gain", 5.0), ("speed", 50.0),
    ("speed", 12.5),
])  # fmt: skip
def test_each_control_changes_the_picture(panel, png, control, value):
    before = png(panel)
    panel.controls[control].value = value
    assert png(panel) != before and panel.said.value == ""


def test_another_speed_gives_the_seconds_room_to_scroll(panel, png):
    begin = panel.controls["start"]
    assert begin.max == 0
    panel.controls["speed"].value = 50.0
    assert begin.max == 5
    before = png(panel)
    begin.value = 2.5
    assert png(panel) != before and "seconds 2.5 to 7.5" in panel.pictures[0].alt
    panel.controls["speed"].value = 25.0
    assert begin.value == 0


def test_next_shows_another_record_with_its_report(panel, store, png):
    before = png(panel)
    panel.controls["row"].buttons["next"].click()
    assert png(panel) != before
    assert store.records["record_id"][1] in panel.pictures[0].alt
    assert store.records["report"][1] in panel.view.text


def test_a_label_filters_and_a_wrong_one_is_said(panel, store):
    only = find(panel, "only with the label")
    only.value = "atrial fibrillation"
    wanted = Labels(store).rows("atrial fibrillation")
    assert np.array_equal(panel.controls["row"].rows, wanted)
    assert "atrial fibrillation" in panel.view.text
    only.value = "atrial fibrilation"
    assert "did you mean &#x27;atrial fibrillation&#x27;" in panel.said.value
    only.value = ""
    assert len(panel.controls["row"].rows) == len(store) and panel.said.value == ""


def test_a_label_that_nobody_has_is_said(hostile):
    panel = widgets.explorer(hostile)
    find(panel, "only with the label").value = "never"
    assert "no record of this store has the label" in panel.said.value


def test_several_stores_are_switched(store, mute, png):
    panel = widgets.explorer(store, mute)
    panel.controls["row"].step("next")
    before, which = png(panel), find(panel, "store")
    assert [name for name, _ in which.options] == ["synthetic", "made "]
    which.value = "made "
    assert png(panel) != before and "ECG of record r0:" in panel.pictures[0].alt
    assert find(panel, "only with the label").options == ("has ", "never")
    which.value = "synthetic"
    assert "ECG of record s" in panel.pictures[0].alt


def test_report_ids_and_labels_are_escaped(hostile):
    panel = widgets.explorer(hostile)
    assert "<script" not in panel.view.text and "&lt;script&gt;" in panel.view.text


def test_an_empty_store_and_one_without_reports_are_no_traceback(empty, mute):
    assert "has no record to show" in widgets.explorer(empty).said.value
    assert "no report" in widgets.explorer(mute).view.text


def test_fifty_thousand_records(large):
    panel = widgets.explorer(large, row=40_000)
    panel.controls["row"].step("next")
    assert "record big40001" in panel.pictures[0].alt


def test_a_row_that_is_not_there_is_said(store):
    assert "row 5000 is not among" in widgets.explorer(store, row=5000).said.value
    with pytest.raises(UsageError):
        draw(store, Labels(store), 0, leads=())
