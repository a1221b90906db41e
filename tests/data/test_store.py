"""Reading a store: what it gives, and the sentence for every kind of damage."""

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import read_json, write_json


def test_rows_signals_records_and_labels_belong_together(make_store, make_beats):
    store = make_store()
    assert len(store) == 6
    assert store.records["record_id"].tolist() == [f"r{i}" for i in range(6)]
    for i in range(6):
        assert np.array_equal(store.ecg([i])[0], make_beats(i).astype(np.float32))
    assert store.labels("things")["A"].tolist() == [1, 0, 0, 1, 0, 0]
    assert store.labels_valid("things").all()  # all 0 is a label too: none of the classes
    assert store.labels("things").index.tolist() == store.records["record_id"].tolist()
    assert store.convention("things") == "as made here"
    assert store.lead_mask().all()
    assert store.set_aside.to_dict("records") == [
        {"record": "gone", "reason": "file missing", "detail": "a/gone.hea"}
    ]


def test_ecg_is_float32_millivolts_in_the_order_asked_for(make_store):
    store = make_store()
    rows = np.array([4, 0, 4])
    ecg = store.ecg(rows)
    assert ecg.dtype == np.float32
    assert ecg.shape == (3, 12, 1000)
    assert np.array_equal(ecg[0], store.signals[4] / np.float32(1000))
    assert np.array_equal(ecg[0], ecg[2])
    assert np.array_equal(store.ecg(slice(0, 2)), store.ecg([0, 1]))
    assert np.array_equal(store.ecg(4), ecg[0])  # one row by its number


def test_signals_stay_on_disk(make_store):
    store = make_store()
    assert isinstance(store.signals, np.memmap)
    assert store.signals.dtype == np.int16
    assert store.signals.flags.c_contiguous
    assert not store.signals.flags.writeable


def test_splits_cover_every_row_once(make_store):
    store = make_store()
    rows = np.concatenate([store.rows(split) for split in ("train", "val", "test")])
    assert sorted(rows.tolist()) == list(range(6))
    assert store.rows("val").tolist() == [2, 3]


def test_texts_are_normalised_and_share_ids(make_store):
    records = make_store().records
    assert records["report"][0] == "Sinus  Rhythm 0"
    assert records["text"][0] == "sinus rhythm 0"
    assert records["report_id"].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_worker_process_opens_the_store_instead_of_copying_it(make_store):
    store = make_store()
    packed = pickle.dumps(store)
    assert len(packed) < 1000
    assert np.array_equal(pickle.loads(packed).signals, store.signals)


def test_unknown_names_are_answered_with_the_nearest(make_store):
    store = make_store()
    with pytest.raises(UsageError, match="did you mean 'train'"):
        store.rows("trian")
    with pytest.raises(UsageError, match="did you mean 'things'"):
        store.labels("thing")


def test_the_summary_has_counts_and_reasons_last(make_store):
    lines = make_store().summary().splitlines()
    assert "6 rows of 3 patients at 100 Hz (train 2, val 2, test 2), 3 distinct reports" in lines[0]
    assert lines[-2].startswith("  set aside: 1 (see ")
    assert lines[-1].startswith("    file missing: 1, the first gone (a/gone.hea); get its files")


def test_a_finished_store_verifies(make_store):
    make_store().verify()


def _flip_signal(path):
    data = bytearray((path / "signals.npy").read_bytes())
    data[5000] ^= 1
    (path / "signals.npy").write_bytes(data)


def _change_a_label(path):
    import pyarrow.parquet

    table = pd.DataFrame(pyarrow.parquet.read_table(path / "labels/things.parquet").to_pandas())
    table.loc[1, "A"] = 1
    table.to_parquet(path / "labels/things.parquet")


def _move_to_train(path):
    table = pd.read_parquet(path / "records.parquet")
    table.loc[5, "split"] = "train"
    table.to_parquet(path / "records.parquet")


def _forget_set_aside(path):
    (path / "set_aside.csv").write_text("record,reason,detail\n")


@pytest.mark.parametrize(
    "damage", [_flip_signal, _change_a_label, _move_to_train, _forget_set_aside]
)
def test_verify_finds_one_changed_value_anywhere(make_store, damage):
    store = make_store()
    damage(store.path)
    with pytest.raises(DBetaError, match="is not what was prepared"):
        SignalStore.open(store.path).verify()


def _truncate(name, keep):
    def damage(path):
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: int(len(data) * keep)])

    return damage


def _meta(**changes):
    def damage(path):
        meta = read_json(path / "store.json") | changes
        write_json(path / "store.json", {k: v for k, v in meta.items() if v is not None})

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: (path / "store.json").unlink(), "it has no store.json"),
        (_truncate("store.json", 0.5), "store.json is damaged"),
        (_meta(counts=1), "store.json is damaged at counts"),
        (_meta(leads="I II"), "store.json is damaged at leads"),
        (lambda path: (path / "store.json").write_text("[]"), "format version none"),
        (_meta(format_version=99), "format version 99, this kit reads 3"),
        (_meta(leads=["I"]), "another lead order"),
        (_meta(fingerprint=None), "store.json lacks fingerprint"),
        (_truncate("signals.npy", 0.7), "signals.npy is missing, damaged or cut short"),
        (_truncate("signals.npy", 0), "signals.npy is missing, damaged or cut short"),
        (lambda path: (path / "signals.npy").unlink(), "signals.npy is missing"),
        (
            lambda path: np.save(path / "signals.npy", np.zeros((6, 12, 500), np.int16)),
            "where int16 (6, 12, 1000) is expected",
        ),
        (
            lambda path: np.save(path / "signals.npy", np.zeros((6, 12, 1000), np.int32)),
            "holds int32",
        ),
        (_truncate("records.parquet", 0.9), "records.parquet is unreadable"),
        (lambda path: (path / "records.parquet").unlink(), "records.parquet is unreadable"),
        (
            lambda path: pd.DataFrame({"record_id": ["x"]}).to_parquet(path / "records.parquet"),
            "records.parquet has 1 rows where signals.npy has 6",
        ),
    ],
)
def test_every_damage_gets_a_sentence_with_file_and_remedy(make_store, damage, sentence):
    store = make_store()
    damage(store.path)
    with pytest.raises(DBetaError) as caught:
        SignalStore.open(store.path)
    message = str(caught.value)
    assert sentence in message
    assert "\n" not in message
    assert str(store.path) in message
    assert "again" in message


def test_damaged_labels_and_set_aside_are_named_when_read(make_store):
    store = make_store()
    _truncate("labels/things.parquet", 0.5)(store.path)
    (store.path / "set_aside.csv").unlink()
    with pytest.raises(DBetaError, match=r"things\.parquet is unreadable"):
        store.labels("things")
    with pytest.raises(DBetaError, match=r"set_aside\.csv is unreadable"):
        _ = store.set_aside


def test_a_pickled_signals_file_is_not_loaded(make_store):
    store = make_store()
    np.save(store.path / "signals.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DBetaError, match="cut short"):
        SignalStore.open(store.path)


def test_an_unfinished_preparation_is_said(tmp_path):
    (tmp_path / "s.partial").mkdir()
    with pytest.raises(DBetaError, match="its preparation did not finish"):
        SignalStore.open(tmp_path / "s")


def test_the_content_decides_the_fingerprint_not_the_place(make_store, tmp_path):
    first, second = make_store("one"), make_store("two")
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != make_store("three", rows=4).fingerprint
    shutil.copytree(first.path, tmp_path / "copy")
    assert SignalStore.open(tmp_path / "copy").fingerprint == first.fingerprint


def test_store_json_holds_no_path_and_no_time(make_store, tmp_path):
    text = (make_store().path / "store.json").read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {
        "format_version", "name", "source", "preparation", "sampling_rate", "samples", "leads",
        "reports_from_labels", "patients_known", "tasks", "counts", "fingerprint",
    }  # fmt: skip


def test_labels_of_some_classes_come_in_the_order_asked_and_an_unknown_one_is_named(make_store):
    store = make_store()
    assert list(store.labels("things", ["B", "A"])) == ["B", "A"]
    assert store.labels("things", ["B"])["B"].equals(store.labels("things")["B"])
    with pytest.raises(UsageError, match="'C' is no class of task things; known: A, B"):
        store.labels("things", ["A", "C"])
