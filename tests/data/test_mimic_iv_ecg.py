"""MIMIC-IV-ECG's loader on a folder as published, with every planted fault and its fate."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data import checks, mimic_iv_ecg
from dbeta_lib.data.prepare import merge, write_store
from dbeta_lib.data.reports import join_statements
from dbeta_lib.data.splits import crossing_patients
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import MIMIC_LEADS, order_to

sys.path.insert(0, str(Path(__file__).parent))
from layouts_mimic import (
    ELSEWHERE,
    FATES,
    FOREIGN,
    LONG_GAP,
    MEASURES,
    NO_REPORT,
    NOT_MEASURED,
    OF_TWO,
    RECORDS,
    REPORTS,
    SHORT_GAP,
    STATEMENTS,
    SWAPPED,
    TWICE,
    place,
    study,
    subject,
    tables,
    write_mimic,
)  # fmt: skip

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "mimic-iv-ecg"
HZ = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """240 records of 80 patients, the faults among them."""
    return write_mimic(tmp_path_factory.mktemp("mimic") / "mimic-iv-ecg")


def prepare(folder, dest, hz=HZ, shard=None, workers=1, **options):
    plan = mimic_iv_ecg.plan(folder, sampling_rate=hz, **options)
    given = {"sampling_rate": hz, "window": "first", "keep_seconds": 10, **options}
    return write_store(plan, dest, "mimic-iv-ecg", given, mimic_iv_ecg.CODE_VERSION, shard=shard,
                       workers=workers, progress=False)  # fmt: skip


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    return prepare(folder, tmp_path_factory.mktemp("stores") / "mimic", 500)


def row_of(store, i: int) -> int:
    return int(np.flatnonzero(store.records["record_id"] == study(i))[0])


@pytest.fixture
def only_tables(tmp_path):
    """Tables alone, for what needs no recording; `change(file, frame -> frame)`."""
    listed, measured = tables()
    listed.to_csv(tmp_path / "record_list.csv", index=False)
    measured.to_csv(tmp_path / "machine_measurements.csv", index=False)
    return tmp_path


# ---- recordings ----


def test_every_record_is_kept_or_set_aside_with_its_reason(store):
    aside = {
        row.record: row for row in store.set_aside.itertuples() if row.reason != "listed twice"
    }
    for i, (reason, named) in FATES.items():
        assert aside[study(i)].reason == reason, i
        assert named in aside[study(i)].detail, i
        assert study(i) in aside[study(i)].detail, i
    assert aside[study(FOREIGN)].reason == aside[study(OF_TWO)].reason == "two patients"
    assert "19999999" in aside[study(FOREIGN)].detail
    assert len(aside) == len(FATES) + 2
    kept = set(store.records["record_id"])
    assert kept == {study(i) for i in range(RECORDS) if i not in FATES and i != FOREIGN}
    store.verify()


def test_samples_are_wfdb_s_with_avl_before_avf(store, folder):
    for i in (0, 50, 239):
        signal, fields = wfdb.rdsamp(str(folder / place(i)))
        assert fields["sig_name"] == list(MIMIC_LEADS)
        wanted = signal.T[np.argsort(order_to(MIMIC_LEADS))]
        assert np.abs(store.ecg(row_of(store, i)) - wanted).max() < 1e-6
    found = checks.verify(store)
    assert found["residual_mv"]["median"] < 0.005
    assert found["swapped"].values.tolist() == [[study(SWAPPED), "aVR and aVF exchanged"]]


def test_gaps_are_filled_when_short_and_masked_when_long(store):
    records, masks = store.records, store.lead_mask()
    row = row_of(store, SHORT_GAP)
    assert records["nan_filled"][row] == 100
    assert masks[row].all()
    row = row_of(store, LONG_GAP)
    assert np.flatnonzero(~masks[row]).tolist() == [5]  # the fifth of the file is aVF
    assert not store.signals[row, 5].any()
    assert masks.all(axis=1).sum() == len(store) - 1


def test_another_rate_shards_and_workers_give_the_same_bytes(tmp_path, folder_bytes):
    folder = write_mimic(tmp_path / "small", 30)
    whole = prepare(folder, tmp_path / "whole", workers=2)
    assert whole.signals.shape[2] == 1000
    for i in range(3):
        prepare(folder, tmp_path / "parts", shard=(i, 3))
    parts = merge(tmp_path / "parts", 3, progress=False)
    assert folder_bytes(whole.path) == folder_bytes(parts.path)


# ---- tables ----


def test_reports_are_joined_on_study_id(store):
    records = store.records
    for i in (0, 1, 2, TWICE, OF_TWO, 239):
        row = row_of(store, i)
        assert records["report"][row] == join_statements(REPORTS[i % 4])
        assert records["language"][row] == "en"
        assert records["ecg_time"][row] == f"2180-07-{1 + i % 28:02d} 08:44:00"
    assert records["report"][0] == (
        "Sinus rhythm. Possible right atrial abnormality. Borderline ECG."
    )
    assert records["text"][row_of(store, 2)] == "sinus rhythm. normal ecg."
    for i in (NO_REPORT, NOT_MEASURED):
        row = row_of(store, i)
        assert records["report"][row] == ""
        assert records["report_id"][row] == -1
        assert records["language"][row] == "unknown"
    assert np.isnan(records["qrs_axis"][row_of(store, NOT_MEASURED)])


def test_a_study_listed_again_keeps_its_first_row(store):
    aside = store.set_aside
    twice = aside[aside["reason"] == "listed twice"].set_index("record")["detail"]
    assert "record_list.csv" in twice[study(TWICE)]
    assert "machine_measurements.csv" in twice[study(0)]
    assert len(twice) == 2
    assert store.records["source"][row_of(store, TWICE)] == place(TWICE)
    assert store.records["patient_id"][row_of(store, OF_TWO)] == subject(OF_TWO)


def test_impossible_measurements_are_nan(store):
    records = store.records.set_index("record_id")
    for i in (1, 31, 239):
        assert records.loc[study(i), MEASURES].tolist() == [40 + i + k for k in range(9)]
    row = records.loc[study(30)]
    assert row[["rr_interval", "p_onset", "qrs_end", "p_axis", "t_axis"]].isna().all()
    assert row[["p_end", "qrs_onset", "t_end", "qrs_axis"]].tolist() == [72, 73, 75, 77]


def test_patients_stand_on_one_side_whatever_the_options(store, folder):
    records = store.records
    assert crossing_patients(records["patient_id"], records["split"]) == []
    assert len({place(i).split("/")[1] for i in (24, 25, 26)}) == 2
    assert records["patient_id"][row_of(store, ELSEWHERE)] == subject(24)
    patients = records.groupby("patient_id")["split"].first().value_counts()
    assert 2 <= patients["val"] + patients["test"] <= 4
    some = mimic_iv_ecg.plan(folder, min_report_words=4).records
    split = records.set_index("record_id")["split"]
    both = some[some["record_id"].isin(split.index)]
    assert (both["split"] == both["record_id"].map(split)).all()


def test_merl_s_filter_sets_short_reports_aside(folder):
    plan = mimic_iv_ecg.plan(folder, min_report_words=4)
    words = plan.records["report"].str.split().str.len()
    assert words.min() == 4
    short = {
        record: detail for record, reason, detail in plan.aside if reason == "report too short"
    }
    assert {study(i) for i in (3, 7, NO_REPORT, NOT_MEASURED)} <= set(short)
    assert short[study(3)] == "2 words, at least 4 asked"
    assert len(plan) + len(short) == len(mimic_iv_ecg.plan(folder))


@given(st.lists(st.lists(st.sampled_from(["", " ", "A", "A.", "B c", '"q", r']), min_size=18,
                         max_size=18), min_size=1, max_size=12))  # fmt: skip
def test_distinct_reports_are_those_of_joining_every_row(rows):
    frame = pd.DataFrame(rows, columns=STATEMENTS, dtype="object").astype("category")
    texts, which = mimic_iv_ecg._reports(frame)
    assert [texts[i] for i in which] == [join_statements(row) for row in rows]
    assert len(texts) == len({tuple(row) for row in rows})


# ---- damaged folders ----


@pytest.mark.parametrize("name", ["record_list.csv", "machine_measurements.csv"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: None, "is missing"),
        (lambda text: text[: len(text) // 2], "half-downloaded"),
        (lambda text: "", "half-downloaded"),
        (lambda text: text.splitlines()[0] + "\n", "lists no record"),
        (lambda text: text.replace("study_id", "study"), "has no column study_id"),
        (lambda text: text.replace("40000030", "4000x030"), "is damaged"),
        (lambda text: text.replace("40000030", "9" * 30), "is damaged"),
        (lambda text: text.replace("40000030", ""), "is damaged"),
        (lambda text: text + '"1,2\n', "is damaged"),
        (lambda text: text + "\udcff\n", "is damaged"),
    ],
)
def test_a_damaged_table_is_one_sentence_with_the_remedy(only_tables, name, damage, said):
    path = only_tables / name
    text = damage(path.read_text())
    path.unlink()
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(DBetaError, match=said) as caught:
        mimic_iv_ecg.plan(only_tables)
    assert str(path) in str(caught.value)
    assert "physionet.org/content/mimic-iv-ecg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_without_path_is_set_aside(only_tables):
    path = only_tables / "record_list.csv"
    path.write_text(path.read_text() + "10000000,49999999\n")
    plan = mimic_iv_ecg.plan(only_tables)
    assert plan.records["source"].iloc[-1] == ""
    with pytest.raises(DBetaError, match="path refused"):
        plan.read("")


def test_wrong_options_are_refused(only_tables, tmp_path):
    for options in ({"sampling_rate": 1.5}, {"sampling_rate": 10}, {"min_report_words": -1},
                    {"min_report_words": 0.5}, {"min_report_words": True}):  # fmt: skip
        with pytest.raises(UsageError):
            mimic_iv_ecg.plan(only_tables, **options)
    with pytest.raises(UsageError, match="is no folder"):
        mimic_iv_ecg.plan(tmp_path / "absent")


def test_checksum_follows_tables_and_patients_folders(only_tables):
    first = mimic_iv_ecg.source_checksum(only_tables)
    assert mimic_iv_ecg.plan(only_tables).checksum == first
    (only_tables / "files/p1000/p10000000").mkdir(parents=True)
    second = mimic_iv_ecg.source_checksum(only_tables)
    assert second != first
    with open(only_tables / "record_list.csv", "a") as file:
        file.write("\n")
    assert mimic_iv_ecg.source_checksum(only_tables) not in (first, second)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/mimic-iv-ecg is not there")
def test_the_published_columns_and_a_real_row_are_read():
    plan = mimic_iv_ecg.plan(SHARED)
    (row,) = plan.records.itertuples()
    assert (row.record_id, row.patient_id) == ("40689238", "10000032")
    assert row.source == "files/p1000/p10000032/s40689238/40689238"
    assert row.report == "Sinus rhythm. Possible right atrial abnormality. Borderline ECG."
    assert [getattr(row, name) for name in MEASURES] == [659, 40, 128, 170, 258, 518, 81, 77, 79]
    assert row.ecg_time == "2180-07-23 08:44:00"
    listed = pd.read_csv(SHARED / "machine_measurements_data_dictionary.csv")["Variable"]
    assert set(MEASURES) < set(listed)
    assert "1 records" in plan.version
