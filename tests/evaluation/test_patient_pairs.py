"""Who is gallery and who is probe."""

import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.patient_pairs import gallery_and_probe, returning


def table(rows):
    """A store's table of (record_id, patient_id, split)."""
    frame = pd.DataFrame(rows, columns=["record_id", "patient_id", "split"])
    return frame.assign(window=0, signal_hash=[f"h{i}" for i in range(len(frame))])


RECORDS = table(
    [
        ("100", "a", "test"), ("9", "a", "test"), ("20", "a", "test"),  # 9, 20, then 100
        ("3", "b", "test"), ("7", "c", "test"), ("8", "c", "test"),
        ("1", "d", "train"), ("2", "d", "train"), ("4", "e", "val"),
    ]
)  # fmt: skip


def test_first_record_by_number_is_gallery_second_is_probe_single_records_are_left_out():
    pairs = gallery_and_probe(RECORDS)
    assert pairs.patients.tolist() == ["c", "a"]  # by their first records, 7 and 9
    assert RECORDS["record_id"][pairs.gallery].tolist() == ["7", "9"]
    assert RECORDS["record_id"][pairs.probe].tolist() == ["8", "20"]


def test_the_order_of_rows_does_not_matter():
    shuffled = RECORDS.sample(frac=1, random_state=1).reset_index(drop=True)
    one, other = gallery_and_probe(RECORDS), gallery_and_probe(shuffled)
    for name in ("gallery", "probe"):
        ids = [f["record_id"][getattr(p, name)].tolist()
               for f, p in ((RECORDS, one), (shuffled, other))]  # fmt: skip
        assert ids[0] == ids[1]


def test_windows_of_one_record_and_copies_of_its_samples_are_no_second_record():
    rows = [("1", "a", "test"), ("1", "a", "test"), ("2", "a", "test"), ("3", "a", "test"),
            ("4", "b", "test"), ("5", "b", "test")]  # fmt: skip
    records = table(rows)
    records["window"] = [1, 0, 0, 0, 0, 0]
    records["signal_hash"] = ["w1", "same", "same", "other", "x", "y"]
    pairs = gallery_and_probe(records)
    assert pairs.gallery.tolist() == [1, 4] and pairs.probe.tolist() == [3, 5]


def test_data_of_one_record_per_patient_is_refused_in_words():
    records = table([(str(i), f"p{i}", "test") for i in range(9)])
    with pytest.raises(UsageError, match=r"0 patients of the split 'test'.*9 records of 9"):
        gallery_and_probe(records)
    with pytest.raises(UsageError, match="'tset' is no split; did you mean 'test'"):
        gallery_and_probe(RECORDS, "tset")


def test_rows_of_returning_patients_give_the_same_pairs():
    rows = returning(RECORDS)
    assert RECORDS["patient_id"][rows].unique().tolist() == ["a", "c", "d"]
    part, whole = gallery_and_probe(RECORDS.iloc[rows]), gallery_and_probe(RECORDS)
    assert rows[part.gallery].tolist() == whole.gallery.tolist()
    assert rows[part.probe].tolist() == whole.probe.tolist()
