"""The probe's protocol: who is drawn, what chooses C, what the test split is used for, once."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import probe as probing
from dbeta_lib.evaluation.metrics import auc_per_class, bootstrap

CLASSES = ["often", "half", "seldom"]


def task(n: int = 900, d: int = 12, seed: int = 0, signal: float = 1.0):
    """features, labels, splits, patients (two rows each, one side of the split)."""
    rng = np.random.default_rng(seed)
    y = rng.random((n, 3)) < [0.6, 0.4, 0.1]
    x = rng.normal(size=(n, d))
    x[:, :3] += signal * y
    x = x @ rng.normal(size=(d, d)) * 100 + 7
    patients = np.arange(n) // 2
    splits = np.where(patients % 10 < 6, "train", np.where(patients % 10 < 7, "val", "test"))
    return x.astype(np.float32), pd.DataFrame(y.astype(np.int8), columns=CLASSES), splits, patients


def run(x, labels, splits, patients, **more):
    options = {"fractions": (0.1, 1.0), "seeds": (0, 1), "resamples": 100, "progress": False}
    options["standardise"] = True
    return probing.linear_probe(x, labels, splits, patients=patients, **{**options, **more})


def test_all_labels_equal_scikit_learn_with_the_same_protocol():
    x, labels, splits, patients = task()
    found = run(x, labels, splits, patients, fractions=(1.0,))[0]
    y = labels.to_numpy()
    train, val, test = (splits == s for s in ("train", "val", "test"))
    z = (x - x[train].mean(0)) / x[train].std(0)
    best = (-1.0, None)
    for c in probing.GRID:
        models = [
            LogisticRegression(C=c, max_iter=5000).fit(z[train], y[train, k]) for k in (0, 1, 2)
        ]
        auc = np.mean(
            [roc_auc_score(y[val, k], m.decision_function(z[val])) for k, m in enumerate(models)]
        )
        best = max(best, (auc, c), key=lambda pair: pair[0])
        if c == found.chosen[0]:
            mine = [m.decision_function(z[test]) for m in models]
            same_c, on_val = (
                np.mean([roc_auc_score(y[test, k], s) for k, s in enumerate(mine)]),
                auc,
            )
    assert found.interval.value == pytest.approx(same_c, abs=1e-3)
    assert on_val == pytest.approx(best[0], abs=1e-3)
    assert found.macro.value == pytest.approx(found.draws[0])
    assert found.n_test == test.sum() and found.n_train == train.sum() == found.n_labelled


def test_the_interval_is_the_bootstrap_of_the_mean_over_draws():
    found = run(*task())[0]
    again = bootstrap(found.y, found.scores, found.patients, 100)
    assert found.interval == again
    assert found.interval.value == pytest.approx(np.mean(found.draws))
    assert found.sd == pytest.approx(np.std(found.draws, ddof=1))
    assert found.interval.patients == len(np.unique(found.patients)) == found.n_test / 2


def test_draws_are_seeded_unstratified_floor_sized_and_all_at_one():
    rows = np.arange(1357)
    for fraction, size in ((0.01, 13), (0.1, 135), (1.0, 1357), (8, 8)):
        one, same, other = (probing.draw(rows, fraction, seed) for seed in (0, 0, 1))
        assert len(one) == size == len(set(one)) and np.array_equal(one, same)
        assert np.array_equal(one, other) == (size == len(rows))
    assert len(probing.draw(np.arange(50), 0.01, 0)) == 2
    often = np.mean([(probing.draw(rows, 0.1, seed) < 678).mean() for seed in range(200)])
    assert often == pytest.approx(0.5, abs=0.02)


def test_all_labels_are_one_draw_whatever_the_seeds():
    few, all_labels = run(*task(), seeds=(3, 4, 5))
    assert few.seeds == (3, 4, 5) and len(few.draws) == 3
    assert all_labels.seeds == (3,) and np.isnan(all_labels.sd)


def test_test_labels_choose_nothing():
    x, labels, splits, patients = task()
    before = run(x, labels, splits, patients)
    turned = labels.copy()
    turned.loc[splits == "test"] = 1 - turned.loc[splits == "test"]
    after = run(x, turned, splits, patients)
    for a, b in zip(before, after):
        assert a.chosen == b.chosen
        np.testing.assert_array_equal(a.scores, b.scores)
        assert b.interval.value == pytest.approx(1 - a.interval.value)


def test_validation_labels_choose_c():
    x, labels, splits, patients = task(signal=0.6)
    turned = labels.copy()
    turned.loc[splits == "val"] = 1 - turned.loc[splits == "val"]
    before, after = (run(x, y, splits, patients, fractions=(1.0,))[0] for y in (labels, turned))
    assert before.chosen != after.chosen


def test_the_choice_is_the_grid_point_of_best_macro_auc_and_the_first_of_equals():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    good, bad = y.astype(float), -y.astype(float)
    assert probing.best_on_validation(y, np.stack([bad, good, good])) == 1
    assert probing.best_on_validation(y, np.stack([good, bad])) == 0
    mixed = np.stack([np.c_[good[:, 0], bad[:, 1]], np.c_[good[:, 0], np.zeros(4)]])
    assert probing.best_on_validation(y, mixed) == 1


def test_shuffled_labels_give_chance_and_fitting_noise_is_seen_only_in_training():
    x, labels, splits, patients = task(n=2400)
    shuffled = labels.sample(frac=1, random_state=0).reset_index(drop=True)
    found = run(x, shuffled, splits, patients, fractions=(1.0,), resamples=300)[0]
    assert found.interval.low < 0.5 < found.interval.high


def test_scale_and_offset_of_a_feature_do_not_matter():
    x, labels, splits, patients = task()
    found = run(x, labels, splits, patients)
    stretched = run(x * np.geomspace(1e-2, 1e2, x.shape[1]) - 3, labels, splits, patients)
    for a, b in zip(found, stretched):
        assert a.interval.value == pytest.approx(b.interval.value, abs=1e-3)


def test_one_scale_for_all_keeps_small_features_small():
    x, labels, splits, patients = task()
    x = np.c_[x, np.random.default_rng(0).normal(size=(len(x), 300)) * 1e-3].astype(np.float32)
    few, one_scale = (
        run(x, labels, splits, patients, fractions=(0.1,), standardise=s)[0] for s in (True, False)
    )
    assert one_scale.interval.value > few.interval.value + 0.02
    default = probing.linear_probe(
        x, labels, splits, (0.1,), (0, 1), patients=patients, progress=False
    )[0]
    assert default.draws == one_scale.draws


def test_a_class_that_the_draw_lacks_still_counts_with_auc_one_half():
    x, labels, splits, patients = task()
    labels.loc[splits == "train", "seldom"] = 0
    found = run(x, labels, splits, patients, fractions=(1.0,))[0]
    assert found.empty == (("seldom",),)
    assert found.per_class().loc["seldom", "auc"] == 0.5 and found.macro.k_used == 3
    others = auc_per_class(found.y, found.scores[0])[:2]
    assert found.interval.value == pytest.approx((others.sum() + 0.5) / 3)


def test_a_draw_of_one_class_value_only_is_chance():
    x, labels, splits, patients = task()
    labels.loc[splits == "train"] = 0
    found = run(x, labels, splits, patients, fractions=(8,))[0]
    assert found.empty[0] == tuple(CLASSES) and set(found.draws) == {0.5}


def test_a_class_missing_from_the_test_split_is_left_out_by_name():
    x, labels, splits, patients = task()
    labels.loc[splits == "test", "seldom"] = 0
    found = run(x, labels, splits, patients, fractions=(1.0,))[0]
    assert found.macro.excluded == ("seldom",) and (found.macro.k_used, found.macro.k) == (2, 3)
    assert np.isnan(found.per_class().loc["seldom", "auc"])


def test_rows_without_a_label_of_the_task_are_left_out_everywhere():
    x, labels, splits, patients = task()
    valid = labels.to_numpy().any(axis=1)
    assert not valid.all()
    found = run(x, labels, splits, patients, valid=valid)[1]
    assert found.n_train == (valid & (splits == "train")).sum()
    assert found.n_test == (valid & (splits == "test")).sum() and found.y.any(axis=1).all()


def test_more_labels_help_and_a_better_encoder_gains():
    x, labels, splits, patients = task()
    noise = np.random.default_rng(9).normal(size=x.shape)
    good, bad = run(x, labels, splits, patients), run(noise, labels, splits, patients)
    assert good[0].interval.value < good[1].interval.value
    gain = probing.gain(good[1], bad[1])
    assert gain.value == pytest.approx(good[1].interval.value - bad[1].interval.value)
    assert gain.low > 0
    zero = probing.gain(good[0], good[0])
    assert (zero.value, zero.low, zero.high) == (0, 0, 0)
    with pytest.raises(UsageError, match="same task, fraction and draws"):
        probing.gain(good[0], bad[1])


def test_nearest_neighbours_equal_a_slow_search():
    x, labels, splits, patients = task(n=300)
    found = probing.knn_probe(
        x, labels, splits, (1.0,), patients=patients, grid=(5,), resamples=50, progress=False
    )[0]
    train, test = splits == "train", splits == "test"
    z = (x - x[train].mean(0)) / x[train].std(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    distance, index = NearestNeighbors(n_neighbors=5).fit(z[train]).kneighbors(z[test])
    weight = 1 + 1 - distance**2 / 2
    votes = (weight[..., None] * labels.to_numpy()[train][index]).sum(1) / weight.sum(1)[:, None]
    np.testing.assert_allclose(found.scores[0], votes - 0.5, atol=1e-6)


def test_a_patient_on_both_sides_is_found():
    x, labels, splits, patients = task()
    patients[np.flatnonzero(splits == "test")[0]] = patients[0]
    with pytest.raises(DBetaError, match="split by patient"):
        run(x, labels, splits, patients)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y, s, p: (x[:-1], y, s, p), "row by row"),
        (lambda x, y, s, p: (x, y[:-1], s, p), "row by row"),
        (lambda x, y, s, p: (x[:, 0], y, s, p), r"must be \[N, D\]"),
        (lambda x, y, s, p: (x, y.to_numpy(), s, p), "a table whose columns are classes"),
        (lambda x, y, s, p: (x * np.nan, y, s, p), "not|NaN"),
        (lambda x, y, s, p: (x, y, np.where(s == "val", "train", s), p), "'val'"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(change, said):
    with pytest.raises(UsageError, match=said):
        run(*change(*task()))


def named_rows():
    """The task with its rows named, and the same labels in another order."""
    x, labels, splits, patients = task(n=60)
    labels.index = [f"r{i}" for i in range(len(labels))]
    return x, labels, splits, patients, labels.sample(frac=1, random_state=0)


def test_labels_of_other_records_than_the_stores_are_refused_naming_the_first():
    x, labels, splits, patients, turned = named_rows()
    ids = labels.index.to_series().reset_index(drop=True)
    assert run(x, labels, splits, patients, record_ids=ids)
    with pytest.raises(UsageError, match=r"row 0 of the labels is of record 'r\d+', .* 'r0' \("):
        run(x, turned, splits, patients, record_ids=ids)
    with pytest.raises(UsageError, match="row 0 of the labels"):
        probing.knn_probe(x, turned, splits, patients=patients, record_ids=ids, progress=False)
    with pytest.raises(UsageError, match="60 labels and 59 record ids"):
        run(x, labels, splits, patients, record_ids=ids[1:])


@pytest.mark.parametrize("which", ["splits", "patients"])
def test_labels_in_another_order_than_a_table_beside_them_are_refused(which):
    x, labels, splits, patients, turned = named_rows()
    beside = {"splits": splits, "patients": patients}
    beside[which] = pd.Series(beside[which], index=labels.index)
    assert run(x, labels, **beside)
    with pytest.raises(UsageError, match=f"labels and {which} have the same rows in another order"):
        run(x, turned, **beside)


def test_labels_that_are_only_numbered_go_with_a_table_of_any_index():
    x, labels, splits, patients, turned = named_rows()
    numbered = pd.Series(splits, index=turned.index.map(list(labels.index).index))
    assert run(x, labels.reset_index(drop=True), numbered, patients)


def test_marks_of_valid_rows_of_another_length_are_refused_in_a_sentence():
    with pytest.raises(UsageError, match="7 marks of valid rows must be of one store"):
        run(*task(), valid=np.ones(7, dtype=bool))


@pytest.mark.parametrize("fraction", [0.0, 1.5, 1, 10**6, -0.1])
def test_a_share_that_cannot_be_drawn_is_refused(fraction):
    with pytest.raises(UsageError, match="no part of"):
        run(*task(), fractions=(fraction,))
