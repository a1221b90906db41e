import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.baselines import heart_rate
from dbeta_lib.evaluation.layout import layout
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.embedding_map import Points, draw
from dbeta_lib.reporting.widgets.records import Labels


@pytest.fixture(scope="module")
def places(model, store):
    return layout(model, store, method="pca", progress=False)


@pytest.fixture(scope="module")
def points(store, places):
    return Points(store, places, Labels(store), "pca")


@pytest.fixture
def panel(model, store, tmp_path):
    return widgets.embedding_map(store, model, cache_dir=tmp_path, method="pca")


def at(panel, place):
    """A place of the map as fractions of the picture, as the page tells it."""
    chart = panel.view.pictures[0][0]
    chart.to_png()
    x, y = chart.axes[0].transData.transform(place)
    return float(x / chart.bbox.width), float(1 - y / chart.bbox.height)


def drag(panel, path):
    panel.pictures[0]._handle_custom_msg({"path": path}, [])


def ringed(panel):
    return set(np.flatnonzero(panel.view.pictures[0][0].data["chosen"]))


def test_colours_are_what_the_store_says(points, store):
    records = store.records
    assert np.array_equal(points.colours("patient"), records["patient_id"].astype(str))
    folds = points.colours("fold")
    assert set(folds) == {"train", "val", "test"} or all(f.startswith("fold") for f in folds)
    assert np.allclose(points.colours("heart rate"), records["heart_rate"])
    one = points.colours("label", "Atrial fibrillation")
    has = store.labels("conditions")["atrial fibrillation"].to_numpy() == 1
    assert np.array_equal(one != "", has)
    frame = store.labels("conditions")
    for i, name in enumerate(points.colours("label")):
        assert name == "" or frame[name].iloc[i] == 1
    with pytest.raises(UsageError, match="did you mean 'patient'"):
        points.colours("patients")


def test_a_heart_rate_that_the_store_does_not_know_is_measured(model, mute):
    found = layout(model, mute, method="pca", progress=False)
    measured = Points(mute, found, Labels(mute), "pca").colours("heart rate")
    expected = [heart_rate(mute.ecg(row), 100) for row in range(len(mute))]
    assert np.allclose(measured, expected, equal_nan=True)


def test_the_map_shows_all_points_the_ring_and_the_ecg(points, store):
    view = draw(points, 5, by="fold", text=True, group=[5, 9, 11])
    chart, alt = view.pictures[0]
    ecgs = chart.data[chart.data["kind"] == "ECG"]
    assert np.allclose(ecgs[["x", "y"]], points.places.ecg)
    assert np.flatnonzero(chart.data["chosen"]).tolist() == [5, 9, 11]
    assert (chart.data["kind"] == "report").sum() == len(points.places.report_ids)
    record = store.records["record_id"][5]
    assert record in alt and record in view.pictures[1][1] and record in view.text


def test_a_click_shows_the_ecg_of_the_nearest_point(panel, places, png):
    before = png(panel, 1)
    wanted = int(np.argmax(places.ecg[:, 0]))
    drag(panel, [at(panel, places.ecg[wanted])])
    shown = panel.controls["row"].value
    assert np.allclose(places.ecg[shown], places.ecg[wanted])
    assert png(panel, 1) != before and ringed(panel) == {shown}
    assert len(panel.controls["row"].rows) == len(places.rows)


def test_a_line_around_some_points_chooses_from_these(panel, places):
    corner = np.median(places.ecg, axis=0)
    inside = (places.ecg < corner).all(axis=1)
    assert inside.any()
    low = places.ecg.min(axis=0) - 1
    path = [low, (corner[0], low[1]), corner, (low[0], corner[1])]
    drag(panel, [at(panel, place) for place in path])
    assert set(panel.controls["row"].rows) == set(places.rows[inside])
    assert ringed(panel) == set(np.flatnonzero(inside)[:200])
    panel.controls["row"].step("next")
    assert panel.controls["row"].value in places.rows[inside]
    panel.children[2].children[1].click()
    assert len(panel.controls["row"].rows) == len(places.rows) and len(ringed(panel)) == 1


def test_a_line_around_nothing_is_said_and_changes_nothing(panel, png):
    before = png(panel)
    drag(panel, [(0.001, 0.001), (0.004, 0.001), (0.004, 0.004)])
    assert "no ECG is inside the line" in panel.said.value and png(panel) == before


def test_a_click_on_a_report_chooses_the_ecgs_that_have_it(panel, places, store):
    panel.controls["text"].value = True
    ids = store.records["report_id"].to_numpy()
    counts = np.array([(ids == report).sum() for report in places.report_ids])
    for report in (int(counts.argmax()), int(counts.argmin())):
        drag(panel, [at(panel, places.text[report])])
        wanted = np.flatnonzero(ids == places.report_ids[report])
        assert panel.controls["row"].value in wanted
        assert len(wanted) == 1 or set(panel.controls["row"].rows) == set(wanted)


def test_nearest_walks_from_point_to_point_without_turning_back(panel, places):
    near = panel.children[2].children[0]
    walked = [panel.controls["row"].value]
    for _ in range(6):
        here = walked[-1]
        near.click()
        free = np.setdiff1d(places.rows, walked)
        distance = np.linalg.norm(places.ecg[free] - places.ecg[here], axis=1)
        walked.append(panel.controls["row"].value)
        got = np.linalg.norm(places.ecg[walked[-1]] - places.ecg[here])
        assert got == pytest.approx(distance.min(), abs=1e-6)
    assert len(set(walked)) == 7


@pytest.mark.parametrize("by", ["patient", "fold", "heart rate"])
def test_each_colour_changes_the_picture(panel, png, by):
    before = png(panel)
    panel.controls["by"].value = by
    assert png(panel) != before and f"coloured by {by}" in panel.pictures[0].alt


def test_one_label_is_set_apart_and_an_unknown_one_is_said(panel, png):
    before = png(panel)
    panel.controls["label"].value = "atrial fibrillation"
    assert png(panel) != before
    panel.controls["label"].value = "nothing known"
    assert "is no label of this store" in panel.said.value


def test_a_map_is_read_again_from_where_it_was_kept(model, store, tmp_path):
    for _ in range(2):
        widgets.embedding_map(store, model, cache_dir=tmp_path, method="pca")
    assert len(list(tmp_path.glob("map-*.npz"))) == 1


def test_a_store_without_reports_has_a_map_of_ecgs(model, mute):
    panel = widgets.embedding_map(mute, model, method="pca")
    assert panel.said.value == "" and panel.controls["text"].disabled


def test_labels_of_one_task_colour_the_map_and_are_named(panel, store):
    panel.controls["by"].value = "label"
    assert "(conditions; of several the rarest)" in panel.pictures[0].alt
    (name, *_) = Labels(store).names
    panel.controls["label"].value = name
    assert f"those labelled “{name}”" in panel.pictures[0].alt
    panel.controls["label"].value = ""
