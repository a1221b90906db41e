"""MERL's recipe on cached features: whose rows it sees, and which epoch is reported under which
name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from dbeta_lib.data import merl_splits
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import results
from dbeta_lib.evaluation.merl_head import train_heads
from dbeta_lib.evaluation.merl_probe import BEST_TEST, SELECTED, merl_probe
from dbeta_lib.evaluation.metrics import bootstrap

HELD = Path(__file__).resolve().parents[3] / "shared" / "data/merl_splits/held"
CLASSES = ["often", "half", "seldom"]


def task(n: int = 900, d: int = 12, seed: int = 0):
    """features, labels, splits, patients (two rows each, one side of the split)."""
    draw = np.random.default_rng(seed)
    y = draw.random((n, 3)) < [0.6, 0.4, 0.1]
    x = draw.normal(size=(n, d))
    x[:, :3] += y
    patients = np.arange(n) // 2
    splits = np.where(patients % 10 < 6, "train", np.where(patients % 10 < 8, "val", "test"))
    return x.astype(np.float32), pd.DataFrame(y.astype(np.int8), columns=CLASSES), splits, patients


def run(x, labels, splits, patients, percents=(10,), **more):
    options = {"seeds": (0, 1), "epochs": 12, "resamples": 50, "progress": False}
    return merl_probe(x, labels, splits, percents, patients=patients, **{**options, **more})


def macro_of(y, scores):
    return roc_auc_score(y, scores, average="macro")


def test_the_two_readings_are_the_epochs_of_the_best_validation_and_the_best_test_auc():
    _, labels, splits, patients = task()
    x = np.random.default_rng(1).normal(size=(len(labels), 12)).astype(np.float32)  # a wavy curve
    found = run(x, labels, splits, patients, percents=(100,), collapse=False)[0]
    y = labels.to_numpy()
    train, val, test = (splits == name for name in ("train", "val", "test"))
    heads = list(train_heads(x[train], y[train], (0, 1), collapse=False, epochs=12))
    assert len(set(found.selected.chosen)) == 2, "each seed has an epoch of its own"
    for s in (0, 1):
        auc = {
            name: [macro_of(y[rows], x[rows] @ h[s, :-1] + h[s, -1]) for h in heads]
            for name, rows in (("val", val), ("test", test))
        }
        curve = found.curve[found.curve["seed"] == s]
        assert curve["epoch"].tolist() == list(range(1, 13))
        for name in auc:
            assert curve[name].tolist() == pytest.approx(auc[name], abs=1e-9)
        assert found.selected.chosen[s] == np.argmax(auc["val"]) + 1
        assert found.selected.draws[s] == pytest.approx(auc["test"][np.argmax(auc["val"])])
        assert found.best_test.draws[s] == pytest.approx(max(auc["test"]))
        for one in (found.selected, found.best_test):
            head = heads[int(one.chosen[s]) - 1][s]
            assert np.allclose(one.scores[s], x[test] @ head[:-1] + head[-1], atol=1e-5)


def test_test_labels_choose_nothing_but_the_number_that_says_so():
    x, labels, splits, patients = task()
    before = run(x, labels, splits, patients)[0]
    turned = labels.copy()
    turned[splits == "test"] = 1 - turned[splits == "test"]
    after = run(x, turned, splits, patients)[0]
    assert before.selected.chosen == after.selected.chosen
    assert np.array_equal(before.selected.scores, after.selected.scores)
    assert before.best_test.chosen != after.best_test.chosen


def test_the_best_test_epoch_is_never_below_and_flatters_noise():
    x, labels, splits, patients = task()
    noise = np.random.default_rng(1).normal(size=x.shape)
    found = run(
        noise,
        labels,
        splits,
        patients,
        percents=(10, 100),
        epochs=30,
        seeds=range(4),
        collapse=False,
    )
    for one in found:
        assert all(np.array(one.best_test.draws) >= one.selected.draws)
    assert found[1].best_test.interval.value > found[1].selected.interval.value + 0.01


def test_intervals_resample_test_patients():
    found = run(*task())[0]
    for one in (found.selected, found.best_test):
        assert one.interval == bootstrap(one.y, one.scores, one.patients, 50)
        assert one.interval.patients == len(np.unique(one.patients)) == one.n_test / 2
    assert "at the best test epoch" in str(found) and "not here" not in str(found)


def test_without_a_list_the_draw_is_scikit_learn_s_of_the_labelled_training_rows():
    x, labels, splits, patients = task()
    valid = np.random.default_rng(2).random(len(x)) < 0.8
    rows = np.flatnonzero(valid & (splits == "train"))
    drawn, _ = train_test_split(rows, train_size=0.1, random_state=42)
    others = labels.copy()
    others.loc[~np.isin(np.arange(len(x)), drawn) & (splits == "train")] = 0
    others[~valid] = 1
    one, same = (run(x, which, splits, patients, valid=valid)[0] for which in (labels, others))
    assert one.selected.n_train == len(drawn) and one.selected.n_labelled == len(rows)
    assert one.selected.n_test == (valid & (splits == "test")).sum()
    assert np.array_equal(one.selected.scores, same.selected.scores)
    other = labels.copy()
    other.iloc[drawn[:5]] = 1 - other.iloc[drawn[:5]]
    assert not np.array_equal(
        run(x, other, splits, patients, valid=valid)[0].selected.scores, one.selected.scores
    )


def test_a_published_list_is_drawn_from_and_its_absent_records_are_named():
    x, labels, splits, patients = task()
    names = np.array([f"r{i // 2}" for i in range(len(x))])  # two windows of each record
    here = np.unique(names[splits == "train"])
    listed = np.random.default_rng(3).permutation([*here, *(f"gone{i}" for i in range(90))])
    drawn, _ = train_test_split(listed, train_size=0.1, random_state=42)
    found = run(x, labels, splits, patients, records=names, train_list=listed)[0]
    assert found.absent == tuple(name for name in drawn if name.startswith("gone")) != ()
    assert found.selected.n_train == 2 * (len(drawn) - len(found.absent))
    assert f"{len(found.absent)} drawn records are not here" in str(found)
    assert found.variant == "12 epochs"


@pytest.mark.skipif(not HELD.is_dir(), reason="../shared/data/merl_splits is not there")
def test_the_draw_from_real_lists_is_scikit_learn_s():
    lists = merl_splits.read(HELD, "ptb-xl", "super")
    train = lists["record"][lists["split"] == "train"].to_numpy()
    labels = lists.drop(columns=["record", "split"])
    x = np.random.default_rng(0).normal(size=(len(lists), 4))
    names = lists["record"]
    found = run(
        x, labels, lists["split"], names, (1, 10), records=names, train_list=train, epochs=1
    )
    for one, size in zip(found, (13, 135), strict=True):
        assert one.selected.n_train == size and one.absent == ()
        drawn, _ = train_test_split(train, train_size=size, random_state=42)
        positives = labels[lists["record"].isin(drawn)].sum()
        assert one.selected.empty[0] == tuple(positives.index[positives == 0])


def test_a_class_without_a_positive_still_counts_with_its_untrained_direction():
    x, labels, splits, patients = task()
    labels.loc[splits == "train", "seldom"] = 0
    found = run(x, labels, splits, patients)[0]
    assert found.selected.empty == (("seldom",),) * 2
    assert found.selected.macro.k_used == 3
    assert np.ptp(found.selected.scores[0, :, 2]) > 0


def test_what_differs_from_merl_s_code_is_in_the_record():
    given = task()
    names = [str(i) for i in range(len(given[0]))]
    trained = [n for n, split in zip(names, given[2]) if split == "train"]
    as_merl = run(*given, records=names, train_list=trained, epochs=100)[0]
    assert as_merl.variant == ""
    other = run(*given, collapse=False, batch_size=64)[0]
    assert other.variant == (
        "draw from this store's rows, rate without the collapse, batch 64, 12 epochs"
    )


def test_both_readings_are_kept_under_their_names(tmp_path):
    found = run(*task())[0]
    facts = {"encoder": "toy", "data": "drawn", "store_fingerprint": "f", "task": "t"}
    kept = found.results(**facts)
    assert [one.protocol for one in kept] == [SELECTED, BEST_TEST]
    assert len({one.file_name for one in kept}) == 2
    again = results.load(kept[1].save(tmp_path))
    assert again.value == found.best_test.interval.value and again.label_fraction == 0.1
    assert again.seeds == (0, 1) and again.n_train == found.best_test.n_train
    assert again.variant == found.variant and again.per_class["often"]["positives"] > 0


def test_wrong_use_is_told():
    x, labels, splits, patients = task()
    with pytest.raises(UsageError, match="whole number, 1 to 100"):
        run(x, labels, splits, patients, percents=(0.1,))
    with pytest.raises(UsageError, match="at least one percentage and one seed"):
        run(x, labels, splits, patients, seeds=())
    with pytest.raises(UsageError, match="row by row"):
        run(x[:-1], labels, splits, patients)
    with pytest.raises(UsageError, match="NaN or infinity"):
        run(x * np.nan, labels, splits, patients)
    with pytest.raises(UsageError, match="no labelled row is in the split 'val'"):
        run(x, labels, np.where(splits == "val", "train", splits), patients)
    with pytest.raises(UsageError, match="whole numbers from 1"):
        run(x, labels, splits, patients, batch_size=0)
    with pytest.raises(UsageError, match="needs `records`"):
        run(x, labels, splits, patients, train_list=["1"] * 20)
    with pytest.raises(DBetaError, match="none of the 2 records"):
        run(x, labels, splits, patients, train_list=["gone"] * 20, records=["a"] * len(x))
    with pytest.raises(DBetaError, match="more than one split"):
        run(x, labels, splits, np.zeros(len(x)))
