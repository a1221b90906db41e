import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.retrieval_confusion import confusion

ASKED = np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
ANSWERS = np.array([[1, 0], [0, 1], [0.5, 0]])


def test_shares_by_hand():
    similarity = np.array([[9, 1, 0], [0, 9, 1], [0, 9, 1], [0, 1, 9]])
    found = confusion(similarity, ASKED, ANSWERS)
    assert found.queries.tolist() == [3, 2]
    assert np.allclose(found.shares, [[(1 + 0 + 0.5) / 3, 1 / 3], [0.5 / 2, 1 / 2]])
    assert np.allclose(found.chance, [0.5, 1 / 3])


def test_a_constant_similarity_finds_what_luck_finds():
    found = confusion(np.zeros((4, 3)), ASKED, ANSWERS)
    assert np.allclose(found.shares, [found.chance, found.chance])


def test_a_class_without_a_query_has_no_share():
    found = confusion(np.eye(2), [[1, 0], [1, 0]], [[1, 0], [0, 1]])
    assert np.isnan(found.shares[1]).all() and found.shares[0].tolist() == [0.5, 0.5]


def test_reports_search_ecgs_by_the_same_matrix_turned():
    similarity = np.random.default_rng(0).normal(size=(4, 3))
    found = confusion(similarity.T, ANSWERS == 1, ASKED)
    best = ASKED[similarity.argmax(axis=0)]
    assert np.allclose(found.shares, [best[0], best[1]])


@pytest.mark.parametrize(
    "similarity", [np.zeros((3, 4)), np.zeros((0, 0)), np.full((4, 3), np.nan)]
)
def test_what_does_not_fit_is_said(similarity):
    with pytest.raises(UsageError, match=r"does not fit|NaN"):
        confusion(similarity, ASKED[: len(similarity)], ANSWERS)
