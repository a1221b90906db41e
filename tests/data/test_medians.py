"""Medians of many small sets agree with sorting each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data.medians import middle, middle_of, middle_of_nine

numbers = st.floats(0, 1e6, width=32)


def upper(values) -> float:
    return sorted(values)[len(values) // 2] if len(values) else 0


@given(st.lists(numbers, min_size=1, max_size=20))
def test_of_an_even_number_the_upper_one(values):
    assert middle(np.array([values, values[::-1]]), 1).tolist() == [upper(values)] * 2


@given(st.lists(st.tuples(numbers, st.booleans()), min_size=1, max_size=20))
def test_the_median_of_some_is_that_of_these_alone(pairs):
    values, which = (np.array([each]) for each in zip(*pairs))
    assert middle_of(values, which)[0] == upper(values[which])
    grown = np.repeat(values[:, None], 3, axis=1)  # which: one for all along the second axis
    assert middle_of(grown, which[:, None]).tolist() == [[upper(values[which])] * 3]


@pytest.mark.parametrize("count", range(1, 10))
def test_the_median_of_the_first_of_nine_is_that_of_sorting(count):
    rng = np.random.default_rng(count)
    values = rng.integers(-3, 4, (50, 9, 4)).astype(np.float32)  # many are equal
    wanted = np.sort(values[:, :count], axis=1)[:, count // 2]
    values[:, count:] = 99.0  # not looked at
    assert np.array_equal(middle_of_nine(values, np.full(50, count)), wanted)


def test_each_row_has_its_own_number():
    values = np.arange(18.0).reshape(2, 9)
    assert middle_of_nine(values, np.array([2, 5])).tolist() == [1.0, 11.0]
