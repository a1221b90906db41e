"""Several stores as one: rows, signals, weights, shared reports, and what stands in two of them."""

import numpy as np
import pytest

from dbeta_lib.data.joined import JoinedStore
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.errors import UsageError


@pytest.fixture
def make(tmp_path, make_beats):
    """`make(name, splits, first)`: a store with one record per split named; seeds from `first`."""

    def make(name, splits, first=0, rate=100, reports=("sinus rhythm", "af", "pvc")):
        with StoreWriter(tmp_path / name, name, rate, 10 * rate, "1", name) as writer:
            for i, split in enumerate(splits):
                signal = to_signal(make_beats(first + i, 10 * rate, rate))
                report = reports[i % len(reports)]
                writer.add(Record(f"r{i}", signal, f"p{i}", split, report=report))
            return writer.close()

    return make


SPLITS = ["train"] * 6 + ["val", "test"]


def test_rows_records_and_signals_belong_together(make):
    one, two = make("one", SPLITS), make("two", SPLITS, first=50, reports=("pvc", "lbbb"))
    both = JoinedStore([one, two])
    assert len(both) == 16 == len(both.records)
    assert both.rows("train").tolist() == [*range(6), *range(8, 14)]
    assert both.rows("val").tolist() == [6, 14] and both.rows("test").tolist() == [7, 15]
    order = np.array([9, 0, 15, 3, 9])
    expected = np.stack([two.ecg(1), one.ecg(0), two.ecg(7), one.ecg(3), two.ecg(1)])
    assert np.array_equal(both.ecg(order), expected)
    assert both.lead_mask().shape == (16, 12)
    assert both.records["record_id"].iloc[9] == "two:r1" and both.records["store"].iloc[9] == "two"
    assert both.records["record_id"].is_unique


def test_a_text_of_both_stores_is_one_report(make):
    both = JoinedStore([make("one", SPLITS), make("two", SPLITS, 50, reports=("pvc", "lbbb"))])
    ids = both.records.groupby("text")["report_id"].unique()
    assert {text: len(found) for text, found in ids.items()} == dict.fromkeys(ids.index, 1)
    assert both.records["report_id"].nunique() == 4


@pytest.mark.parametrize(("weight", "seen"), [(0, 0), (0.5, 3), (1, 6), (2.5, 15)])
def test_a_weight_is_how_often_a_training_row_is_seen(make, weight, seen):
    both = JoinedStore([make("one", SPLITS), make("two", SPLITS, first=50)], [1, weight])
    rows = both.rows("train")
    second = rows[rows >= 8]
    assert len(rows[rows < 8]) == 6 and len(second) == seen
    counts = np.bincount(second, minlength=14)[8:14]
    assert counts.max(initial=0) - counts.min() <= 1
    assert both.rows("val").tolist() == [6, 14]


def test_a_recording_held_out_in_one_store_is_not_trained_on_in_another(make):
    one = make("one", SPLITS)
    two = make("two", SPLITS, first=5)  # its first three are one's last three: train, val, test
    both = JoinedStore([one, two])
    assert both.left_out == 2
    held_out = set(both.records["signal_hash"].iloc[[*both.rows("val"), *both.rows("test")]])
    assert not held_out & set(both.records["signal_hash"].iloc[both.rows("train")])


def test_what_does_not_fit_is_wrong_use(make):
    one, other = make("one", SPLITS), make("other", SPLITS, rate=50)
    with pytest.raises(UsageError, match="500 samples at 50 Hz"):
        JoinedStore([one, other])
    with pytest.raises(UsageError, match="named twice"):
        JoinedStore([one, one])
    with pytest.raises(UsageError, match="no store"):
        JoinedStore([])
    for weights in ([1, 2], [-1], [0], [float("nan")]):
        with pytest.raises(UsageError, match="weight"):
            JoinedStore([one], weights)


def test_the_fingerprint_follows_stores_weights_and_seed(make):
    one, two = make("one", SPLITS), make("two", SPLITS, first=50)
    prints = [
        JoinedStore(*given).fingerprint
        for given in (([one, two],), ([two, one],), ([one, two], [1, 2]), ([one, two], None, 1))
    ]
    assert len(set(prints)) == 4
    assert JoinedStore([one, two]).fingerprint == prints[0]
