"""The page about a store: what it says, that it escapes, and that odd stores have one too."""

import re
import time

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data.signals import Record, Rejected, to_signal
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.reporting import data_report, data_tables

EVIL = '<script>alert("x")</script> & sinus rhythm'


def ecg(seed, samples=200):
    return np.random.default_rng(seed).normal(0, 0.3, (12, samples))


def record(i, **more):
    its = {
        "patient_id": f"p{i}", "split": ("train", "train", "val", "test")[i % 4],
        "report": f"Report {i % 3}", "language": "en", "age": 20.0 + i, "sex": "female",
    }  # fmt: skip
    signal = more.pop("signal", None) or to_signal(ecg(i))
    return Record(f"r{i}", signal, **(its | more))


@pytest.fixture
def make(tmp_path):
    """`make(records, labels, **options)` -> a finished store of 100 Hz and 2 s."""

    def build(records, labels=None, aside=(), **options):
        name = f"store{len(list(tmp_path.iterdir()))}"
        with StoreWriter(tmp_path / name, "made", 100, 200, "1", "abc", **options) as writer:
            for one in records:
                writer.add(one)
            for entry in aside:
                writer.set_aside(*entry)
            for task, frame in (labels or {}).items():
                writer.labels(task, frame, f"convention of {task}")
            return writer.close()

    return build


def page(store, tmp_path):
    path = data_report.write(store, tmp_path / "pages" / "report.html")
    assert path == tmp_path / "pages" / "report.html"
    return path.read_text(encoding="utf-8")


def cells(table):
    """Rows of a table by their first cell."""
    return {row[0]: row[1:] for row in table.rows}


def labels_of(records, **columns):
    index = pd.Index([one.record_id for one in records])
    return pd.DataFrame(columns, index=index).astype(int)


def test_everything_from_the_data_shows_as_text(make, tmp_path):
    records = [
        record(i, report=EVIL, text=EVIL, language=EVIL, patient_id=EVIL, split="train")
        for i in range(3)
    ]
    records[0].record_id = EVIL
    aside = [(EVIL, Rejected(EVIL, EVIL))]
    labels = {"<b>task": labels_of(records, **{EVIL: [1, 0, 1]})}
    store = make(records, labels, aside, options={EVIL: EVIL, "n": 3})
    store.meta["name"] = store.meta["source"]["version"] = EVIL
    store.meta["tasks"]["<b>task"]["convention"] = EVIL
    store.records.loc[1, "findings"] = EVIL
    text = page(store, tmp_path)
    assert "<script" not in text
    assert "<b>task" not in text
    assert '"x"' not in text
    assert text.count("&lt;script&gt;") >= 12
    assert "option n" in text


def test_the_page_stands_alone_and_is_the_same_each_time(make, tmp_path):
    store = make([record(i) for i in range(8)])
    text = page(store, tmp_path)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert text.count("<img ") == 4
    assert text == page(SignalStore.open(store.path), tmp_path)
    for known in (store.fingerprint, "abc", "for research and teaching"):
        assert known in text


def test_counts_by_split_are_of_rows_records_and_patients(make):
    records = [record(0), record(0, window=1, signal=to_signal(ecg(90))), record(1), record(2)]
    records.append(record(3, split="unused", report=""))
    found = cells(data_tables.splits(make(records)))
    assert found == {
        "train": ("3", "2", "2", "2", "2"),
        "val": ("1", "1", "1", "1", "1"),
        "test": ("0", "0", "0", "0", "0"),
        "unused": ("1", "1", "1", "0", "0"),
        "all": ("5", "4", "4", "3", "3"),
    }


def test_a_patient_on_both_sides_is_shown_loudly(make, tmp_path):
    store = make([record(i) for i in range(8)])
    assert "No patient is in more than one split (checked)" in page(store, tmp_path)
    store.records.loc[[1, 2], "patient_id"] = "<p>"  # train and val; the writer would refuse
    assert data_report.alerts(store)[0] == (
        "bad",
        "Patients in more than one split: 1 (<p>).",
    )
    text = page(store, tmp_path)
    assert '<li class="bad">Patients in more than one split: 1 (&lt;p&gt;)' in text
    assert "(checked)" not in text
    assert '<p class="bad">Patients in more than one of train, val and test: 1 (&lt;p&gt;)' in text


def test_an_unused_row_of_a_patient_is_no_crossing(make):
    store = make([record(i) for i in range(8)])
    store.records.loc[1, "patient_id"] = "p2"
    store.records.loc[1, "split"] = "unused"
    assert data_tables.crossing(store) == []


def test_where_patients_are_not_known_nothing_is_called_checked(make, tmp_path):
    store = make([record(i) for i in range(8)], patients_known=False)
    text = page(store, tmp_path)
    assert "(checked)" not in text
    assert "splits may share patients" in text
    assert "every record counts as one of its own" in text
    assert "test: 0" not in text


def test_what_was_set_aside_stands_by_reason_with_its_first_records(make, tmp_path):
    aside = [(f"gone{i:03d}", "file missing", f"at {i}") for i in range(60)]
    aside += [("short", "truncated", "half of it")]
    store = make([record(i) for i in range(4)], aside=aside)
    text = page(store, tmp_path)
    assert "file missing: 60, the first 50" in text
    assert "truncated: 1<" in text
    assert "gone049" in text
    assert "gone050" not in text
    assert ("warn", "61 of 65 records were set aside.") in data_report.alerts(store)


def test_missing_flat_and_short_signals_are_counted_by_lead(make):
    mask = np.ones(12, bool)
    mask[[3, 11]] = False
    flat = ecg(1)
    flat[0] = 0.1
    gaps = ecg(2)
    gaps[5, 10:14] = np.nan
    short = to_signal(ecg(3)).replace(padded=50, findings="mains,clipped")
    signals = [to_signal(ecg(0), mask), to_signal(flat), to_signal(gaps), short]
    records = [record(i, signal=signal) for i, signal in enumerate(signals)]
    store = make(records)
    leads = cells(data_tables.leads(store))
    assert leads["I"] == ("4", "0", "1 (25.0 %)")
    assert leads["aVR"] == leads["V6"] == ("3", "1 (25.0 %)", "0")
    quality = cells(data_tables.quality(store))
    assert quality["with a missing lead (zeros, masked)"] == ("1 (25.0 %)", "r0")
    assert quality["with a flat lead (kept as recorded)"] == ("1 (25.0 %)", "r1")
    assert quality["with short gaps (interpolated)"] == ("1 (25.0 %)", "r2")
    assert quality["finding of the checks: clipped"] == ("1 (25.0 %)", "r3")
    assert quality["finding of the checks: mains"] == ("1 (25.0 %)", "r3")
    lengths = cells(data_tables.lengths(store))
    assert lengths["seconds recorded in a window"][1] == "1.5"
    assert lengths["samples interpolated, in rows with gaps"] == ("1", "4", "4", "4", "4", "4")
    counts = store.meta["counts"]["findings"]
    assert {f"finding of the checks: {name}" for name in counts} <= set(quality)


def test_prevalence_is_of_the_rows_with_a_label_in_each_split(make):
    records = [record(i) for i in range(8)]  # 4 train, 2 val, 2 test
    labels = labels_of(
        records, rare=[0, 0, 1, 0, 0, 0, 0, 0], often=[1, 1, 1, 0, 0, 1, 0, 1]
    )  # fmt: skip
    store = make(records, {"task": labels})
    table, absent = data_tables.prevalence(store, "task")
    assert table.header == ("class", "all", "train", "val", "test")
    found = cells(table)
    assert list(found)[:2] == ["often", "rare"]
    assert found["often"] == ("5 (100.0 %)", "3 (100.0 %)", "1 (100.0 %)", "1 (100.0 %)")
    assert found["rare"] == ("1 (20.0 %)", "0", "1 (100.0 %)", "0")
    assert found["rows without"] == ("3", "1", "1", "1")
    assert absent == ["rare in train", "rare in test"]
    many = labels.assign(**{f"c{i}": 0 for i in range(5)})
    assert "c1 in test and 9 more." in data_report.alerts(make(records, {"task": many}))[0][1]
    assert ("warn", "Task task: no positive of rare in train, rare in test.") in (
        data_report.alerts(store)
    )


def test_equal_signals_are_told_apart_by_whose_they_are(make, tmp_path):
    same = to_signal(ecg(50))
    twice = to_signal(ecg(51))
    other = to_signal(ecg(52))
    records = [
        record(0, signal=same), record(0, signal=same, window=1),  # one record, two windows
        record(1, signal=twice), record(4, signal=twice, patient_id="p1"),  # one patient
        record(2, signal=other), record(3, signal=other), record(5),  # val and test
    ]  # fmt: skip
    store = make(records)
    groups = data_tables.duplicate_signals(store)
    assert groups["whose"].tolist() == ["several patients", "one record", "one patient"]
    assert groups["across"].tolist() == [True, False, False]
    assert groups["splits"].tolist() == ["val, test", "train", "train"]
    assert groups["records"].tolist() == ["r2, r3", "r0", "r1, r4"]
    assert groups["rows"].sum() - len(groups) == store.meta["counts"]["duplicates"]
    assert "Identical signals in more than one split: 1 groups." in page(store, tmp_path)


def test_reports_are_counted_once_per_record_and_across_splits(make, tmp_path):
    records = [record(i) for i in range(7)] + [record(7, report="Only here")]
    records += [record(0, window=w, signal=to_signal(ecg(70 + w))) for w in (1, 2)]
    store = make(records)
    assert data_tables.shared_reports(store) == ["val 2 (100.0 %)", "test 1 (50.0 %)"]
    text = page(store, tmp_path)
    assert "8 of 8 records have a report, 4 distinct texts, 2 words in the median" in text
    assert re.search(r"report 0</td><td[^>]*>3</td>", text)
    assert cells(data_tables.languages(store))["en"][0] == "4 (100.0 %)"


def test_a_long_report_is_cut(make, tmp_path):
    store = make([record(i, report="word " * 1000) for i in range(4)])
    text = page(store, tmp_path)
    assert "…" in text
    assert "word " * 200 not in text


def test_ages_and_sexes_are_counted_per_record(make):
    records = [
        record(0, age=17.9), record(1, age=18.0, sex="male"), record(2, age=90.0),
        record(3, age=np.nan, sex="unknown"),
    ]  # fmt: skip
    store = make(records)
    found = cells(data_tables.people(store))
    assert found["under 18"] == ("1 (25.0 %)", "0", "0")
    assert found["18 to 39"] == ("0", "1 (25.0 %)", "0")
    assert found["80 and over"] == ("1 (25.0 %)", "0", "0")
    assert found["unknown"] == ("0", "0", "1 (25.0 %)")
    assert data_tables.ages(store).startswith("Median age 18 years")


def test_the_examples_show_every_split_and_a_remarkable_row(make):
    records = [record(i) for i in range(40)]
    records[20] = record(20, signal=to_signal(ecg(20)).replace(padded=3))
    store = make(records)
    rows = data_report.example_rows(store)
    assert len(set(rows)) == 4
    assert store.records["split"].iloc[rows[:3]].tolist() == ["train", "val", "test"]
    assert 20 in rows
    assert rows == data_report.example_rows(store)


def test_stores_without_labels_reports_or_all_splits_have_a_page(make, tmp_path):
    bare = [
        record(i, report="", language="unknown", age=np.nan, sex="unknown", split="unused")
        for i in range(2)
    ]
    text = page(make(bare), tmp_path)
    for words in (
        "The store has no labels", "The store has no reports", "No age is known",
        "No row is in the split train", "Nothing was set aside", "No two rows have the same",
    ):  # fmt: skip
        assert words in text
    assert text.count("<img ") == 2
    labels = pd.DataFrame({"a": [0, 0]}, index=["r0", "r1"])
    assert "rows without" in page(make(bare, {"empty": labels}), tmp_path)


def test_an_empty_shard_has_a_page(make, tmp_path):
    text = page(make([], shard=(1, 3)), tmp_path)
    assert "part 1 of 3" in text
    assert "<img" not in text


def test_reports_made_from_labels_are_said_first(make):
    store = make([record(i) for i in range(4)], reports_from_labels=True)
    assert "not zero-shot" in data_report.alerts(store)[0][1]


def test_twenty_thousand_rows_take_seconds(make, tmp_path):
    signals = [to_signal(ecg(i)) for i in range(50)]
    records = [record(i, signal=signals[i % 50]) for i in range(22_000)]
    labels = labels_of(records, **{f"c{k}": np.arange(22_000) % (k + 2) == 0 for k in range(30)})
    store = make(records, {"task": labels})
    began = time.perf_counter()
    text = page(store, tmp_path)
    assert time.perf_counter() - began < 20
    assert len(text) < 5_000_000
