"""Thresholds against a search through all of them, and F1 against scikit-learn."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, precision_recall_curve

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import metrics, records, results, thresholds
from dbeta_lib.evaluation.probe import knn_probe, linear_probe

tables = st.tuples(st.integers(1, 25), st.integers(1, 4))
marks = tables.flatmap(lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1)))


@given(st.data(), marks)
def test_no_cut_has_a_higher_f1_and_no_higher_cut_has_the_same(data, y):
    score = data.draw(arrays(np.float64, y.shape, elements=st.integers(-3, 3).map(float)))
    found = thresholds.best_f1_thresholds(y, score)
    for k, threshold in enumerate(found):
        if not y[:, k].any():
            assert np.isnan(threshold)
            continue
        candidates = np.unique(score[:, k])  # ascending
        f1 = [f1_score(y[:, k], score[:, k] >= t, zero_division=0) for t in candidates]
        highest = [t for t, value in zip(candidates, f1) if np.isclose(value, max(f1))][-1]
        assert threshold == highest


def test_the_highest_f1_is_that_of_scikit_learns_precision_recall_curve():
    rng = np.random.default_rng(0)
    y = rng.random((2000, 4)) < [0.002, 0.05, 0.4, 0.9]
    y[0] = True
    score = y + rng.normal(0, 1, y.shape)
    at = thresholds.best_f1_thresholds(y, score)
    best = thresholds.f1_at(y, score, at)
    for k in range(4):
        precision, recall, _ = precision_recall_curve(y[:, k], score[:, k])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best[k] == pytest.approx(f1.max())


def test_f1_on_test_is_scikit_learns_at_the_thresholds_of_validation():
    rng = np.random.default_rng(1)
    y_val, y_test = rng.random((150, 3)) < 0.2, rng.random((200, 3)) < 0.2
    y_val[:, 2] = False  # no positive: no threshold
    on_val, on_test = (y + rng.normal(0, 1, y.shape) for y in (y_val, y_test))
    found = thresholds.f1_at_validation_thresholds(y_val, on_val, y_test, on_test)
    for k in range(2):
        candidates = np.sort(on_val[:, k])
        best = max(candidates, key=lambda t: f1_score(y_val[:, k], on_val[:, k] >= t))
        assert found[k] == pytest.approx(f1_score(y_test[:, k], on_test[:, k] >= best))
        flattering = max(f1_score(y_test[:, k], on_test[:, k] >= t) for t in on_test[:, k])
        assert found[k] <= flattering
    assert np.isnan(found[2])


def test_a_constant_score_calls_every_row_positive():
    y = np.arange(10)[:, None] < 3
    zeros = np.zeros((10, 1))
    assert thresholds.best_f1_thresholds(y, zeros) == 0
    assert thresholds.f1_at(y, zeros, np.zeros(1)) == pytest.approx(2 * 0.3 / 1.3)


@given(st.data(), marks)
def test_weighted_f1_is_that_of_the_rows_repeated(data, y):
    answers = data.draw(arrays(np.int8, y.shape, elements=st.integers(0, 1)))
    weights = data.draw(arrays(np.int8, (3, len(y)), elements=st.integers(0, 3)))
    found = metrics.METRICS["f1"](y == 1, answers, weights)
    for b, k in np.ndindex(found.shape):
        rows = np.repeat(np.arange(len(y)), weights[b])
        if y[rows, k].any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wanted = f1_score(y[rows, k], answers[rows, k], zero_division=0)
            assert found[b, k] == pytest.approx(wanted)
        else:
            assert np.isnan(found[b, k])


def task(n: int = 600):
    rng = np.random.default_rng(3)
    y = rng.random((n, 3)) < [0.5, 0.2, 0.1]
    x = rng.normal(size=(n, 5))
    x[:, :3] += 1.5 * y
    patients = np.arange(n) // 2
    splits = np.where(patients % 10 < 6, "train", np.where(patients % 10 < 8, "val", "test"))
    y[splits == "val", 2] = False
    return x, pd.DataFrame(y.astype(np.int8), columns=["a", "b", "c"]), splits, patients


@pytest.mark.parametrize("kind", [linear_probe, knn_probe])
def test_a_probe_cuts_where_validation_says_whatever_the_test_labels_are(kind):
    x, labels, splits, patients = task()
    options = {"fractions": (0.2,), "seeds": (0, 1), "resamples": 40, "progress": False}
    probe = kind(x, labels, splits, patients=patients, **options)[0]
    assert probe.thresholds.shape == (2, 3) and np.isnan(probe.thresholds[:, 2]).all()
    slow = [
        f1_score(probe.y[:, k], draw[:, k] >= at[k])
        for draw, at in zip(probe.scores, probe.thresholds)
        for k in (0, 1)
    ]
    found = probe.macro_f1(40)
    assert found.value == pytest.approx(np.mean(slow)) and found.low < found.value < found.high
    assert np.nanmean(probe.f1()) == pytest.approx(found.value) and np.isnan(probe.f1()[2])
    assert 0.45 < found.value < 1
    other = labels.copy()
    other[splits == "test"] = 1 - other[splits == "test"]
    again = kind(x, other, splits, patients=patients, **options)[0]
    np.testing.assert_array_equal(again.thresholds, probe.thresholds)


def test_the_interval_is_that_of_resampled_patients_at_the_same_thresholds():
    x, labels, splits, patients = task()
    probe = linear_probe(x, labels, splits, (0.2,), (0, 1), patients=patients, progress=False)[0]
    weights = metrics.patient_weights(probe.patients, 30, 0)
    slow = []
    for weight in weights.astype(int):
        rows = np.repeat(np.arange(len(probe.y)), weight)
        slow.append(
            np.mean(
                [
                    f1_score(probe.y[rows, k], (draw[:, k] >= at[k])[rows])
                    for draw, at in zip(probe.scores, probe.thresholds)
                    for k in (0, 1)
                ]
            )
        )
    found = probe.macro_f1(30)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))


def test_a_class_that_was_not_fitted_counts_as_found_in_every_row():
    x, labels, splits, patients = task()
    labels.loc[splits == "train", "b"] = 0
    probe = linear_probe(x, labels, splits, (1.0,), patients=patients, progress=False)[0]
    share = probe.y[:, 1].mean()
    assert probe.empty == (("b", "c"),) or probe.empty == (("b",),)
    assert probe.thresholds[0, 1] == 0
    assert probe.f1()[1] == pytest.approx(2 * share / (1 + share))


def test_macro_f1_has_its_own_record_beside_the_auc(tmp_path):
    x, labels, splits, patients = task()
    probe = linear_probe(x, labels, splits, (0.2,), (0, 1), patients=patients, progress=False)[0]
    facts = {"encoder": "toy", "data": "made", "store_fingerprint": "f", "task": "letters"}
    auc, f1 = records.from_probe(probe, **facts), records.f1_from_probe(probe, 50, **facts)
    assert (f1.metric, f1.protocol, f1.k_used, f1.k) == ("macro_f1", "linear probe", 2, 3)
    assert f1.excluded_classes == ("c",) and f1.resamples == 50 and f1.label_fraction == 0.2
    assert f1.per_class["a"]["f1"] == pytest.approx(probe.f1()[0])
    assert f1.value == pytest.approx(probe.macro_f1(50).value) and f1.sd > 0
    assert {auc.save(tmp_path).name, f1.save(tmp_path).name} == {auc.file_name, f1.file_name}
    assert len(results.load_all(tmp_path)) == 2
    assert "macro_f1" in results.table(results.load_all(tmp_path))


def test_a_probe_without_thresholds_says_so():
    x, labels, splits, patients = task()
    probe = linear_probe(x, labels, splits, (1.0,), patients=patients, progress=False)[0]
    bare = type(probe)(**{**vars(probe), "thresholds": None})
    for ask in (bare.f1, bare.macro_f1):
        with pytest.raises(UsageError, match="no thresholds"):
            ask()
