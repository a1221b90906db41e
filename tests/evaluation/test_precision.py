"""Average precision and F1 of each class, against scikit-learn and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, f1_score

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import metrics

tables = st.tuples(st.integers(1, 25), st.integers(1, 4))
marks = tables.flatmap(lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1)))


@given(st.data(), marks)
def test_average_precision_equals_scikit_learn_with_ties_and_nan_without_positives(data, y):
    score = data.draw(arrays(np.float64, y.shape, elements=st.integers(-2, 2).map(float)))
    found = metrics.average_precision_per_class(y, score)
    for k, value in enumerate(found):
        if y[:, k].any():
            assert value == pytest.approx(average_precision_score(y[:, k], score[:, k]))
        else:
            assert np.isnan(value)


@given(st.data(), marks)
def test_f1_equals_scikit_learn_and_is_nan_without_positives(data, y):
    predicted = data.draw(arrays(np.int8, y.shape, elements=st.integers(0, 1)))
    found = metrics.f1_per_class(y, predicted)
    assert np.array_equal(np.isnan(found), ~y.any(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about empty classes
        for k in np.flatnonzero(y.any(axis=0)):
            assert found[k] == pytest.approx(f1_score(y[:, k], predicted[:, k], zero_division=0))


def test_average_precision_of_a_large_table_equals_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.random((3000, 5)) < [0.001, 0.01, 0.1, 0.5, 0.9]
    y[0] = True
    score = np.round(y + rng.normal(0, 1, y.shape), 1)
    np.testing.assert_allclose(
        metrics.average_precision_per_class(y, score),
        average_precision_score(y, score, average=None),
        rtol=1e-12,
    )


def test_average_precision_by_hand():
    # 0.9: positive, P = 1; 0.5: one of two, P = 2/3 over both: (1 + 2/3) / 2
    found = metrics.average_precision_per_class([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1])
    assert found == pytest.approx([(1 + 2 / 3) / 2])


def test_average_precision_agrees_with_the_weighted_one_where_both_exist():
    rng = np.random.default_rng(1)
    y, score = rng.random((80, 3)) < 0.3, rng.integers(0, 9, (80, 3))
    np.testing.assert_allclose(
        metrics.average_precision_per_class(y, score), metrics.average_precision(y, score)
    )
    only_positives = np.ones((4, 1), int)
    assert metrics.average_precision_per_class(only_positives, np.arange(4.0)[:, None]) == [1]
    assert np.isnan(metrics.average_precision(only_positives, np.arange(4.0)[:, None]))


def test_f1_by_hand_is_0_for_a_class_that_is_never_found():
    y = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], bool)
    predicted = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
    found = metrics.f1_per_class(y, predicted)
    assert found[:2].tolist() == [0.5, 0] and np.isnan(found[2])


def test_the_mean_leaves_out_and_names_classes_without_positives():
    y = np.array([[1, 0, 1], [0, 0, 1]])
    for per_class in (
        metrics.average_precision_per_class(y, np.array([[0.2, 0.1, 0.3], [0.4, 0.1, 0.3]])),
        metrics.f1_per_class(y, np.array([[1, 1, 1], [1, 1, 1]])),
    ):
        found = metrics.macro(per_class, ["one", "none", "all"])
        assert (found.k_used, found.k, found.excluded) == (2, 3, ("none",))
        assert float(found) == pytest.approx((per_class[0] + per_class[2]) / 2)


@pytest.mark.parametrize(
    ("call", "y", "other", "said"),
    [
        (metrics.average_precision_per_class, np.eye(2), np.eye(3), "one shape"),
        (metrics.average_precision_per_class, [1, 0], [[0.1, 0.2]], "one shape"),
        (metrics.average_precision_per_class, [2, 0], [0.1, 0.2], "labels must be 0 or 1"),
        (metrics.average_precision_per_class, [1, 0], [0.1, np.nan], "NaN"),
        (metrics.average_precision_per_class, [], [], "at least one row"),
        (metrics.f1_per_class, [1, 0], [0.7, 0.2], "predictions must be 0 or 1"),
        (metrics.f1_per_class, [1, 0], [1, 0, 1], "one shape"),
        (metrics.f1_per_class, [1, np.nan], [1, 0], "labels must be 0 or 1"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(call, y, other, said):
    with pytest.raises(UsageError, match=said):
        call(y, other)
