"""A folder of the user's own recordings: found, named, labelled by a table, or refused by line."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data import folder, folder_table
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import DBetaError, UsageError


def prepare(source, dest, hz=100, **options):
    given = {"sampling_rate": hz, "window": "first", "keep_seconds": 10}
    plan = folder.plan(source, sampling_rate=hz, **options)
    return write_store(plan, dest, "folder", given, folder.CODE_VERSION, progress=False)


def aside(store) -> dict[str, tuple[str, str]]:
    return {row.record: (row.reason, row.detail) for row in store.set_aside.itertuples()}


def table(path, text):
    (path / "records.csv").write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path, write_wfdb, make_beats):
    """Four recordings in three formats and two depths."""
    path = tmp_path / "own"
    write_wfdb(path / "b/two", make_beats(1))
    write_wfdb(path / "one", make_beats(0))
    pd.DataFrame(make_beats(2)[[1, 0]].T, columns=["II", "I"]).to_csv(path / "c.csv", index=False)
    np.save(path / "d.v2.npy", make_beats(3))
    return path


def test_every_format_at_any_depth_becomes_a_row(own, tmp_path, make_beats):
    store = prepare(own, tmp_path / "s", file_rate=100)
    assert store.records["record_id"].tolist() == ["b/two", "c", "d.v2", "one"]
    assert store.records["source"].tolist() == ["b/two.hea", "c.csv", "d.v2.npy", "one.hea"]
    for row, seed in enumerate((1, 2, 3, 0)):
        ecg, mask = store.ecg([row])[0], store.lead_mask()[row]
        assert np.abs(ecg[mask] - make_beats(seed)[mask]).max() <= 0.0005
    assert store.lead_mask().sum(axis=1).tolist() == [12, 2, 12, 12]
    assert store.set_aside.empty
    assert store.tasks() == []
    assert not store.meta["patients_known"]


def test_other_rates_are_resampled_and_options_reach_the_files(tmp_path, make_beats):
    own = tmp_path / "own"
    own.mkdir()
    np.save(own / "a.npy", (make_beats(4, 5000, 500)[[0, 1]].T * 200).astype(np.float32))
    store = prepare(own, tmp_path / "s", file_rate=500, file_leads="I,II", file_units="200/mV")
    assert store.signals.shape == (1, 12, 1000)
    slow = make_beats(4, 5000, 500)[:2, ::5]
    assert np.corrcoef(store.ecg([0])[0, 0], slow[0])[0, 1] > 0.95


def test_without_a_rate_a_file_is_set_aside_by_name(own, tmp_path):
    found = aside(prepare(own, tmp_path / "s"))
    assert set(found) == {"c", "d.v2"}
    assert {reason for reason, _ in found.values()} == {"wrong sampling rate"}
    assert "c.csv" in found["c"][1]


def test_a_table_gives_reports_patients_splits_and_labels(own, tmp_path):
    table(
        own,
        "record,report,patient_id,split,age,sex,AFIB,device\n"
        "one,Sinus rhythm,p1,train,61,F,0,MAC\n"
        "b/two.hea,Vorhofflimmern,p2,test,,male,1,MAC\n"
        "gone,lost,p3,val,50,,1,X\n"
        "d.v2.npy,,p1,,40.5,unknown,0,\n",
    )
    store = prepare(own, tmp_path / "s", file_rate=100)
    rows = store.records.set_index("record_id")
    assert len(rows) == 4  # the table itself is no recording
    assert rows.loc["one", "report"] == "Sinus rhythm"
    assert rows.loc["one", "sex"] == "female"
    assert rows.loc["one", "language"] == "en"
    assert rows.loc["b/two", "language"] == "de"
    assert np.isnan(rows.loc["b/two", "age"])
    assert rows.loc["d.v2", "age"] == 40.5
    assert rows.loc["d.v2", "split"] == "train"  # where its patient's other record is
    assert rows.loc["c", ["report", "patient_id", "device"]].tolist() == ["", "c", ""]
    assert rows.loc["one", "device"] == "MAC"
    assert aside(store) == {"gone": ("file missing", "records.csv names it")}
    assert store.tasks() == ["labels"]
    assert list(store.labels("labels")) == ["AFIB"]
    assert dict(zip(store.records["record_id"], store.labels("labels")["AFIB"])) == {
        "b/two": 1, "c": 0, "d.v2": 0, "one": 0,
    }  # fmt: skip
    assert "an empty cell there (here 1) are not labelled" in store.convention("labels")
    assert "records.csv" in store.convention("labels")


def test_a_record_without_a_line_or_with_an_empty_cell_is_not_labelled(own, tmp_path):
    table(own, "record,AFIB,LBBB,device\none,0,0,\nb/two,1,,MAC\nd.v2,0,1,\n")
    found = folder_table.read_table(own / "records.csv")
    ids = ["b/two", "c", "d.v2", "one"]
    assert folder_table.unlabelled(found, ids) == {"b/two", "c"}
    assert found.labels.loc["b/two"].tolist() == [0, 0]  # half an answer is none
    store = prepare(own, tmp_path / "s", file_rate=100)
    assert store.labels("labels")["LBBB"].tolist() == [0, 0, 1, 0]
    assert store.labels_valid("labels").tolist() == [False, False, True, True]  # one: neither
    assert "an empty cell there (here 2) are not labelled" in store.convention("labels")
    table(own, "record,device\none,MAC\n")
    assert folder_table.unlabelled(folder_table.read_table(own / "records.csv"), ids) == set()


def test_two_files_of_one_name_are_one_record(own, tmp_path, make_beats):
    np.save(own / "one.npy", make_beats(9))
    store = prepare(own, tmp_path / "s", file_rate=100)
    assert aside(store) == {"one": ("second file", "one.npy: one.hea is read for this record")}
    assert store.records["record_id"].is_unique


def test_links_are_set_aside_and_hidden_files_left_out(own, tmp_path, make_beats):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "x.npy", make_beats(5))
    os.symlink(elsewhere, own / "linked")
    os.symlink(elsewhere / "x.npy", own / "x.npy")
    np.save(own / ".hidden.npy", make_beats(5))
    (own / ".cache").mkdir()
    np.save(own / ".cache/y.npy", make_beats(5))
    os.symlink("loop", own / "loop")
    os.symlink("turn.csv", own / "turn.csv")
    os.symlink(elsewhere / "x.npy", own / "notes.txt")  # no recording, so not told
    table(own, "record,report\nx,a link\n")
    seen = folder.source_checksum(own)
    store = prepare(own, tmp_path / "s", file_rate=100)
    assert store.records["source"].tolist() == ["b/two.hea", "c.csv", "d.v2.npy", "one.hea"]
    assert aside(store) == {
        "linked": ("path refused", "linked is a link; links are not followed"),
        "turn": ("path refused", "turn.csv is a link; links are not followed"),
        "x": ("path refused", "x.npy is a link; links are not followed"),
    }
    (own / "linked").unlink()
    assert folder.source_checksum(own) != seen


def test_names_that_no_table_can_hold_are_set_aside(own, tmp_path, make_beats):
    np.save(own / "e.npy", make_beats(5))
    try:
        os.rename(own / "e.npy", os.fsencode(own) + b"/e\xff.npy")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    np.save(own / "f\x1b[2J.npy", make_beats(5))
    (own / "g\n").mkdir()
    np.save(own / "g\n/h.npy", make_beats(5))
    store = prepare(own, tmp_path / "s", file_rate=100)
    assert store.records["source"].tolist() == ["b/two.hea", "c.csv", "d.v2.npy", "one.hea"]
    assert aside(store) == {
        "'e\\udcff'": ("path refused", "'e\\udcff.npy' is no plain name; rename it"),
        "'f\\x1b[2J'": ("path refused", "'f\\x1b[2J.npy' is no plain name; rename it"),
        "'g\\n'": ("path refused", "'g\\n' is no plain name; rename it"),
    }


def test_a_store_in_the_folder_is_not_taken_for_recordings(own):
    seen = folder.source_checksum(own)
    for _ in range(2):  # the second time the first store is there, then replaced
        store = prepare(own, own / "stores/mine", file_rate=100)
        assert store.set_aside.empty
        assert len(store) == 4
    (own / "other.partial").mkdir()
    (own / "mine.shards/0-of-2").mkdir(parents=True)
    for place in ("other.partial", "mine.shards/0-of-2"):
        np.save(own / place / "signals.npy", np.zeros((12, 1000)))
    assert folder.source_checksum(own) == seen
    with pytest.raises(UsageError, match="is a store, prepared already"):
        folder.plan(own / "stores/mine")


def test_only_links_say_why_there_is_no_recording(own, tmp_path):
    (tmp_path / "new").mkdir()
    os.symlink(own / "c.csv", tmp_path / "new/c.csv")
    with pytest.raises(
        UsageError, match=r"no recording .*c\.csv is a link; links are not followed"
    ):
        folder.plan(tmp_path / "new")


def test_a_header_in_capitals_is_set_aside_with_its_remedy(own, tmp_path):
    (own / "one.hea").rename(own / "one.HEA")
    found = aside(prepare(own, tmp_path / "s", file_rate=100))
    assert found == {
        "one": ("unreadable", "one.HEA: WFDB writes the suffix small; rename it to one.hea")
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,report\none,x\n", "has no column 'record'"),
        ("record,split\none,train\nc,tset\n", "line 3: 'tset' is none of the splits"),
        ("record,age\none,200\n", "line 2: '200' is no age"),
        ("record,age\none,x\n", "line 2: 'x' is no age"),
        ("record,sex\none,blue\n", "line 2: 'blue' is none of female, male"),
        ("record,language\none,English\n", "line 2: 'English' is no language"),
        ("record,AFIB\none,1\nc,2\n", "line 3: '2' is no 0 or 1 of the label 'AFIB'"),
        ("record,report,report\none,a,b\n", "names the column 'report' twice"),
        ("record,a b, a b\none,x,y\n", "names the column 'a b' twice"),
        ("record,,report\none,x,y\n", "column 2 has no name"),
        (
            "record,patient_id,split\none,p,train\nc,,test\nd.v2,p,\n\nb/two,p,test\n",
            "line 6: 'p' is a patient of two splits, train and test; correct the line",
        ),
        ("record\none\none.hea\n", "line 3: 'one' is a record that stands there twice"),
        ('record,report\none,"a\nb"\n\n,x\n', "line 5: '' names no record"),
        ("record,fold\none,1\n", "a store fills the column 'fold' itself"),
        ("record,report\none,a,b,c\nx,y,z\n", "is no table in UTF-8"),
        ("", "is no table in UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_by_its_line(own, text, words):
    table(own, text)
    with pytest.raises(DBetaError, match=r"records\.csv") as caught:
        folder.plan(own)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_patient_may_have_unused_records_and_the_table_empty_columns(own):
    table(
        own,
        "record,patient_id,split,report.1,,\none,p,unused,x,,\nc,p,train,,,\nd.v2,p,train,,,\n",
    )
    records = folder_table.read_table(own / "records.csv").records
    assert records["split"].tolist() == ["unused", "train", "train"]
    assert list(records) == ["patient_id", "split", "report.1"]


def test_a_table_of_another_name_and_country_is_read(own, tmp_path):
    (own / "mine.csv").write_text("record;report\none;Sinus; rhythm\n".replace("; r", " r"))
    store = prepare(own, tmp_path / "s", file_rate=100, table="mine.csv")
    assert store.records.set_index("record_id").loc["one", "report"] == "Sinus rhythm"
    assert "mine" not in store.records["record_id"].tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "no.csv"}, "is no file"),
        ({"file_rate": 0.5}, "file_rate=0.5"),
        ({"file_leads": "I,V9"}, "'V9' is no lead name"),
        ({"file_leads": "I,I"}, "names a lead twice"),
        ({"file_units": "mm"}, "units='mm'"),
        ({"sampling_rate": 10}, "sampling_rate=10"),
    ],
)
def test_wrong_options_are_wrong_use(own, options, words):
    with pytest.raises(UsageError, match=words):
        folder.plan(own, **options)


def test_a_folder_without_recordings_says_so(tmp_path):
    with pytest.raises(DBetaError, match="holds no recording"):
        folder.plan(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        folder.plan(tmp_path / "none")


def test_the_checksum_follows_the_files_and_the_table(own, make_beats, write_wfdb):
    seen = {folder.source_checksum(own)}
    assert folder.plan(own, file_rate=100).checksum in seen
    table(own, "record,report\none,x\n")
    seen.add(folder.source_checksum(own))
    table(own, "record,report\none,y\n")
    seen.add(folder.source_checksum(own, sampling_rate=100, file_rate=3, file_units="uV"))
    write_wfdb(own / "one", make_beats(0, 900))
    seen.add(folder.source_checksum(own))
    np.save(own / "e.npy", make_beats(0))
    seen.add(folder.source_checksum(own))
    assert len(seen) == 5


def test_a_plan_can_be_pickled_and_its_shards_are_the_whole(own, tmp_path):
    plan = pickle.loads(pickle.dumps(folder.plan(own, file_rate=100)))
    assert plan.read("c.csv").lead_mask.sum() == 2
    parts = [plan.block(i, 2).records["record_id"].tolist() for i in range(2)]
    assert [*parts[0], *parts[1]] == plan.records["record_id"].tolist()
