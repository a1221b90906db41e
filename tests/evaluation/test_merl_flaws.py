"""The flaws of MERL's files and code as tables, against slow readings of the same files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dbeta_lib.data import csn, merl_splits
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import merl_flaws, metrics
from dbeta_lib.evaluation.merl_probe import merl_probe
from dbeta_lib.evaluation.probe import linear_probe

MERL = Path(__file__).resolve().parents[3] / "shared" / "data/merl_splits"
real = pytest.mark.skipif(not MERL.is_dir(), reason="../shared/data/merl_splits is not there")
CLASSES = ["ISC_", "NORM", "RAO/RAE", "_AVB"]  # as the store names them
AGAINST = {"ISC_": "RAO/RAE", "NORM": "NORM", "RAO/RAE": "_AVB", "_AVB": "ISC_"}


def task(n: int = 900, seed: int = 0):
    draw = np.random.default_rng(seed)
    y = draw.random((n, 4)) < [0.2, 0.5, 0.3, 0.4]
    x = draw.normal(size=(n, 6))
    x[:, :4] += 1.5 * y
    patients = np.arange(n)
    splits = np.where(patients % 10 < 6, "train", np.where(patients % 10 < 8, "val", "test"))
    return x, pd.DataFrame(y.astype(np.int8), columns=CLASSES), splits, patients


def merl(x, labels, splits, patients, **more):
    options = {"percents": (10, 100), "seeds": (0, 1), "epochs": 12, "resamples": 50}
    return merl_probe(x, labels, splits, patients=patients, progress=False, **{**options, **more})


def test_three_classes_are_scored_against_other_labels_by_position():
    x, labels, splits, patients = task()
    probe = linear_probe(x, labels, splits, (0.1,), (0, 1), patients=patients, resamples=10,
                         progress=False)[0]  # fmt: skip
    table = merl_flaws.column_order_flaw(probe)
    assert table["class"].tolist() == [*CLASSES, merl_flaws.MEAN]
    truth = labels[splits == "test"]
    for name, row in table.set_index("class").drop(merl_flaws.MEAN).iterrows():
        head = CLASSES.index(name)
        assert row["scored against"] == AGAINST[name] and row["positives"] == truth[name].sum()
        for column, of in (("by name", name), ("by position", AGAINST[name])):
            slow = np.mean([roc_auc_score(truth[of], one[:, head]) for one in probe.scores])
            assert row[column] == pytest.approx(slow)
        if name == "NORM":
            assert row["difference"] == 0
        else:
            assert row["by name"] > 0.7 and row["by position"] < 0.6
    mean = table.iloc[-1]
    assert mean["by name"] == pytest.approx(probe.macro.value)
    assert mean["difference"] == pytest.approx(table["difference"].iloc[:-1].mean())
    assert mean["difference"] < -0.1


def test_labels_read_by_position_give_what_a_reader_by_position_prints():
    x, labels, splits, patients = task()
    flawed = merl_flaws.read_by_position(labels, splits)
    train, rest = splits == "train", splits != "train"
    assert flawed[train].equals(labels[train])
    for name in CLASSES:
        assert (flawed.loc[rest, name] == labels.loc[rest, AGAINST[name]]).all()
    assert flawed.dtypes.equals(labels.dtypes)
    once = {"percents": (100,), "epochs": 1, "collapse": False}  # one epoch: the weights are equal
    printed = merl(x, flawed, splits, patients, **once)[0].selected
    table = merl_flaws.column_order_flaw(merl(x, labels, splits, patients, **once)[0].selected)
    assert printed.interval.value == pytest.approx(table["by position"].iloc[-1])
    assert printed.interval.value != pytest.approx(table["by name"].iloc[-1], abs=0.01)


def test_another_order_than_the_published_one_can_be_given():
    _, labels, splits, _ = task()
    places = {"train": ["NORM", "AVB"], "val": ["NORM", "AVB"], "test": ["AVB", "NORM"]}
    flawed = merl_flaws.read_by_position(labels, splits, pd.DataFrame(places))
    test = splits == "test"
    assert flawed[~test].equals(labels[~test])
    assert (flawed.loc[test, "NORM"] == labels.loc[test, "_AVB"]).all()
    assert (flawed.loc[test, "ISC_"] == labels.loc[test, "ISC_"]).all()


def test_labels_of_another_task_are_refused():
    _, labels, splits, _ = task()
    with pytest.raises(UsageError, match="no class AVB, ISC"):
        merl_flaws.read_by_position(labels[["NORM", "RAO/RAE"]], splits)
    with pytest.raises(UsageError, match="splits are given for 900 rows"):
        merl_flaws.read_by_position(labels, splits[1:])


@real
def test_the_published_order_is_the_one_assumed_and_read_as_merl_s_code_reads_it():
    by_position = merl_splits.columns_as_read_by_position(MERL / "held", "ptb-xl", "sub")
    moved = by_position[by_position["train"] != by_position["test"]]
    assert dict(zip(moved["train"], moved["test"])) == merl_flaws.SUB_BY_POSITION
    assert by_position["val"].equals(by_position["test"])
    lists = merl_splits.read(MERL / "held", "ptb-xl", "sub")
    labels = lists.drop(columns=["record", "split"])
    stem = MERL / "held/ptbxl/sub_class/ptbxl_sub_class"
    for given in (None, by_position):
        flawed = merl_flaws.read_by_position(labels, lists["split"], given)
        for split in ("train", "val", "test"):
            raw = pd.read_csv(f"{stem}_{split}.csv.gz").iloc[:, 6:]  # as finetune_dataset.py has it
            assert np.array_equal(flawed[lists["split"] == split], raw)


def test_substrings_and_the_acronyms_behind_them():
    acronyms = {
        "a": ("AFIB",),
        "b": ("AF",),
        "c": ("1AVB", "SR"),
        "d": ("SR",),
        "e": ("AFIB", "SR"),
    }
    frames = {"csn": csn.exact_labels(acronyms), "csn-merl": csn.merl_labels(acronyms)}
    table = merl_flaws.substring_flaw(frames).set_index("class")
    assert table.index.tolist() == ["AF", "VB", "AVB"]
    assert table.loc["AF"].tolist() == [1, 3, 2, pytest.approx(2 / 3), "AFIB"]
    assert table.loc["VB"].tolist() == [0, 1, 1, 1.0, "1AVB"]
    assert merl_flaws.substring_flaw({task: f[["SR"]] for task, f in frames.items()}).empty


@pytest.fixture
def csn_store(tmp_path, write_wfdb, make_beats):
    """30 records of CSN's layout: every AFIB is AF by substring, STTC is ST, one has SB alone."""
    codes = {"AFIB": 164889003, "AF": 164890007, "STTC": 428750005, "ST": 427084000,
             "SR": 426783006, "SB": 426177001}  # fmt: skip
    of = [("AFIB",), ("AF", "STTC"), ("SR",), ("ST",), ("AFIB", "STTC"), ("SR", "STTC")] * 5
    of[11] = ("SB",)
    source = tmp_path / "csn"
    for i, names in enumerate(of):
        path = source / "WFDBRecords/01/010" / f"JS{i:05d}"
        write_wfdb(path, make_beats(i, 5000, 500), 500)
        with open(f"{path}.hea", "a") as header:
            header.write(f"#Dx: {','.join(str(codes[name]) for name in names)}\n")
    lines = [f"{name},{name},{code}" for name, code in codes.items()]
    table = "\n".join(["Acronym Name,Full Name,Snomed_CT", *lines])
    (source / csn.TABLE).write_text(f"{table}\n")
    options = {"sampling_rate": 500, "window": "first", "keep_seconds": 10}
    plan = csn.plan(source, sampling_rate=500)
    made = write_store(plan, tmp_path / "store", "csn", options, csn.CODE_VERSION, progress=False)
    return made, of


def test_the_same_scores_have_another_auc_by_substring(csn_store):
    store, of = csn_store
    classes = ["AF", "AFIB", "SB", "ST", "STTC", "UW"]
    rows = np.random.default_rng(0).permutation(30)[:26]
    draw = np.random.default_rng(1)
    truth = np.array([[name in of[row] for name in classes] for row in rows])
    scores = 2.0 * truth + draw.normal(size=(3, *truth.shape))
    table = merl_flaws.substring_auc(store, rows, scores, classes, 200)
    kept = [of[row] != ("SB",) for row in rows]
    assert table["class"].tolist() == ["AF", "AFIB", "ST", "STTC", merl_flaws.MEAN]
    slow = {"exact": [], "substring": []}
    for name, row in table.set_index("class").drop(merl_flaws.MEAN).iterrows():
        k = classes.index(name)
        by_substring = np.array([name in ",".join(of[r]) for r in rows])[kept]
        for column, y in (("exact", truth[kept, k]), ("substring", by_substring)):
            auc = np.mean([roc_auc_score(y, one[kept, k]) for one in scores])
            slow[column].append(auc)
            assert row[column] == pytest.approx(auc) and row[f"{column} positives"] == y.sum()
        if name in ("AFIB", "STTC"):
            assert row["difference"] == row["low"] == row["high"] == 0
        else:
            assert row["difference"] < -0.1 and row["high"] < 0
    mean = table.iloc[-1]
    assert mean["exact"] == pytest.approx(np.mean(slow["exact"]))
    assert mean["difference"] == pytest.approx(np.mean(slow["substring"]) - np.mean(slow["exact"]))
    assert mean["low"] < mean["difference"] < mean["high"] < 0


def test_the_interval_of_the_difference_is_paired(csn_store):
    store, of = csn_store
    rows = np.flatnonzero([names != ("SB",) for names in of])
    scores = np.random.default_rng(2).normal(size=(len(rows), 2))
    found = merl_flaws.substring_auc(store, rows, scores, ["AF", "ST"], 50).iloc[-1]
    weights = metrics.patient_weights(store.records["patient_id"].to_numpy()[rows], 50, 0)
    slow = []
    for weight in weights.astype(int):
        drawn = np.repeat(np.arange(len(rows)), weight)
        both = [
            [test(name, of[rows[i]]) for i in drawn]
            for name in ("AF", "ST")
            for test in (lambda n, of: n in of, lambda n, of: n in ",".join(of))
        ]
        auc = [roc_auc_score(y, scores[drawn, k // 2]) for k, y in enumerate(both)]
        slow.append((auc[1] - auc[0] + auc[3] - auc[2]) / 2)
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))


def test_scores_that_cannot_be_compared_are_refused(csn_store):
    store, _ = csn_store
    with pytest.raises(UsageError, match="do not fit 5 rows, 2 names"):
        merl_flaws.substring_auc(store, np.arange(5), np.zeros((5, 3)), ["AF", "ST"])
    with pytest.raises(UsageError, match="both labelings"):
        merl_flaws.substring_auc(store, np.arange(5), np.zeros((5, 1)), ["UW"])


@real
def test_substrings_of_the_published_test_split_are_counted_as_in_its_own_text():
    merl_rows = pd.read_csv(MERL / "full_test/chapman/chapman_test.csv.gz")
    names = merl_rows["diagnose"].str.split(",")
    acronyms = dict(zip(merl_rows["ecg_path"], names))
    frames = {"csn": csn.exact_labels(acronyms), "csn-merl": csn.merl_labels(acronyms)}
    table = merl_flaws.substring_flaw(frames).set_index("class")
    assert set(table.index) == {"AF", "ST", "VB", "AVB", "SA", "CR", "2AVB"}
    for name, row in table.iterrows():
        exact = names.map(lambda of, name=name: name in of).sum()
        assert row["exact positives"] == exact
        assert row["substring positives"] == merl_rows[name].sum()
        assert row["false share"] == pytest.approx(1 - exact / merl_rows[name].sum())
    assert table.loc["AF", "because of"] == "AFIB"
    assert table.index[0] == "AF" and table["false positives by substring"].is_monotonic_decreasing


def test_inflation_is_the_paired_difference_of_the_two_readings():
    x, *rest = task()
    noise = np.random.default_rng(1).normal(size=x.shape)  # whose best epoch is a matter of luck
    found = merl(noise, *rest, collapse=False)
    table = merl_flaws.best_epoch_flaw(found, 50)
    assert table["inflation"].max() > 0.001
    assert table["labels"].tolist() == [10, 100]
    for one, row in zip(found, table.itertuples()):
        gained = np.mean(one.best_test.draws) - np.mean(one.selected.draws)
        assert row.inflation == pytest.approx(gained) and row.inflation >= 0
        assert row.low <= row.inflation + 1e-9 and row.high >= row.inflation - 1e-9
    assert table["epoch by val"].iloc[0] == np.median(found[0].selected.chosen)


def test_the_collapse_costs_most_where_the_rate_falls_early():
    given = task()
    flawed, meant = merl(*given), merl(*given, collapse=False)
    table = merl_flaws.collapse_flaw(flawed, meant, 50)
    assert table["loss"].tolist() == pytest.approx(
        [b.selected.interval.value - a.selected.interval.value for a, b in zip(flawed, meant)]
    )
    assert table["loss"].iloc[-1] > 0 and (table["low"] <= table["high"]).all()
    with pytest.raises(UsageError, match="1 probes with the collapse, 2 without"):
        merl_flaws.collapse_flaw(flawed[:1], meant)
    with pytest.raises(UsageError, match="same task, fraction and draws"):
        merl_flaws.collapse_flaw(flawed[:1], meant[1:])
