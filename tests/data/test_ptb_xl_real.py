"""PTB-XL's loader on real records, where they are at hand (../shared/data beside the checkout)."""

import gzip
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from dbeta_lib import data
from dbeta_lib.data import checks, ptb_xl_tables
from dbeta_lib.data.reports import detect_language, repair_ptb_xl

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (SHARED / "ptb-xl").is_dir(), reason="../shared/data/ptb-xl is not there"
)
MERL = {"super": "super_class", "sub": "sub_class", "form": "form", "rhythm": "rhythm"}
# Labels of these differ between versions 1.0.1 and 1.0.3; MERL's files follow 1.0.3.
CHANGED = {1371, 3796, 3797, 3799, 3802, 7778, 7783, 9822, 9824, 13803}
COUNTS = {"super": (1357, 195, 386), "sub": (1357, 195, 386), "form": (605, 93, 176),
          "rhythm": (1344, 185, 383)}  # fmt: skip


@pytest.fixture(scope="module")
def every_tenth(tmp_path_factory):
    """A store of every tenth of the 2,000 records, their table cut to match."""
    folder = tmp_path_factory.mktemp("real") / "ptb-xl"
    folder.mkdir()
    frame = pd.read_csv(SHARED / "ptb-xl/ptbxl_database.csv", dtype=str, keep_default_na=False)
    frame = frame.iloc[::10]
    frame.to_csv(folder / "ptbxl_database.csv", index=False)
    (folder / "scp_statements.csv").write_bytes((SHARED / "ptb-xl/scp_statements.csv").read_bytes())
    for name in frame["filename_lr"]:
        for suffix in (".hea", ".dat"):
            target = folder / (name + suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((SHARED / "ptb-xl" / (name + suffix)).read_bytes())
    return data.prepare("ptb-xl", folder, folder.parent / "store", 100, progress=False)


@pytest.fixture(scope="module")
def tables():
    return (
        ptb_xl_tables.read_records(SHARED / "ptb-xl/ptbxl_database.csv"),
        ptb_xl_tables.read_statements(SHARED / "ptb-xl/scp_statements.csv"),
    )


def test_every_real_record_is_kept_with_the_file_s_own_samples(every_tenth):
    store = every_tenth
    assert len(store) == 200
    assert store.set_aside.empty
    for row in range(0, 200, 7):
        path = SHARED / "ptb-xl" / store.records["source"][row]
        raw = np.fromfile(f"{path}.dat", "<i2").reshape(1000, 12).T  # 1000/mV: the file is in uV
        assert np.array_equal(store.signals[row], raw)
    record = wfdb.rdsamp(str(SHARED / "ptb-xl" / store.records["source"][3]))
    assert np.allclose(store.ecg([3])[0], record[0].T, atol=5e-4)


def test_real_limb_leads_obey_the_laws_and_a_swap_is_caught(every_tenth):
    found = checks.verify(every_tenth)
    assert found["residual_mv"]["median"] < 0.001
    assert found["crossing"] == []
    assert len(found["swapped"]) <= 2
    ecg = every_tenth.ecg(np.arange(50))
    ecg[7, [4, 5]] = ecg[7, [5, 4]]
    findings = checks.find_swapped_leads(ecg)
    assert findings[7] == "aVL and aVF exchanged"


@pytest.mark.parametrize("task", MERL)
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_labels_agree_with_merl_for_every_record_in_both(tables, task, part):
    records, statements = tables
    ours = ptb_xl_tables.labels(records, statements, task)
    name = MERL[task]
    path = SHARED / f"merl_splits/held/ptbxl/{name}/ptbxl_{name}_{part}.csv.gz"
    merl = pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))
    merl.index = merl["ecg_id"].astype(str)
    by_bare_name = {column.replace("_", ""): column for column in ours}
    classes = list(merl.columns[6:])
    assert sorted(classes) == sorted(by_bare_name)
    assert len(merl) == COUNTS[task][("train", "val", "test").index(part)]
    assert not CHANGED & set(merl["ecg_id"])
    for column in classes:
        assert (ours.loc[merl.index, by_bare_name[column]] == merl[column]).all(), column
    # and the other way: what MERL leaves out has no label, and its folds are ours
    folds = {"train": range(1, 9), "val": [9], "test": [10]}[part]
    mine = records[records["strat_fold"].isin(folds)]
    labelled = mine["ecg_id"][ours.loc[mine["ecg_id"]].to_numpy().any(axis=1)]
    assert set(labelled) == set(merl.index)


@pytest.fixture(scope="module")
def all_reports():
    """The report texts of all 21,837 records."""
    packed = (SHARED / "ptb-xl-full/ptbxl_database.csv.gz").read_bytes()
    frame = pd.read_csv(io.BytesIO(gzip.decompress(packed)), dtype=str, keep_default_na=False)
    return frame["report"]


def test_languages_of_all_reports_are_as_counted_elsewhere(all_reports):
    text = all_reports.drop_duplicates().map(repair_ptb_xl)
    languages = all_reports.map(text.map(detect_language).set_axis(all_reports.drop_duplicates()))
    share = languages.value_counts(normalize=True)
    assert 0.62 < share["de"] < 0.66
    assert 0.28 < share["en"] < 0.34
    assert 0.02 < share["sv"] < 0.035
    assert share.get("unknown", 0) < 0.01


def test_no_boilerplate_or_annotators_codes_are_left_in_any_report(all_reports):
    text = all_reports.drop_duplicates().map(repair_ptb_xl)
    left = re.compile(r"unbestät|unconfirm|\b4\.46|\bedit:|f#r|#bergang|á|[ÄÖÜÅ]|  ")
    assert not text[text.str.contains(left)].tolist()
    assert (text.str.len() > 0).sum() >= len(text) - 1  # one report is a blank
