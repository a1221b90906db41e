"""Draws of few labels: MERL's own, and one that keeps every class."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.model_selection import train_test_split

from dbeta_lib.data import label_subsets
from dbeta_lib.errors import UsageError

tables = st.tuples(st.integers(1, 60), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)


@pytest.mark.parametrize("n", [17_084, 7_197, 16_832, 4_950, 16_546, 101, 200])
@pytest.mark.parametrize("percent", [1, 10, 29, 57, 99])
def test_merl_s_draw_is_scikit_learn_s(n, percent):
    expected, _ = train_test_split(np.arange(n), train_size=percent / 100, random_state=42)
    assert np.array_equal(label_subsets.merl(n, percent), expected)


@pytest.mark.parametrize(
    ("n", "one", "ten"),
    [(17_084, 170, 1708), (7_197, 71, 719), (16_832, 168, 1683), (4_950, 49, 495),
     (16_546, 165, 1654)],
)  # fmt: skip
def test_merl_s_draws_have_their_published_sizes(n, one, ten):
    assert len(label_subsets.merl(n, 1)) == one
    assert len(label_subsets.merl(n, 10)) == ten
    assert np.array_equal(label_subsets.merl(n, 100), np.arange(n))


@pytest.mark.parametrize("percent", [0, -1, 101, 0.5, True])
def test_an_impossible_percentage_is_wrong_use(percent):
    with pytest.raises(UsageError, match="whole number, 1 to 100"):
        label_subsets.merl(1000, percent)


def test_a_draw_of_nothing_is_wrong_use():
    with pytest.raises(UsageError, match="1 % of 99 training rows is not one"):
        label_subsets.merl(99, 1)
    with pytest.raises(UsageError, match="is no part of 99 rows"):
        label_subsets.stratified(np.zeros((99, 2)), 0.01, 0)


@given(tables, st.integers(1, 60), st.integers(0, 3))
def test_a_stratified_draw_has_its_size_and_every_class(labels, size, seed):
    assume(size <= len(labels))
    try:
        rows = label_subsets.stratified(labels, size, seed)
    except UsageError:  # refused only where there are more values to hold than rows
        assert size < 2 * labels.shape[1]
        return
    assert len(rows) == size
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < len(labels)
    assert (labels[rows].any(axis=0) == labels.any(axis=0)).all()
    assert (labels[rows].all(axis=0) == labels.all(axis=0)).all()


@given(tables, st.integers(0, 3))
def test_all_rows_are_all_rows(labels, seed):
    assert np.array_equal(label_subsets.stratified(labels, 1.0, seed), np.arange(len(labels)))


@given(st.integers(1, 3000), st.integers(1, 100))
@example(100, 29)  # 0.29 * 100 is a hair below 29
def test_a_share_is_its_floor_whatever_floats_make_of_it(n, percent):
    size = percent * n // 100
    assume(size >= 1)
    assert len(label_subsets.stratified(np.zeros((n, 1)), percent / 100, 0)) == size


def cohort(n=5000, seed=0):
    """0/1 labels `[n, 8]`, from one class in ten thousand to two of three; some correlated."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.0006, 0.002, 0.01, 0.03, 0.08, 0.15, 0.3, 0.66])
    labels = (rng.random((n, 8)) < shares).astype(np.int8)
    labels[labels[:, 4] == 1, 6] = 1
    return labels


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5])
def test_each_class_keeps_its_share(fraction):
    labels = cohort()
    for seed in range(3):
        rows = label_subsets.stratified(labels, fraction, seed)
        expected = np.maximum(1, fraction * labels.sum(axis=0))
        assert np.abs(labels[rows].sum(axis=0) - expected).max() <= 0.02 * len(rows) + 1
        assert len(rows) == int(fraction * len(labels))


def test_merl_s_draw_loses_classes_that_the_stratified_one_keeps():
    labels = cohort()
    assert not labels[label_subsets.merl(len(labels), 1)].any(axis=0).all()
    assert labels[label_subsets.stratified(labels, 0.01, 0)].any(axis=0).all()


def test_the_seed_alone_decides():
    labels = cohort()
    first = label_subsets.stratified(labels, 0.1, 0)
    np.random.seed(1)  # global state plays no part
    assert np.array_equal(first, label_subsets.stratified(pd.DataFrame(labels), 0.1, 0))
    assert not np.array_equal(first, label_subsets.stratified(labels, 0.1, 1))


def test_every_row_may_be_drawn():
    labels = cohort(200)
    seen = {row for seed in range(60) for row in label_subsets.stratified(labels, 0.2, seed)}
    assert len(seen) == 200


def test_wrong_labels_and_too_small_draws_are_wrong_use():
    with pytest.raises(UsageError, match="other than 0 and 1"):
        label_subsets.stratified(np.array([[0, 2]]), 1, 0)
    with pytest.raises(UsageError, match="rows and classes"):
        label_subsets.stratified(np.zeros(5), 1, 0)
    with pytest.raises(UsageError, match=r"3 of 8 rows are too few .* of 8 classes"):
        label_subsets.stratified(np.eye(8, dtype=int), 3, 0)


def test_eight_hundred_thousand_rows_take_seconds():
    shares = np.geomspace(1e-5, 0.5, 40)
    rng = np.random.default_rng(0)
    labels = rng.random((800_000, 40), dtype=np.float32) < shares
    began = time.perf_counter()
    rows = label_subsets.stratified(labels, 0.01, 0)
    assert time.perf_counter() - began < 10
    assert len(rows) == 8000
    assert labels[rows].any(axis=0).all()
