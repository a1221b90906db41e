"""CSN: exact labels and MERL's by substring, on small folders and on the real records at hand."""

import gzip
import io
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from dbeta_lib.data import csn
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import DBetaError, UsageError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TABLE = """\
Acronym Name,Full Name,Snomed_CT
1AVB,1 degree atrioventricular block,270492004
APB,atrial premature beats,284470004
LBBB,left bundle branch block,164909002
LFBBB,left front bundle branch block,164909002
LVQRSAL,lower voltage QRS in all lead,251146004
STTC,ST-T Change,428750005
AFIB,Atrial Fibrillation,164889003
SB,Sinus Bradycardia,426177001
"""
RECORDS = {  # path -> codes; 55930002 is none of the table's
    "01/010/JS00001": "164889003,428750005",
    "01/010/JS00002": "270492004,55930002",
    "02/020/JS00003": "426177001",
    "02/020/JS00004": "251146004,164909002",
}
OPTIONS = {"sampling_rate": 500, "window": "first", "keep_seconds": 10}


def store_of(source, dest, **options):
    given = OPTIONS | options
    plan = csn.plan(source, sampling_rate=given["sampling_rate"])
    return write_store(plan, dest, "csn", given, csn.CODE_VERSION, progress=False)


def positives(frame) -> dict[str, set[str]]:
    return {name: {c for c in frame if row[c]} for name, row in frame.iterrows()}


@pytest.fixture
def folder(tmp_path, write_wfdb, make_beats):
    source = tmp_path / "csn"
    for i, (name, codes) in enumerate(RECORDS.items()):
        path = source / "WFDBRecords" / name
        write_wfdb(path, make_beats(i, 5000, 500), 500)
        with open(f"{path}.hea", "a") as header:
            header.write(f"#Age: {30 + i}\n#Sex: Male\n#Dx: {codes}\n#Rx: Unknown\n")
    (source / csn.TABLE).write_text(TABLE, encoding="utf-8-sig")
    return source


def test_labels_are_the_table_s_acronyms_and_no_code_is_lost(folder, tmp_path):
    store = store_of(folder, tmp_path / "s")
    assert positives(store.labels("csn")) == {
        "WFDBRecords/01/010/JS00001": {"AFIB", "STTC"},
        "WFDBRecords/01/010/JS00002": {"1AVB"},
        "WFDBRecords/02/020/JS00003": {"SB"},
        "WFDBRecords/02/020/JS00004": {"LVQRSAL", "LBBB"},
    }
    # APB is in no record here; LFBBB has the code of LBBB
    assert list(store.labels("csn")) == ["1AVB", "AFIB", "LBBB", "LVQRSAL", "SB", "STTC"]
    assert "LBBB for LFBBB" in store.convention("csn")
    assert "55930002 (1)" in store.convention("csn")
    assert store.records["dx"].tolist() == list(RECORDS.values())
    assert store.records["acronyms"].tolist() == ["AFIB,STTC", "1AVB", "SB", "LVQRSAL,LBBB"]
    assert store.records["age"].tolist() == [30, 31, 32, 33]
    assert not store.meta["patients_known"]
    assert set(store.records["report"]) == {""}


def test_merl_s_substrings_are_reproduced_and_counted(folder, tmp_path):
    store = store_of(folder, tmp_path / "s")
    labels = store.labels("csn-merl")
    assert list(labels) == list(csn.MERL_CLASSES) and len(csn.MERL_CLASSES) == 38
    assert list(positives(labels).values()) == [
        {"AFIB", "AF", "STTC", "ST"}, {"1AVB", "AVB", "VB"}, set(), {"LBBB", "SA"},
    ]  # fmt: skip
    assert "flaw" in store.convention("csn-merl")
    table = csn.label_difference(store).set_index("class")
    assert table.loc["AF"].tolist() == [0, 1, 1]
    assert table.loc["AFIB"].tolist() == [1, 1, 0]
    assert table["false positives by substring"].sum() == 5  # AF ST AVB VB SA
    frames = {task: store.labels(task) for task in store.tasks()}
    assert csn.label_difference(frames).set_index("class").equals(table)


def test_windows_of_a_record_count_once(folder):
    plan = csn.plan(folder)
    frames = {task: pd.concat([frame] * 3) for task, (frame, _) in plan.tasks.items()}
    table = csn.label_difference(frames).set_index("class")
    assert table.loc["ST"].tolist() == [0, 1, 1]


def test_half_downloaded_or_damaged_records_are_set_aside(folder, tmp_path):
    records = folder / "WFDBRecords"
    (records / "01/010/JS00001.dat").unlink()
    header = records / "02/020/JS00003.hea"
    header.write_text(header.read_text().replace(" 500 5000", " 250 5000"))
    (records / "02/020/JS00004.hea").write_text("")
    store = store_of(folder, tmp_path / "s")
    assert store.records["record_id"].tolist() == ["WFDBRecords/01/010/JS00002"]
    aside = dict(zip(store.set_aside["record"], store.set_aside["reason"]))
    assert aside == {
        "WFDBRecords/01/010/JS00001": "file missing",
        "WFDBRecords/02/020/JS00003": "wrong sampling rate",
        "WFDBRecords/02/020/JS00004": "unreadable",
    }


def test_shards_and_workers_read_the_same_plan(folder):
    plan = csn.plan(folder)
    again = pickle.loads(pickle.dumps(plan.read))("WFDBRecords/01/010/JS00001")
    assert np.array_equal(again.ecg, plan.read("WFDBRecords/01/010/JS00001").ecg)
    assert plan.checksum == csn.source_checksum(folder)
    parts = [plan.block(i, 2) for i in range(2)]
    assert [list(part.tasks["csn"][0]) for part in parts] == [list(plan.tasks["csn"][0])] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is missing"),
        ("", "is damaged"),
        ("Acronym Name,Full Name\nA,b\n", "has no column snomed_ct"),
        ("Acronym Name,Full Name,Snomed_CT\n", "no line has an acronym"),
        (TABLE + "X,x,not a code\n", "line 10 has an acronym"),
    ],
)
def test_a_table_that_is_none_is_named_with_the_remedy(folder, text, words):
    path = folder / csn.TABLE
    path.unlink() if text is None else path.write_text(text)
    for ask in (csn.plan, csn.source_checksum):
        with pytest.raises(DBetaError, match=words) as error:
            ask(folder)
        assert csn.TABLE in str(error.value) and "download" in str(error.value)


def test_a_table_without_blanks_in_its_head_is_read_too(folder):
    path = folder / csn.TABLE
    wanted = csn.read_conditions(path)
    path.write_text(TABLE.replace("Acronym Name,Full Name", "AcronymName,FullName"))
    assert csn.read_conditions(path) == wanted


def test_a_folder_without_records_is_named(tmp_path):
    (tmp_path / csn.TABLE).write_text(TABLE)
    with pytest.raises(DBetaError, match="has no record"):
        csn.plan(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        csn.plan(tmp_path / "absent")


# ---- real records ----

real = pytest.mark.skipif(not (SHARED / "csn").is_dir(), reason="../shared/data/csn is not there")


def merl_rows(place: str) -> pd.DataFrame:
    paths = sorted((SHARED / "merl_splits" / place / "chapman").glob("*.csv.gz"))
    return pd.concat(pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes()))) for path in paths)


@real
def test_every_real_record_is_kept_with_wfdb_s_values(tmp_path):
    store = store_of(SHARED / "csn", tmp_path / "s")
    found = sorted((SHARED / "csn").rglob("*.hea"))
    assert len(store) == len(found) == 18
    assert store.set_aside.empty
    for row, path in enumerate(found):
        assert store.records["record_id"][row] == path.relative_to(SHARED / "csn").as_posix()[:-4]
        signal = wfdb.rdrecord(str(path)[:-4])
        order = [signal.sig_name.index(lead) for lead in store.leads]
        assert np.abs(store.ecg([row])[0] - signal.p_signal.T[order]).max() <= 0.0005
        assert store.records["age"][row] == int(signal.comments[0].split(":")[1])
    flat = store.records.set_index("record_id")["flat_leads"]
    assert bin(flat["WFDBRecords/12/120/JS11438"]).count("1") == 6
    assert (flat > 0).sum() == 1


@real
def test_exact_labels_are_the_headers_codes_through_the_table():
    table = pd.read_csv(SHARED / "csn" / csn.TABLE, encoding="utf-8-sig", dtype=str)
    first = table.drop_duplicates("Snomed_CT").set_index("Snomed_CT")["Acronym Name"]
    frame, words = csn.plan(SHARED / "csn").tasks["csn"]
    for name, found in positives(frame).items():
        comments = wfdb.rdheader(str(SHARED / "csn" / name)).comments
        codes = next(line for line in comments if line.startswith("Dx")).split(":")[1]
        codes = [code.strip() for code in codes.split(",")]
        assert found == {first[code] for code in codes if code in first}
        assert all(code in words for code in codes if code not in first)
    assert "MI for MIBW MIFW MILW MISW" in words and "55930002 (1)" in words


@real
def test_merl_s_rows_are_equal_for_every_record_held():
    plan = csn.plan(SHARED / "csn")
    merl = merl_rows("held")
    merl.index = merl["ecg_path"].str.removeprefix("/chapman/").str.removesuffix(".mat")
    assert len(merl) == 16
    ours = plan.tasks["csn-merl"][0]
    assert list(ours) == list(merl.columns[3:])
    assert (ours.loc[merl.index] == merl[list(ours)]).all(axis=None)
    acronyms = plan.records.set_index("record_id")["acronyms"]
    assert (acronyms[merl.index] == merl["diagnose"]).all()


@real
def test_merl_s_whole_test_split_follows_from_its_acronyms():
    merl = merl_rows("full_test")
    merl.index = merl["ecg_path"]
    acronyms = {path: text.split(",") for path, text in merl["diagnose"].items()}
    ours = csn.merl_labels(acronyms)
    assert len(ours) == 4620
    assert (ours == merl[list(ours)]).all(axis=None)
    frames = {"csn": csn.exact_labels(acronyms), "csn-merl": ours}
    table = csn.label_difference(frames).set_index("class")["false positives by substring"]
    assert set(table.index[table > 0]) == {"AF", "ST", "VB", "AVB", "SA", "CR", "2AVB"}
    only = merl["diagnose"].str.split(",").map(lambda names: "AFIB" in names and "AF" not in names)
    assert table["AF"] == only.sum() > 0
    # its acronyms are the first of each code in the table: no other of a group ever stands there
    conditions = csn.read_conditions(SHARED / "csn" / csn.TABLE)
    used = {name for names in acronyms.values() for name in names}
    assert used <= {names[0] for names in conditions.values()}
