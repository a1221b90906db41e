"""PTB-XL's loader on folders as published: labels, splits, texts, and every kind of bad input."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import wfdb

from dbeta_lib import data
from dbeta_lib.data import ptb_xl_tables
from dbeta_lib.errors import DBetaError, UsageError


def prepare(source, dest, **options):
    hz = options.pop("sampling_rate", 100)
    return data.prepare("ptb-xl", source, dest, hz, **({"workers": 1, "progress": False} | options))


def aside(store) -> dict[str, tuple[str, str]]:
    return {row.record: (row.reason, row.detail) for row in store.set_aside.itertuples()}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def header(folder, number) -> str:
    return folder / f"records100/00000/{number:05d}_lr.hea"


# ---- what a sound folder becomes ----


def test_every_record_is_kept_with_wfdb_s_values(published, tmp_path):
    store = prepare(published, tmp_path / "s")
    assert len(store) == 40
    assert store.sampling_rate == 100
    for i in (0, 17, 39):
        name = store.records["source"][i]
        wanted = wfdb.rdsamp(str(published / name))[0].T
        assert np.abs(store.ecg([i])[0] - wanted).max() <= 0.0005
    store.verify()


def test_folds_are_splits_and_patients_stay_together(published, tmp_path):
    records = prepare(published, tmp_path / "s").records
    wanted = {fold: "train" for fold in range(1, 9)} | {9: "val", 10: "test"}
    assert (records["split"] == records["fold"].map(wanted)).all()
    assert records.groupby("patient_id")["split"].nunique().max() == 1
    assert records["patient_id"][0] == "500"
    assert records["record_id"][0] == "1"


def test_any_code_counts_whatever_its_likelihood(published, tmp_path):
    store = prepare(published, tmp_path / "s")
    assert store.tasks() == ["form", "rhythm", "sub", "super"]
    expected = {  # of the six sets of codes that the records have in turn
        "super": [{"NORM"}, {"MI"}, {"STTC", "HYP"}, {"CD"}, set(), set()],
        "sub": [{"NORM"}, {"IMI"}, {"NST_", "LVH"}, {"CLBBB"}, set(), set()],
        "form": [set(), {"ABQRS"}, {"NST_"}, {"PVC"}, set(), set()],
        "rhythm": [{"SR"}, {"AFIB"}, {"SR"}, set(), {"SR"}, set()],
    }
    for task, sets in expected.items():
        labels = store.labels(task)
        assert list(labels) == sorted(labels) == store.meta["tasks"][task]["classes"]
        for row in range(len(store)):
            found = {name for name in labels if labels[name].iloc[row]}
            assert found == sets[row % 6]
            assert store.labels_valid(task)[row] == bool(found)
        assert "whatever its likelihood" in store.convention(task)
    assert json.loads(store.records["scp_codes"][1]) == {"IMI": 0.0, "ABQRS": 0.0, "AFIB": 0.0}


def test_texts_are_kept_as_published_and_repaired_for_the_model(published, tmp_path):
    records = prepare(published, tmp_path / "s").records
    assert records["report"][0].endswith("unbestÄtigter bericht")
    assert records["text"][0] == "sinusrhythmus normales ekg"
    assert records["report_id"][0] == records["report_id"][3]
    assert records["language"][:4].tolist() == ["de", "en", "sv", "de"]
    assert records["sex"][:2].tolist() == ["male", "female"]
    assert records["age"][3] == 43


def test_texts_from_codes_are_named_label_derived(published, tmp_path):
    store = prepare(published, tmp_path / "s", report="scp")
    assert store.records["report"][0] == "normal ECG. sinus rhythm."
    assert store.records["text"][0] == "normal ecg. sinus rhythm."
    assert set(store.records["language"]) == {"en"}
    assert store.records["report_id"][5] == -1  # no code, no text
    assert store.meta["preparation"]["options"]["report"] == "scp"
    assert store.reports_from_labels
    assert not prepare(published, tmp_path / "t").reports_from_labels


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_gives_the_same_bytes(published, tmp_path, folder_bytes, workers):
    one = prepare(published, tmp_path / "one")
    more = prepare(published, tmp_path / "more", workers=workers)
    assert folder_bytes(one.path) == folder_bytes(more.path)


def test_recordings_that_the_table_does_not_name_are_told(small, tmp_path):
    lines = (small / "ptbxl_database.csv").read_text().splitlines()
    (small / "ptbxl_database.csv").write_text("\n".join(lines[:9]) + "\n")
    store = prepare(small, tmp_path / "s")
    assert len(store) == 8 and len(store.set_aside) == 4
    assert set(store.set_aside["reason"]) == {"not in the table"}
    assert store.set_aside["record"].iloc[0] == "records100/00000/00009_lr"


def test_translations_take_the_place_of_the_texts_that_they_translate(small, tmp_path):
    file = tmp_path / "english.csv"
    file.write_text('ecg_id,report\n1,"Sinus rhythm, normal ECG."\n3,\n999,another release\n')
    plain = prepare(small, tmp_path / "plain").records
    store = prepare(small, tmp_path / "s", translations=str(file))
    records = store.records
    assert records["text"].iloc[0] == "sinus rhythm, normal ecg." and records["language"][0] == "en"
    assert records["report"].tolist() == plain["report"].tolist()  # as published, beside
    assert records["text"].tolist()[1:] == plain["text"].tolist()[1:]
    assert not store.reports_from_labels
    changed = data.loader("ptb-xl").source_checksum(small, translations=str(file))
    assert changed == store.meta["source"]["checksum"]
    moved = tmp_path / "elsewhere" / "texts.csv"
    moved.parent.mkdir()
    moved.write_bytes(file.read_bytes())
    again = prepare(small, tmp_path / "t", translations=str(moved))
    assert (again.path / "store.json").read_bytes() == (store.path / "store.json").read_bytes()
    file.write_text("ecg_id,report\n1,other words\n")
    assert data.loader("ptb-xl").source_checksum(small, translations=str(file)) != changed


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (None, UsageError, "no file of translations"),
        ("ecg_id,text\n1,a\n", DBetaError, "no column report"),
        ("ecg_id,report\n1,a\n1,b\n", DBetaError, "names a record twice"),
        ("ecg_id,report\n777,a\n", DBetaError, "none of PTB-XL's"),
    ],
)
def test_what_is_no_table_of_translations_is_one_sentence(small, tmp_path, text, error, words):
    if text is not None:
        (tmp_path / "e.csv").write_text(text)
    with pytest.raises(error, match=words):
        prepare(small, tmp_path / "s", translations=str(tmp_path / "e.csv"))


def test_only_likely_codes_count_where_a_likelihood_is_asked_for(small, tmp_path):
    every, likely = (
        prepare(small, tmp_path / "a"),
        prepare(small, tmp_path / "b", min_likelihood=50.0),
    )
    assert every.labels("super")["MI"].iloc[1] == 1 and likely.labels("super")["MI"].iloc[1] == 0
    assert likely.labels("super")["HYP"].iloc[2] == 1  # at 50
    for task in ("form", "rhythm"):  # published with likelihood 0 throughout
        assert every.labels(task).equals(likely.labels(task))
        assert every.convention(task) == likely.convention(task)
    assert "50 %" in likely.convention("super") and "whatever" in every.convention("super")


def test_500_hz_and_what_is_resampled_from_it(tmp_path, make_ptb_xl):
    folder = tmp_path / "ptb-xl"
    folder.mkdir()
    make_ptb_xl(folder, 3, rates=(500,))
    native = prepare(folder, tmp_path / "500", sampling_rate=500)
    assert native.signals.shape == (3, 12, 5000)
    assert native.records["source"][0] == "records500/00000/00001_hr"
    made = prepare(folder, tmp_path / "100", sampling_rate=100)
    assert made.signals.shape == (3, 12, 1000)
    for row in range(3):
        slow = native.ecg([row])[0, :, ::5]
        assert np.corrcoef(slow[1], made.ecg([row])[0, 1])[0, 1] > 0.97
    assert prepare(folder, tmp_path / "250", sampling_rate=250).signals.shape == (3, 12, 2500)


def test_the_folder_of_the_rate_itself_is_preferred(tmp_path, make_ptb_xl):
    folder = tmp_path / "ptb-xl"
    folder.mkdir()
    make_ptb_xl(folder, 3, rates=(100, 500))
    store = prepare(folder, tmp_path / "s")
    assert store.records["source"][0] == "records100/00000/00001_lr"
    assert prepare(folder, tmp_path / "t", sampling_rate=500).signals.shape[2] == 5000


def test_version_1_0_3_writes_300_for_over_89(small, tmp_path):
    frame = pd.read_csv(small / "ptbxl_database.csv")
    frame["age"] = frame["age"].astype(object)
    frame.loc[0, "age"], frame.loc[1, "age"] = 300.0, ""
    frame.to_csv(small / "ptbxl_database.csv", index=False)
    ages = prepare(small, tmp_path / "s").records["age"]
    assert ages[0] == 90
    assert np.isnan(ages[1])


# ---- records that cannot be kept ----


def _cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def _rewrite(number, **how):
    def damage(folder, write_wfdb, beats):
        write_wfdb(
            header(folder, number).with_suffix(""), how["signal"](beats(1)), how.get("rate", 100)
        )

    return damage


RECORD_DAMAGE = {
    "absent": (lambda f, *_: header(f, 2).unlink(), "file missing", "00002_lr.hea"),
    "no dat": (
        lambda f, *_: header(f, 2).with_suffix(".dat").unlink(),
        "file missing",
        "00002_lr.dat",
    ),
    "truncated": (
        lambda f, *_: _cut(header(f, 2).with_suffix(".dat")),
        "truncated",
        "00002_lr.dat has 1000 bytes",
    ),
    "unreadable": (lambda f, *_: header(f, 2).write_text("\0\1\2"), "unreadable", "00002_lr.hea"),
    "lead": (
        lambda f, *_: edit(header(f, 2), " AVL", " AVK"),
        "unknown lead name",
        "'AVK' is no lead name; did you mean",
    ),
    "rate": (
        lambda f, *_: edit(header(f, 2), " 12 100 ", " 12 125 "),
        "wrong sampling rate",
        "says 125 Hz, expected 100 Hz",
    ),
    "shape": (
        _rewrite(2, signal=lambda ecg: ecg[:, :700]),
        "wrong shape",
        "says 700 samples, expected 1000",
    ),
    "volts": (
        lambda f, *_: edit(header(f, 2), "1000.0(0)/mV", "1000000.0(0)/mV"),
        "amplitude implausible",
        "volts where mV",
    ),
    "counts": (
        lambda f, *_: edit(header(f, 2), "1000.0(0)/mV", "1.0(0)/mV"),
        "beyond 32.767 mV",
        "unit or gain",
    ),
    "nan": (_rewrite(2, signal=lambda ecg: ecg * np.nan), "all leads bad", "00002_lr"),
    "link": (lambda f, *_: _link(header(f, 2)), "path refused", "links are not followed"),
    "outside": (
        lambda f, *_: edit(f / "ptbxl_database.csv", "records100/00000/00002_lr", "../00002_lr"),
        "path refused",
        "'../00002_lr'",
    ),
}


def _link(path):
    path.rename(path.parent / "elsewhere.hea")
    path.symlink_to(path.parent / "elsewhere.hea")


@pytest.mark.parametrize("kind", RECORD_DAMAGE)
def test_a_bad_record_is_set_aside_with_its_reason_and_the_others_kept(
    small, tmp_path, write_wfdb, make_beats, kind
):
    damage, reason, detail = RECORD_DAMAGE[kind]
    damage(small, write_wfdb, make_beats)
    store = prepare(small, tmp_path / "s")
    assert len(store) == 11
    told = {name: why for name, why in aside(store).items() if why[0] != "not in the table"}
    assert list(told) == ["2"]
    found, said = told["2"]
    assert found == reason
    assert detail in said
    assert "00002_lr" in said
    assert f"{reason}: 1, the first 2 (" in store.summary()
    for task in store.tasks():  # labels stay with their records
        labels = store.labels(task)
        for row, codes in enumerate(store.records["scp_codes"]):
            wanted = {_class(task, code) for code in json.loads(codes)} - {None}
            assert {name for name in labels if labels[name].iloc[row]} == wanted


def _class(task, code):
    """The class of a code as one reads it from the table."""
    table = {
        "super": {"NST_": "STTC", "NORM": "NORM", "IMI": "MI", "LVH": "HYP", "CLBBB": "CD"},
        "sub": {name: name for name in ("NST_", "NORM", "IMI", "LVH", "CLBBB")},
        "form": {name: name for name in ("NST_", "ABQRS", "PVC")},
        "rhythm": {name: name for name in ("SR", "AFIB")},
    }
    return table[task].get(code)


@pytest.mark.parametrize("kind", ["V", "uV"])
def test_a_header_that_says_volts_or_microvolts_is_converted(small, tmp_path, kind):
    sound = prepare(small, tmp_path / "sound")
    edit(header(small, 2), "1000.0(0)/mV", {"V": "1000000.0(0)/V", "uV": "1.0(0)/uV"}[kind])
    store = prepare(small, tmp_path / "s")
    assert np.array_equal(store.signals, sound.signals)


def test_nan_and_flat_leads_are_kept_by_the_common_rules(small, tmp_path, write_wfdb, make_beats):
    ecg = make_beats(1)
    ecg[2, 100:120], ecg[6, 100:200], ecg[9] = np.nan, np.nan, 0.2
    write_wfdb(header(small, 2).with_suffix(""), ecg)
    store = prepare(small, tmp_path / "s")
    row = store.records.iloc[1]
    assert (row["nan_filled"], row["flat_leads"]) == (20, 1 << 9)
    assert store.lead_mask()[1].tolist() == [i != 6 for i in range(12)]
    assert not store.signals[1, 6].any()
    summary = store.summary()
    assert "with a missing lead (zeros, masked): 1" in summary
    assert "warning: with a flat lead (kept as recorded): 1" in summary


def test_the_counts_are_printed_last(small, tmp_path, capsys):
    header(small, 2).unlink()
    prepare(small, tmp_path / "s", progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert "11 rows of 6 patients" in lines[0]
    assert lines[-1].startswith("    file missing: 1")


# ---- folders that cannot be used ----


def _all_rates_wrong(folder):
    for path in (folder / "records100").rglob("*.hea"):
        edit(path, " 12 100 ", " 12 128 ")


def _cut_text(name, keep):
    def damage(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return damage


def _add_half_a_text(folder):
    with open(folder / "ptbxl_database.csv", "a") as file:
        file.write('99,"')


FOLDER_DAMAGE = {
    "no csv": (lambda f: (f / "ptbxl_database.csv").unlink(), "ptbxl_database.csv is missing"),
    "no statements": (
        lambda f: (f / "scp_statements.csv").unlink(),
        "scp_statements.csv is missing",
    ),
    "no records": (lambda f: shutil.rmtree(f / "records100"), "has no record files"),
    "empty records": (
        lambda f: [p.unlink() for p in (f / "records100").rglob("*.*")],
        "has no record files",
    ),
    "csv cut in a row": (_cut_text("ptbxl_database.csv", 0.97), "half-downloaded"),
    "csv cut in a text": (_add_half_a_text, "half-downloaded"),
    "csv empty": (_cut_text("ptbxl_database.csv", 0), "damaged or half-downloaded"),
    "csv without rows": (lambda f: edit_rows(f, lambda d: d.head(0)), "lists no record"),
    "csv without a column": (
        lambda f: edit_rows(f, lambda d: d.drop(columns="strat_fold")),
        "has no column strat_fold",
    ),
    "csv is no text": (
        lambda f: (f / "ptbxl_database.csv").write_bytes(b"\xff\xfe\x00" * 99),
        "damaged or half-downloaded",
    ),
    "a record twice": (
        lambda f: edit_rows(f, lambda d: pd.concat([d, d.head(1)])),
        "record '1': stands there twice",
    ),
    "fold 11": (
        lambda f: edit_rows(f, lambda d: d.assign(strat_fold=11)),
        "strat_fold is none of 1 to 10",
    ),
    "statements cut": (_cut_text("scp_statements.csv", 0.2), "scp_statements.csv"),
    "an unexplained code": (
        lambda f: edit(f / "scp_statements.csv", "AFIB,", "XFIB,"),
        "does not explain the code 'AFIB' of record 2",
    ),
    "every rate wrong": (
        _all_rates_wrong,
        "12 of 12 were set aside as 'wrong sampling rate', the first 1 (",
    ),
}


def edit_rows(folder, change):
    change(pd.read_csv(folder / "ptbxl_database.csv")).to_csv(
        folder / "ptbxl_database.csv", index=False
    )


@pytest.mark.parametrize("kind", FOLDER_DAMAGE)
def test_a_folder_that_cannot_be_used_is_one_sentence(small, tmp_path, kind):
    damage, sentence = FOLDER_DAMAGE[kind]
    damage(small)
    with pytest.raises(DBetaError) as caught:
        prepare(small, tmp_path / "s")
    message = str(caught.value)
    assert sentence in message
    assert "\n" not in message
    assert "download PTB-XL again" in message or "check the data folder" in message
    assert caught.value.exit_code == 1
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "s.partial").exists()


@pytest.mark.parametrize(
    "codes",
    [
        "__import__('os').system('touch hacked')",
        "[1, 2]",
        "{'NORM': 'x'}",
        "{'NORM': 101.0}",
        "{1: 100.0}",
        "{'NORM': True}",
        "{'NORM': 1e999}",
        "",
        "{" * 9999,
    ],
)
def test_scp_codes_are_parsed_never_evaluated(small, tmp_path, codes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edit_rows(small, lambda frame: frame.assign(scp_codes=[*frame["scp_codes"][:-1], codes]))
    with pytest.raises(DBetaError, match=r"record '12': scp_codes is no dictionary"):
        prepare(small, tmp_path / "s")
    assert not (tmp_path / "hacked").exists()


def test_a_folder_that_does_not_exist_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="nowhere is no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "s")


def test_wrong_options_are_wrong_use(small, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'published'"):
        prepare(small, tmp_path / "s", report="publishd")
    with pytest.raises(UsageError, match="whole number"):
        prepare(small, tmp_path / "s", sampling_rate=10)
    with pytest.raises(UsageError, match="workers=0"):
        prepare(small, tmp_path / "s", workers=0)


def test_500_hz_is_not_invented_from_100(small, tmp_path):
    with pytest.raises(DBetaError, match=r"500 Hz cannot be made from records100/; download"):
        prepare(small, tmp_path / "s", sampling_rate=500)


def test_tasks_have_the_published_number_of_classes_and_match_by_name():
    assert set(ptb_xl_tables.TASKS) == {"super", "sub", "form", "rhythm"}
    for task in ptb_xl_tables.TASKS:
        assert "scp_statements.csv" in ptb_xl_tables.convention(task)
