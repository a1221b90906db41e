"""One way from folder to store: shards merge to the same bytes, splits, what is refused."""

import functools
import sys

import numpy as np
import pandas as pd
import pytest

from dbeta_lib import data
from dbeta_lib.data.plan import Plan
from dbeta_lib.data.prepare import merge, shard_path, write_store
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError, UsageError

prepare_module = sys.modules["dbeta_lib.data.prepare"]  # the package's name is the function's


def prepare(source, dest, **options):
    options = {"workers": 1, "progress": False} | options
    return data.prepare("ptb-xl", source, dest, 100, **options)


@pytest.mark.parametrize("of", [1, 2, 50])  # 50: most shards of 40 records hold one, some none
def test_merged_shards_are_the_bytes_of_one_go(published, tmp_path, folder_bytes, of):
    whole = prepare(published, tmp_path / "whole")
    for number in reversed(range(of)):
        prepare(published, tmp_path / "parts", shard=(number, of))
    merged = merge(tmp_path / "parts", of, progress=False)
    assert folder_bytes(tmp_path / "parts") == folder_bytes(tmp_path / "whole")
    assert merged.fingerprint == whole.fingerprint
    merged.verify()


def test_shards_of_many_windows_and_bad_records_merge_too(
    tmp_path, write_wfdb, make_beats, folder_bytes
):
    lengths = [2500, 80, 1000, 3100, 500, 1000]
    for number, samples in enumerate(lengths):
        write_wfdb(tmp_path / f"r/{number}", make_beats(number, samples))
    (tmp_path / "r/2.dat").unlink()
    make = functools.partial(
        write_store, small_plan(tmp_path), name="made", code_version=1,
        progress=False,
        options={"sampling_rate": 100, "window": "all", "keep_seconds": 10},
    )  # fmt: skip
    whole = make(tmp_path / "whole")
    assert whole.records["record_id"].tolist() == ["r/0", "r/0", "r/3", "r/3", "r/3", "r/4", "r/5"]
    assert whole.records["window"].tolist() == [0, 1, 0, 1, 2, 0, 0]
    assert whole.labels("t")["a"].tolist() == [0, 0, 1, 1, 1, 0, 1]
    assert whole.set_aside["reason"].tolist() == ["left out", "too short", "file missing"]
    assert whole.meta["counts"]["padded"] == 1 and not whole.meta["patients_known"]
    for number in range(4):
        make(tmp_path / "parts", shard=(number, 4), workers=2)
    merge(tmp_path / "parts", 4, progress=False)
    assert folder_bytes(tmp_path / "parts") == folder_bytes(tmp_path / "whole")


def test_long_recordings_are_let_go_before_all_are_read(
    tmp_path, write_wfdb, make_beats, folder_bytes, monkeypatch
):
    for number in range(6):
        write_wfdb(tmp_path / f"r/{number}", make_beats(number, 1000 + 500 * number))
    options = {"sampling_rate": 100, "window": "all", "keep_seconds": 10}
    make = functools.partial(
        write_store, small_plan(tmp_path), name="made", code_version=1, progress=False,
        options=options,
    )  # fmt: skip
    whole = make(tmp_path / "whole")
    held, to_rows = [], prepare_module.to_rows
    monkeypatch.setattr(prepare_module, "_MOST_BYTES", 12 * 2 * 2000)
    monkeypatch.setattr(
        prepare_module, "to_rows", lambda some, hz: held.append(len(some)) or to_rows(some, hz)
    )
    make(tmp_path / "parts")
    assert held == [2, 2, 1, 1, 0] and len(whole) == 12
    assert folder_bytes(tmp_path / "parts") == folder_bytes(tmp_path / "whole")


def small_plan(folder) -> Plan:
    names = [f"r/{number}" for number in range(6)]
    labels = pd.DataFrame({"a": [n % 2 for n in range(6)]}, index=names)
    return Plan(
        pd.DataFrame({"record_id": names, "source": names, "heart rate": np.arange(6) / 3}),
        functools.partial(read_wfdb, str(folder)), "1", "abc",
        {"t": (labels, "odd")}, [("r/x", "left out", "as planned")],
    )  # fmt: skip


def test_missing_and_foreign_shards_are_named(published, tmp_path):
    with pytest.raises(DBetaError, match=r"2 of 2 shards are not finished \(0-of-2, 1-of-2\)"):
        merge(tmp_path / "s", 2)
    prepare(published, tmp_path / "s", shard=(0, 2))
    with pytest.raises(DBetaError, match=r"1 of 2 shards are not finished \(1-of-2\)"):
        merge(tmp_path / "s", 2)
    prepare(published, tmp_path / "s", shard=(1, 2), window="centre")
    with pytest.raises(DBetaError, match="1-of-2 was prepared from another preparation"):
        merge(tmp_path / "s", 2)
    with pytest.raises(UsageError, match="i from 0 to n - 1"):
        shard_path(tmp_path, 2, 2)
    for wrong in (0, -1, "2"):
        with pytest.raises(UsageError, match="1 or more"):
            merge(tmp_path / "s", wrong)
    with pytest.raises(UsageError, match=r"give \(i, n\)"):
        prepare(published, tmp_path / "s", shard="0/2")


def test_shards_of_something_else_are_not_merged(published, tmp_path):
    prepare(published, tmp_path / "s", shard=(0, 1))
    for asked, said in (
        ({"name": "csn"}, "holds shards of ptb-xl, asked for is csn"),
        ({"options": {"sampling_rate": 250}}, "sampling_rate=100, asked for is 250"),
    ):
        with pytest.raises(DBetaError, match=said):
            merge(tmp_path / "s", 1, **asked)
    assert merge(tmp_path / "s", 1, name="ptb-xl", options={"window": "first"}, progress=False)


def test_the_synthetic_cohort_has_no_shards(tmp_path):
    with pytest.raises(UsageError, match="leave the shard out"):
        data.prepare("synthetic", None, tmp_path / "s", 100, shard=(0, 2), patients=10)


def test_a_record_without_a_patient_is_its_own_and_splits_follow_the_shares():
    names = [f"r{n}" for n in range(1000)]
    plan = Plan(pd.DataFrame({"record_id": names, "source": names}), print, "1", "")
    assert plan.records["patient_id"].tolist() == names and not plan.patients_known
    counts = plan.records["split"].value_counts()
    assert counts.to_dict() == {"train": 700, "test": 200, "val": 100}
    parts = pd.concat([plan.block(i, 7).records for i in range(7)])
    assert parts["split"].tolist() == plan.records["split"].tolist()  # no matter how it is cut


def test_a_record_listed_twice_is_refused():
    with pytest.raises(DBetaError, match="record a is listed twice"):
        Plan(pd.DataFrame({"record_id": ["a", "a"], "source": ["a", "b"]}), print, "1", "")


def test_published_splits_take_the_place_of_the_loader_s(published, tmp_path):
    plain = prepare(published, tmp_path / "plain")
    ids = plain.records["record_id"]
    head = "ecg_id,patient_id,strat_fold,filename_lr,filename_hr,{task},A,B\n"
    for where in ("here", "there"):
        for task in ("super_class", "sub_class", "form", "rhythm"):
            folder = tmp_path / where / "ptbxl" / task
            folder.mkdir(parents=True)
            parts = {"train": ids[:4], "val": ids[6:8], "test": ids[10:12]}
            for split, listed in parts.items():
                rows = "".join(f"{i},0,1,x,x,y,0,1\n" for i in listed)
                text = head.format(task=task) + rows
                (folder / f"ptbxl_{task}_{split}.csv").write_text(text)
    store = prepare(published, tmp_path / "s", splits=tmp_path / "here")
    assert store.records["split"].tolist()[:12] == [
        *["train"] * 4, *["unused"] * 2, *["val"] * 2, *["unused"] * 2, *["test"] * 2
    ]  # fmt: skip
    assert store.meta["counts"]["split"] == {"train": 4, "val": 2, "test": 2, "unused": 32}
    again = prepare(published, tmp_path / "t", splits=tmp_path / "there")
    assert (again.path / "store.json").read_bytes() == (store.path / "store.json").read_bytes()
    assert store.meta["preparation"] != plain.meta["preparation"]


def test_wrong_names_and_folders_are_wrong_use(published, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'window'"):
        prepare(published, tmp_path / "s", windows="all")
    with pytest.raises(UsageError, match="did you mean 'first'"):
        prepare(published, tmp_path / "s", window="frist")
    for wrong in ({"keep_seconds": "5"}, {"window": None}, {"min_likelihood": "x"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            prepare(published, tmp_path / "s", **wrong)
    with pytest.raises(UsageError, match="read from a folder"):
        prepare(None, tmp_path / "s")
    with pytest.raises(UsageError, match="is no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "s")
    assert not (tmp_path / "s").exists()
