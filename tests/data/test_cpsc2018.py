"""CPSC2018: the nine classes in both editions, on small folders and on the real records at hand."""

import gzip
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import wfdb

from dbeta_lib.data import checks, cpsc2018
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import LEADS

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
OPTIONS = {"sampling_rate": 500, "window": "first", "keep_seconds": 10}
REFERENCE = """\
Recording,First_label,Second_label,Third_label\r
A0001,5,,\r
A0002,2,5,7\r
A0003,1,,\r
"""
CODES = {"A0001": "59118001", "A0002": "164889003,713427006,164884008", "A0003": "426783006"}
WANTED = {"A0001": {"CRBBB"}, "A0002": {"AFIB", "CRBBB", "VPC"}, "A0003": {"NORM"}}


def store_of(source, dest, **options):
    plan = cpsc2018.plan(source)
    return write_store(
        plan, dest, "cpsc2018", OPTIONS | options, cpsc2018.CODE_VERSION, progress=False
    )


def positives(frame) -> dict[str, set[str]]:
    return {name.split("/")[-1]: {c for c in frame if row[c]} for name, row in frame.iterrows()}


@pytest.fixture
def original(tmp_path, make_beats):
    source = tmp_path / "original"
    (source / "TrainingSet1").mkdir(parents=True)
    (source / "TrainingSet3").mkdir()
    for i, place in enumerate(("TrainingSet1/A0001", "TrainingSet1/A0002", "TrainingSet3/A0003")):
        ecg = {"sex": "Female", "age": 40 + i, "data": make_beats(i, 3000 + 2500 * i, 500)}
        scipy.io.savemat(source / f"{place}.mat", {"ECG": ecg}, do_compression=True)
    (source / "REFERENCE.csv").write_bytes(REFERENCE.encode())
    return source


@pytest.fixture
def wfdb_edition(tmp_path, write_wfdb, make_beats):
    source = tmp_path / "cpsc_2018"
    for i, (name, codes) in enumerate(CODES.items()):
        path = source / f"g{i + 1}" / name
        write_wfdb(path, make_beats(i, 3000 + 2500 * i, 500), 500)
        with open(f"{path}.hea", "a") as header:
            header.write(f"#Age: {40 + i}\n#Sex: Female\n#Dx: {codes}\n")
    return source


def test_both_editions_give_the_same_records_and_labels(original, wfdb_edition, tmp_path):
    one, two = store_of(original, tmp_path / "one"), store_of(wfdb_edition, tmp_path / "two")
    assert one.records["record_id"].tolist() == [
        "TrainingSet1/A0001", "TrainingSet1/A0002", "TrainingSet3/A0003",
    ]  # fmt: skip
    assert two.records["record_id"].tolist() == ["g1/A0001", "g2/A0002", "g3/A0003"]
    assert np.array_equal(one.signals, two.signals)
    for store in (one, two):
        labels = store.labels("cpsc2018")
        assert " ".join(labels) == "1AVB AFIB CLBBB CRBBB NORM PAC STD STE VPC"
        assert positives(labels) == WANTED
        assert store.records["age"].tolist() == [40, 41, 42]
        assert set(store.records["sex"]) == {"female"}
        assert store.records["padded"].tolist() == [2000, 0, 0]  # 6, 11 and 16 s
        assert not store.meta["patients_known"] and set(store.records["report"]) == {""}
    assert one.records["dx"].tolist() == ["5", "2,5,7", "1"]
    assert two.records["dx"].tolist() == list(CODES.values())
    assert "REFERENCE.csv" in one.convention("cpsc2018")
    assert "SNOMED" in two.convention("cpsc2018")


def test_recordings_absent_unlisted_or_damaged_are_all_accounted_for(original, tmp_path):
    shutil.copy(original / "TrainingSet1/A0001.mat", original / "TrainingSet1/A0009.mat")
    (original / "TrainingSet3/A0003.mat").unlink()
    (original / "TrainingSet1/A0002.mat").write_bytes(b"no MAT file" * 100)
    store = store_of(original, tmp_path / "s")
    assert store.records["record_id"].tolist() == ["TrainingSet1/A0001", "TrainingSet1/A0009"]
    assert positives(store.labels("cpsc2018"))["A0009"] == set()
    assert "1 recordings are not in that table" in store.convention("cpsc2018")
    aside = {row.record: (row.reason, row.detail) for row in store.set_aside.itertuples()}
    assert aside == {
        "A0003": ("file missing", "A0003.mat, which REFERENCE.csv lists"),
        "TrainingSet1/A0002": ("unreadable", "TrainingSet1/A0002.mat is no MATLAB 5 file"),
    }


def test_a_linked_recording_is_not_followed(original, tmp_path):
    target = original / "TrainingSet3/A0003.mat"
    target.rename(tmp_path / "elsewhere.mat")
    target.symlink_to(tmp_path / "elsewhere.mat")
    aside = store_of(original, tmp_path / "s").set_aside
    assert aside[["record", "reason"]].to_numpy().tolist() == [
        ["TrainingSet3/A0003", "path refused"]
    ]


def test_codes_of_no_class_are_counted_in_the_convention(wfdb_edition):
    header = wfdb_edition / "g1/A0001.hea"
    header.write_text(header.read_text().replace("59118001", "59118001,55930002"))
    frame, words = cpsc2018.plan(wfdb_edition).tasks["cpsc2018"]
    assert positives(frame) == WANTED
    assert "55930002 (1)" in words


def test_other_sources_beside_are_no_part_of_it(wfdb_edition):
    wanted = cpsc2018.source_checksum(wfdb_edition)
    for name in ("Q0001", "E00001", "A00001"):
        for suffix in (".hea", ".dat"):
            shutil.copy(f"{wfdb_edition}/g1/A0001{suffix}", f"{wfdb_edition}/g1/{name}{suffix}")
    plan = cpsc2018.plan(wfdb_edition)
    assert plan.records["record_id"].tolist() == ["g1/A0001", "g2/A0002", "g3/A0003"]
    assert plan.aside == []
    assert plan.checksum == cpsc2018.source_checksum(wfdb_edition) == wanted


def test_a_folder_of_no_or_of_two_editions_is_named(original, wfdb_edition, tmp_path):
    shutil.copytree(wfdb_edition, original / "more")
    with pytest.raises(UsageError, match="two editions; name the folder of one"):
        cpsc2018.plan(original)
    shutil.rmtree(original / "more")
    (original / "REFERENCE.csv").rename(original / "TrainingSet3/REFERENCE.csv")
    assert len(cpsc2018.plan(original)) == 3
    (original / "TrainingSet3/REFERENCE.csv").unlink()
    with pytest.raises(DBetaError, match=r"REFERENCE.csv is missing"):
        cpsc2018.plan(original)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DBetaError, match="has no recording"):
        cpsc2018.source_checksum(tmp_path / "empty")


def test_one_recording_in_two_folders_is_refused(original):
    shutil.copy(original / "TrainingSet1/A0001.mat", original / "TrainingSet3/A0001.mat")
    with pytest.raises(DBetaError, match="are one recording; remove one"):
        cpsc2018.plan(original)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is damaged"),
        ("Recording,First_label\nA0001,1\n", "has no column Second_label, Third_label"),
        (REFERENCE + "A0001,1,,\n", "'A0001' is no recording, or stands there twice"),
        (REFERENCE + "../x,1,,\n", "'../x' is no recording"),
        (REFERENCE + "A0004,,,\n", "labels of A0004 are none of 1 to 9"),
        (REFERENCE + "A0004,10,,\n", "labels of A0004 are none of 1 to 9"),
        (REFERENCE + "A0004,1,,AF\n", "labels of A0004 are none of 1 to 9"),
    ],
)
def test_a_damaged_table_is_named_with_the_remedy(original, text, words):
    (original / "REFERENCE.csv").write_text(text)
    with pytest.raises(DBetaError, match=words) as error:
        cpsc2018.plan(original)
    assert "REFERENCE.csv" in str(error.value) and "name the folder" in str(error.value)


def test_the_checksum_follows_table_and_files(original):
    first = cpsc2018.source_checksum(original)
    assert cpsc2018.plan(original).checksum == first
    (original / "REFERENCE.csv").write_text(REFERENCE.replace("A0001,5", "A0001,6"))
    second = cpsc2018.source_checksum(original)
    (original / "TrainingSet3/A0003.mat").unlink()
    assert len({first, second, cpsc2018.source_checksum(original)}) == 3


# ---- real records ----

real = pytest.mark.skipif(
    not (SHARED / "cpsc2018").is_dir() or not (SHARED / "cinc2021").is_dir(),
    reason="../shared/data/cpsc2018 and cinc2021 are not there",
)


@real
def test_every_real_struct_is_kept_with_its_own_samples(tmp_path):
    store = store_of(SHARED / "cpsc2018", tmp_path / "s")
    assert store.records["record_id"].tolist() == [
        f"TrainingSet1/{name}" for name in ("A1980", "A1982", "A1983", "A1985")
    ]
    assert len(store.set_aside) == 6873 and set(store.set_aside["reason"]) == {"file missing"}
    for row, name in enumerate(store.records["source"]):
        ecg = scipy.io.loadmat(SHARED / "cpsc2018" / f"{name}.mat")["ECG"][0, 0]
        assert np.abs(store.ecg([row])[0] - ecg["data"][:, :5000]).max() <= 0.0005001
        assert store.records["age"][row] == ecg["age"].item()
        assert store.records["sex"][row] == ecg["sex"].item().lower()
    # in the order taken for the rows, limb leads obey Einthoven's and Goldberger's laws
    found = checks.verify(store)
    assert found["residual_mv"]["median"] < 0.001
    assert found["swapped"].empty


@real
def test_every_real_wfdb_record_is_kept_with_wfdb_s_values(tmp_path):
    source = SHARED / "cinc2021/training/cpsc_2018"
    store = store_of(source, tmp_path / "s")
    assert store.records["record_id"].tolist() == ["g1/A0689", "g2/A1041", "g6/A5215"]
    for row, name in enumerate(store.records["source"]):
        signal = wfdb.rdrecord(str(source / name), sampto=5000)
        assert signal.sig_name == list(LEADS)
        assert np.abs(store.ecg([row])[0] - signal.p_signal.T).max() <= 0.0005


def all_labels() -> pd.DataFrame:
    """The nine classes of all 6,877 recordings, from the original's table."""
    reference = cpsc2018.read_reference(SHARED / "cpsc2018/REFERENCE.csv")
    return pd.DataFrame(
        {
            name: {c: int(c in {cpsc2018.NUMBERS[n] for n in numbers}) for c in cpsc2018.CLASSES}
            for name, numbers in reference.items()
        }
    ).T


@real
def test_the_editions_agree_where_both_are_at_hand():
    ours = all_labels()
    frame = cpsc2018.plan(SHARED / "cinc2021/training/cpsc_2018").tasks["cpsc2018"][0]
    assert len(frame) == 3
    for name, row in frame.iterrows():
        assert ours.loc[name.split("/")[-1]].to_dict() == row.to_dict()


@real
def test_the_codes_of_the_nine_are_those_that_the_challenge_counts_in_this_set():
    tables = [SHARED / f"cinc2021/dx_mapping_{kind}.csv" for kind in ("scored", "unscored")]
    counts = pd.concat(pd.read_csv(path, dtype={"SNOMEDCTCode": str}) for path in tables)
    counts = counts[counts["CPSC"] > 0].set_index("SNOMEDCTCode")["CPSC"]
    found = Counter()
    for code, n in counts.items():
        found[cpsc2018.CODES[code]] += n
    ours = all_labels().sum()
    assert len(all_labels()) == 6877 and set(found) == set(cpsc2018.CLASSES)
    assert {c: found[c] - ours[c] for c in ours.index if found[c] != ours[c]} == {}


@real
def test_merl_s_rows_are_equal():
    ours = all_labels()
    for place, rows in (("held", 7), ("full_test", 1376)):
        paths = sorted((SHARED / "merl_splits" / place / "icbeb").glob("*.csv.gz"))
        merl = pd.concat(
            pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes()))) for path in paths
        ).set_index("filename")
        assert len(merl) == rows
        assert (ours.loc[merl.index] == merl[list(ours)]).all(axis=None)
    plans = [cpsc2018.plan(SHARED / name) for name in ("cpsc2018", "cinc2021/training/cpsc_2018")]
    people = pd.concat(plan.records for plan in plans).set_index("record_id")[["age", "sex"]]
    merl = pd.concat(
        pd.read_csv(path) for path in (SHARED / "merl_splits/held/icbeb").glob("*.csv.gz")
    ).set_index("filename")
    for name, (age, sex) in people.iterrows():
        known = merl.loc[name.split("/")[-1]]
        assert (age, sex) == (known["age"], "male" if known["sex"] else "female")
