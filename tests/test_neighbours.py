"""The farthest and nearest rows agree with a slow loop, whatever backend and block size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.neighbours import SPARE, farthest, nearest


def slow(rows, k, sign):
    """From the definition: every cosine in float64, sorted by (score, index), self left out."""
    table = []
    for i, own in enumerate(rows.astype(np.float64)):
        scores = [(-sign * round(float(own @ other), 9), j) for j, other in enumerate(rows)]
        table.append([j for _, j in sorted(s for s in scores if s[1] != i)][:k])
    return np.array(table)


def unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def dense(seed, rows=150, d=9):
    return unit(np.random.default_rng(seed).normal(size=(rows, d)))


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize("block", [1, 64, None])
def test_the_table_equals_brute_force(backend, block):
    rows = dense(0)
    assert np.array_equal(farthest(rows, 17, backend, block), slow(rows, 17, -1))
    assert np.array_equal(nearest(rows, 17, backend, block), slow(rows, 17, 1))


@given(
    st.integers(2, 90), st.integers(1, 4), st.integers(1, 70), st.integers(0, 2**31), st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_ties_are_broken_by_index_in_both_backends(total, d, k, seed, far):
    # Small integers: many rows are equal, opposite, orthogonal or zero.
    rows = unit(np.random.default_rng(seed).integers(-1, 2, size=(total, d)).astype(float))
    search, sign = (farthest, -1) if far else (nearest, 1)
    expected = slow(rows, min(k, total - 1), sign)
    for backend in ("torch", "faiss"):
        for block in (7, None):
            assert np.array_equal(search(rows, k, backend, block), expected)


def test_more_equal_candidates_than_spares_are_still_ordered_by_index():
    rows = np.zeros((400, 3), np.float32)
    rows[:, 0] = 1
    rows[-5:] = [0, 1, 0]
    table = farthest(rows, 4)
    assert len(rows) > 4 + SPARE
    assert np.array_equal(table[0], [395, 396, 397, 398])
    assert np.array_equal(table[-1], [0, 1, 2, 3])
    assert np.array_equal(nearest(rows, 3)[0], [1, 2, 3])
    assert np.array_equal(nearest(rows, 3)[1], [0, 2, 3])


def test_no_row_is_its_own_neighbour_and_a_small_set_gives_all_others():
    rows = dense(3, rows=40)
    table = farthest(rows, 64)
    assert table.shape == (40, 39) and table.dtype == np.int32
    assert all(sorted([i, *row]) == list(range(40)) for i, row in enumerate(table))


def test_cosines_below_float32_resolution_are_told_apart():
    angles = np.linspace(0, 2e-4, 120)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for backend in ("torch", "faiss"):
        assert np.array_equal(farthest(rows, 5, backend), slow(rows, 5, -1))


def test_bad_input_is_named():
    with pytest.raises(DBetaError, match="leave nothing to compare"):
        farthest(np.ones((1, 4), np.float32))
    with pytest.raises(DBetaError, match="NaN"):
        farthest(np.full((3, 4), np.nan, np.float32))
    with pytest.raises(UsageError, match="did you mean 'faiss'"):
        farthest(dense(0), 3, backend="fais")
    with pytest.raises(UsageError, match="at least 1"):
        farthest(dense(0), 0)
