import time

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.controls import LeadBoxes
from dbeta_lib.reporting.widgets.records import (
    Labels,
    RecordPicker,
    about,
    drawn_ecg,
    held_out_rows,
    leads_of,
)
from dbeta_lib.reporting.widgets.shell import Sentence


@pytest.fixture
def picker(store):
    return RecordPicker(store, store.rows("train")[:5], Sentence())


def test_previous_and_next_go_round_and_all_controls_agree(picker, store):
    rows = store.rows("train")[:5]
    seen = []
    for _ in range(6):
        picker.buttons["next"].click()
        seen.append(picker.value)
        assert picker.name.value == store.records["record_id"][picker.value]
        assert picker.slider.value == list(rows).index(picker.value) + 1
        assert picker.slider.readout == f"{picker.slider.value:.0f} of 5"
    assert seen == [*rows[1:], rows[0], rows[1]]
    picker.buttons["previous"].click()
    picker.buttons["previous"].click()
    assert picker.value == rows[-1]


def test_random_is_another_record_and_reaches_all(picker):
    seen, last = set(), picker.value
    for _ in range(60):
        picker.buttons["random"].click()
        assert picker.value != last
        last = picker.value
        seen.add(last)
    assert seen == set(picker.rows)


def test_the_slider_and_a_typed_id_choose_the_record(picker, store):
    picker.slider.value = 3
    assert picker.value == picker.rows[2]
    picker.name.value = str(store.records["record_id"][picker.rows[4]])
    assert picker.value == picker.rows[4] and picker.slider.value == 5


def test_one_change_is_told_once(picker):
    told = []
    picker.observe(lambda change: told.append(change["new"]), "value")
    picker.buttons["next"].click()
    picker.slider.value = 4
    picker.set_rows(picker.rows[1:3])
    assert len(told) == 3 and told[-1] == picker.value


def test_an_unknown_id_and_one_that_is_filtered_out_are_said(picker, store):
    before = picker.value
    picker.name.value = "<nobody>"
    assert "record &#x27;&lt;nobody&gt;&#x27; is not in this store" in picker.said.value
    picker.name.value = str(store.records["record_id"][store.rows("test")[0]])
    assert "is not among the records chosen here" in picker.said.value
    assert picker.value == before
    picker.buttons["next"].click()
    assert picker.said.value == ""


def test_other_rows_keep_the_record_where_it_is_among_them(picker):
    picker.buttons["next"].click()
    here = picker.value
    picker.set_rows([here + 30, here])
    assert picker.value == here and picker.slider.value == 2
    picker.set_rows([here + 30])
    assert picker.value == here + 30


def test_no_row_and_a_row_that_is_not_among_them_are_refused(store, picker):
    with pytest.raises(UsageError, match="no record to show"):
        picker.set_rows([])
    with pytest.raises(UsageError, match="row 3 is not among the 2 rows"):
        RecordPicker(store, [1, 2], Sentence(), row=3)


def test_fifty_thousand_records_are_stepped_through_at_once(large):
    picker = RecordPicker(large, range(len(large)), Sentence())
    start = time.process_time()
    for _ in range(20):
        picker.step("random")
    picker.name.value = "big49999"
    assert picker.value == 49_999
    assert time.process_time() - start < 5, "a step must not walk through the store"


def test_labels_of_a_row_and_rows_of_a_label(store):
    labels = Labels(store)
    frame = store.labels("conditions")
    row = int(np.flatnonzero(frame.to_numpy().sum(axis=1) > 1)[0])
    its = [name for name in frame if frame[name].iloc[row] == 1]
    assert labels.of(row) == {"conditions": its}
    wanted = np.flatnonzero(frame["atrial fibrillation"].to_numpy() == 1)
    assert np.array_equal(labels.rows(" Atrial Fibrillation "), wanted)


def test_an_unknown_label_and_one_that_nobody_has_are_refused(hostile, store):
    with pytest.raises(UsageError, match="did you mean 'atrial fibrillation'"):
        Labels(store).rows("atrial fibrilation")
    with pytest.raises(UsageError, match="no record of this store has the label 'never'"):
        Labels(hostile).rows("never")


def test_what_is_known_of_a_record_is_escaped(hostile):
    html = about(hostile, 1, Labels(hostile))
    assert "<script" not in html and html.count("&lt;script&gt;") >= 4
    assert "not recorded" in html and "V6" in html
    assert leads_of(hostile, 1).tolist() == [True] * 11 + [False]


def test_facts_leave_out_what_is_missing_and_a_table_can_scroll_by_keyboard():
    html = markup.facts({"age": None, "sex": "", "rate": 61.5, "<b>": "a & b"})
    assert "age" not in html and "sex" not in html
    assert ">&lt;b&gt;</th>" in html and ">a &amp; b</td>" in html and "<b>" not in html
    made = markup.table(pd.DataFrame({"report": ["<i>x</i>"]}), 'all "farthest"', scrolls=True)
    assert 'tabindex="0"' in made and 'aria-label="all &quot;farthest&quot;"' in made
    assert "<i>" not in made


def test_boxes_and_sets_of_leads():
    boxes = LeadBoxes(("II", "V1"))
    assert boxes.value == ("II", "V1")
    told = []
    boxes.observe(lambda change: told.append(change["new"]), "value")
    boxes.boxes["I"].value = True
    boxes.tick(boxes.sets["6 leads"])
    assert told == [("I", "II", "V1"), ("I", "II", "III", "aVR", "aVL", "aVF")]


def test_held_out_rows_are_all_rows_where_there_is_no_test_split(store, mute):
    assert np.array_equal(held_out_rows(store), store.rows("test"))

    class Bare:
        def rows(self, split):
            return np.array([], dtype=int)

        def __len__(self):
            return 3

    assert held_out_rows(Bare()).tolist() == [0, 1, 2]


def test_what_was_added_to_a_short_recording_is_not_drawn_and_is_told(store):
    records = store.records.copy()
    records.loc[3, "padded"] = 500
    short = SignalStore(store.path, store.meta, store.signals, records)
    assert np.isnan(drawn_ecg(short, 3)[:, 500:]).all()
    np.testing.assert_array_equal(drawn_ecg(short, 3)[:, :500], store.ecg(3)[:, :500])
    assert np.isnan(drawn_ecg(short, 3, 400, 600)[:, 100:]).all()
    np.testing.assert_array_equal(drawn_ecg(short, 4), store.ecg(4))
    assert "5 s; the model reads zeros up to 10 s" in about(short, 3, Labels(short))
    assert "recorded" not in about(short, 4, Labels(short)).replace("not recorded", "")
