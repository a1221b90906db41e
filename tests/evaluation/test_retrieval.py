import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.retrieval import own_places


def test_places_are_those_of_sorting_each_row():
    similarity = np.random.default_rng(0).normal(size=(7, 7))
    by_sorting = [list(np.argsort(-row)).index(i) + 1 for i, row in enumerate(similarity)]
    assert own_places(similarity).tolist() == by_sorting


@given(st.integers(1, 12))
def test_a_constant_similarity_gives_everybody_the_middle_place(n):
    assert own_places(np.ones((n, n))).tolist() == [(n + 1) / 2] * n


def test_ties_share_their_places_with_those_below_and_above():
    assert own_places(np.array([[1, 1, 2], [0, 3, 0], [5, 5, 5]])).tolist() == [2.5, 1, 2]


def test_what_pairs_nothing_is_refused():
    with pytest.raises(UsageError, match=r"\[n, n\]"):
        own_places(np.ones((2, 3)))
    with pytest.raises(UsageError, match="NaN"):
        own_places(np.array([[np.nan]]))
