"""MERL's published lists: read by name, applied to records, compared with what is at hand."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data import merl_splits, ptb_xl
from dbeta_lib.errors import DBetaError, UsageError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
HELD = SHARED / "merl_splits/held"
needs_shared = pytest.mark.skipif(not HELD.is_dir(), reason="../shared/data is not there")

SPLIT_OF = {"1": "train", "2": "train", "3": "val", "4": "test"}
CLASSES = {"super": ["MI", "NORM"], "sub": ["AVB", "ISC", "NORM"], "form": ["NST", "PVC"],
           "rhythm": ["AFIB", "SR"]}  # fmt: skip
FOLDERS = {"super": "super_class", "sub": "sub_class", "form": "form", "rhythm": "rhythm"}


def ptb_xl_list(path, task, records, classes):
    """One list in the published form; record i is positive for the classes i names."""
    rows = [
        [record, f"{record}.0", 1, f"lr/{record}", f"hr/{record}", "[]"]
        + [int((int(record) + len(name)) % 2) for name in classes]
        for record in records
    ]
    head = ["ecg_id", "patient_id", "strat_fold", "filename_lr", "filename_hr", FOLDERS[task]]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=head + classes).to_csv(path, index=False)
    return path


@pytest.fixture
def lists(tmp_path):
    """PTB-XL's twelve lists, four records; sub's classes in another order in val and test."""
    for task, classes in CLASSES.items():
        for split in ("train", "val", "test"):
            records = [record for record, its in SPLIT_OF.items() if its == split]
            ordered = classes if task != "sub" or split == "train" else ["ISC", "AVB", "NORM"]
            name = FOLDERS[task]
            ptb_xl_list(path_of(tmp_path, task, split), task, records, ordered)
            assert path_of(tmp_path, task, split).name == f"ptbxl_{name}_{split}.csv"
    return tmp_path


def path_of(folder, task, split):
    name = FOLDERS[task]
    return folder / "ptbxl" / name / f"ptbxl_{name}_{split}.csv"


def records_of(ids, **columns):
    frame = pd.DataFrame({"record_id": list(ids), "source": list(ids), "fold": 0})
    frame["patient_id"] = frame["record_id"]
    return frame.assign(**columns)


def test_classes_are_read_by_name_where_their_order_differs(lists):
    found = merl_splits.read(lists, "ptb-xl", "sub").set_index("record")
    for split in ("train", "val", "test"):
        raw = pd.read_csv(path_of(lists, "sub", split)).astype({"ecg_id": str}).set_index("ecg_id")
        for name in CLASSES["sub"]:
            assert (found.loc[raw.index, name] == raw[name]).all()
        assert (found.loc[raw.index, "split"] == split).all()
    assert list(found.columns) == ["split", "AVB", "ISC", "NORM"]
    assert (found.dtypes[CLASSES["sub"]] == np.int8).all()


def test_what_a_reader_by_position_would_take_is_told(lists):
    found = merl_splits.columns_as_read_by_position(lists, "ptb-xl", "sub")
    assert found["train"].tolist() == ["AVB", "ISC", "NORM"]
    assert found["val"].tolist() == found["test"].tolist() == ["ISC", "AVB", "NORM"]
    same = merl_splits.columns_as_read_by_position(lists, "ptb-xl", "form")
    assert (same["train"] == same["test"]).all()


def test_packed_nested_and_blank_lined_files_read_the_same(lists):
    plain = merl_splits.read(lists, "ptb-xl", "super")
    path = path_of(lists, "super", "val")
    path.write_text("\n" + path.read_text())
    assert merl_splits.read(lists, "ptb-xl", "super").equals(plain)
    for path in lists.rglob("*.csv"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert merl_splits.read(lists, "ptb-xl", "super").equals(plain)
    (lists / "finetune/data_split").mkdir(parents=True)
    (lists / "ptbxl").rename(lists / "finetune/data_split/ptbxl")
    assert merl_splits.read(lists, "ptb-xl", "super").equals(plain)


def spoil(lists, old, new, task="super", split="train"):
    path = path_of(lists, task, split)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ecg_id", "id", "does not begin with the columns ecg_id, patient_id"),
        ("MI,NORM", "MI,MI", "does not begin with"),
        ("MI,NORM", "MI,STTC", "other classes than train"),
        ("\n1,", "\none,", "'one' names no record"),
        ("\n2,", "\n1,", r"record 1 stands twice .*\(train and train\)"),
        ("\n2,", "\n3,", r"record 3 stands twice .*\(train and val\)"),
        (",1\n", ",2\n", "record .: a label is neither 0 nor 1"),
        (",1\n", "\n", "record .: a label is neither 0 nor 1"),
        (",1\n", ",1,0,1\n", "damaged or half-downloaded"),
    ],
)
def test_a_damaged_list_is_one_sentence_with_file_and_remedy(lists, old, new, says):
    spoil(lists, old, new)
    with pytest.raises(DBetaError, match=says) as caught:
        merl_splits.read(lists, "ptb-xl", "super")
    message = str(caught.value)
    assert "super_class" in message
    assert message.endswith(merl_splits.REMEDY)
    assert "\n" not in message


def test_a_missing_empty_or_cut_file_is_one_sentence(lists):
    path = path_of(lists, "form", "val")
    path.rename(path.with_suffix(".gone"))
    with pytest.raises(DBetaError, match=r"ptbxl_form_val\.csv is missing"):
        merl_splits.read(lists, "ptb-xl", "form")
    path.write_text("")
    with pytest.raises(DBetaError, match="damaged or half-downloaded"):
        merl_splits.read(lists, "ptb-xl", "form")
    path.unlink()
    packed = gzip.compress(path.with_suffix(".gone").read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DBetaError, match="damaged or half-downloaded"):
        merl_splits.read(lists, "ptb-xl", "form")


def test_a_list_that_unpacks_without_end_is_refused(lists, monkeypatch):
    monkeypatch.setattr(merl_splits, "_LARGEST", 100)
    with pytest.raises(DBetaError, match="more than 100 bytes unpacked"):
        merl_splits.read(lists, "ptb-xl", "super")


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for split in ("train", "val", "test"):
        path = folder / "icbeb" / f"icbeb_{split}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(DBetaError) as caught:
        merl_splits.read(folder, "cpsc2018")
    assert "\n" not in str(caught.value)


def test_tasks_that_contradict_each_other_are_refused(lists):
    spoil(lists, "\n1,", "\n4,", task="rhythm")
    path = path_of(lists, "rhythm", "test")
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(DBetaError, match="record 4 is in different splits in two tasks"):
        merl_splits.splits_of(lists, "ptb-xl")


def test_unknown_names_are_wrong_use(lists):
    with pytest.raises(UsageError, match="did you mean 'ptb-xl'"):
        merl_splits.read(lists, "ptbxl", "super")
    with pytest.raises(UsageError, match="no task ''"):
        merl_splits.read(lists, "ptb-xl")
    assert merl_splits.tasks("csn") == ["csn-merl"]


def test_a_record_of_no_list_is_unused_and_windows_stay_together(lists):
    records = records_of(["4", "9", "1", "1", "3"])
    records.index = [5, 6, 7, 8, 9]
    split = merl_splits.apply(records, lists, "ptb-xl")
    assert split.to_dict() == {5: "test", 6: "unused", 7: "train", 8: "train", 9: "val"}


def test_records_of_another_dataset_are_refused(lists):
    with pytest.raises(DBetaError, match="none of the 2 records stands in the lists"):
        merl_splits.apply(records_of(["70", "80"]), lists, "ptb-xl")


def test_the_names_in_the_lists_may_be_given(lists):
    records = records_of(["a1", "a4"])
    split = merl_splits.apply(records, lists, "ptb-xl", lambda r: r["record_id"].str[1:])
    assert split.tolist() == ["train", "test"]


def test_the_check_finds_each_kind_of_disagreement(lists):
    records = records_of("1239")
    records["patient_id"] = ["p", "q", "p", "s"]
    records["fold"] = [1, 10, 9, 3]
    found = merl_splits.check(records, lists, "ptb-xl")
    assert found.absent == ("4",)
    assert found.unlisted == ("9",)
    assert found.crossing == ("p",)
    assert found.contradicting == ("2",)
    assert "in no list: 1 (9)" in str(found)
    records["patient_id"] = ["p", "q", "r", "p"]
    assert merl_splits.check(records, lists, "ptb-xl").crossing == ()
    whole = merl_splits.check(records_of("1234", fold=[8, 1, 9, 10]), lists, "ptb-xl")
    assert whole == merl_splits.Agreement((), (), (), ())


@needs_shared
@pytest.mark.parametrize("task", merl_splits.tasks("ptb-xl"))
def test_labels_and_splits_of_ptb_xl_are_merl_s_own(task):
    plan = ptb_xl.plan(SHARED / "ptb-xl", sampling_rate=100)
    merl = merl_splits.read(HELD, "ptb-xl", task)
    ours = plan.tasks[task][0].rename(columns=lambda name: name.replace("_", ""))
    classes = list(merl.columns[2:])
    assert sorted(ours.columns) == sorted(classes)
    assert (ours.loc[merl["record"], classes].to_numpy() == merl[classes].to_numpy()).all()
    assert set(ours.index[ours.any(axis=1)]) == set(merl["record"])
    split = plan.records.set_index("record_id")["split"]
    assert (split[merl["record"]].to_numpy() == merl["split"].to_numpy()).all()
    found = merl_splits.check(plan.records, HELD, "ptb-xl")
    assert (found.absent, found.crossing, found.contradicting) == ((), (), ())
    labelled = pd.concat([t[0].any(axis=1) for t in plan.tasks.values()], axis=1).any(axis=1)
    assert set(found.unlisted) == set(labelled.index[~labelled])


@needs_shared
def test_the_published_sub_classes_do_differ_in_order():
    found = merl_splits.columns_as_read_by_position(HELD, "ptb-xl", "sub")
    assert (found["val"] == found["test"]).all()
    apart = found[found["train"] != found["test"]]
    assert apart.index.tolist() == [10, 11, 12]
    assert apart["train"].tolist() == ["AVB", "RAO/RAE", "ISC"]
    assert apart["test"].tolist() == ["ISC", "AVB", "RAO/RAE"]


@needs_shared
def test_real_recordings_of_csn_and_cpsc2018_find_their_lists():
    paths = sorted((SHARED / "csn/WFDBRecords").rglob("*.hea"))
    for root in (SHARED / "csn", SHARED / "csn/WFDBRecords", SHARED):
        source = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
        records = records_of(source)
        split = merl_splits.apply(records, HELD, "csn")
        assert split.value_counts().to_dict() == {"train": 11, "test": 5, "unused": 2}
        assert {Path(name).name for name in records["record_id"][split == "unused"]} == {
            "JS01048", "JS42161",
        }  # fmt: skip
        assert merl_splits.check(records, HELD, "csn").absent == ()
    source = [f"TrainingSet1/A{n}" for n in (1980, 1982, 1983, 1985)]
    split = merl_splits.apply(records_of(source), HELD, "cpsc2018")
    assert split.tolist() == ["train", "val", "test", "train"]


@needs_shared
def test_the_published_test_lists_have_their_known_sizes_and_labels():
    # Only the test lists are held in full, and `read` wants all three.
    for dataset, stem, rows, positives in (
        ("ptb-xl", "ptbxl/super_class/ptbxl_super_class", 2158, {"HYP": 262, "NORM": 963}),
        ("ptb-xl", "ptbxl/form/ptbxl_form", 880, {"PRC(S)": 1, "STE": 3, "TAB": 3}),
        ("csn", "chapman/chapman", 4620, {"2AVB1": 1, "2AVB": 4, "JEB": 5}),
        ("cpsc2018", "icbeb/icbeb", 1376, {"STE": 38}),
    ):
        lists = merl_splits.DATASETS[dataset]
        path = SHARED / "merl_splits/full_test" / f"{stem}_test.csv.gz"
        found = merl_splits._read_list(path, lists, stem)
        assert len(found) == rows
        assert found["record"].is_unique
        assert found[list(positives)].sum().to_dict() == positives
