"""Average precision at R, against every order that ties allow."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.evaluation.average_precision_at_r import average_precision_at_r


def in_one_order(is_right):
    """The definition, for candidates sorted: is_right from the first place on."""
    wanted = sum(is_right)
    total = 0.0
    for i in range(1, wanted + 1):
        if is_right[i - 1]:
            total += sum(is_right[:i]) / i
    return total / wanted


def over_all_orders(scores, is_right):
    """Mean of the definition over every order that sorts the scores downwards."""
    values = []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            values.append(in_one_order([is_right[i] for i in order]))
    return np.mean(values)


candidates = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
    lambda rows: any(right for _, right in rows)
)


@given(candidates)
def test_it_is_the_mean_over_all_orders_of_the_ties(rows):
    scores, is_right = (np.array(column) for column in zip(*rows))
    expected = over_all_orders(scores.tolist(), is_right.tolist())
    assert average_precision_at_r(scores, is_right) == pytest.approx(expected, abs=1e-12)


def test_without_ties_it_is_the_definition_on_a_long_list():
    rng = np.random.default_rng(0)
    scores, is_right = rng.permutation(500) / 7, rng.random(500) < 0.2
    expected = in_one_order(is_right[np.argsort(-scores)].tolist())
    assert average_precision_at_r(scores, is_right) == pytest.approx(expected)


def test_values_worked_out_by_hand():
    # R = 2, right on places 1 and 3: place 3 is beyond R
    assert average_precision_at_r(np.array([3, 2, 1]), np.array([True, False, True])) == 0.5
    assert average_precision_at_r(np.array([3, 2, 1]), np.array([True, True, False])) == 1
    # one of four that tie: on the first place with a chance of 1/4
    assert average_precision_at_r(np.ones(4), np.array([False, True, False, False])) == 0.25
