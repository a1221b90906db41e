"""Which finding is taken for which: the labels of what a search between ECGs and reports finds.

Recall asks for the very report of an ECG. A report of another patient with the same finding is no
bad answer, and one of the opposite finding is: so the labels of what stands first are counted.
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.errors import UsageError


@dataclass(frozen=True)
class Confusion:
    """Of the queries with one class, the share whose first answer has another.

    shares: float64 `[K, K]`, row = class asked with, column = class found, 0..1, NaN for a class
    that no query has. Records have several classes, so a row need not sum to 1. chance: float64
    `[K]`, the shares of an answer drawn blindly. queries: int64 `[K]`, with each class.
    """

    shares: np.ndarray
    chance: np.ndarray
    queries: np.ndarray


def confusion(
    similarity: np.ndarray, query_labels: np.ndarray, answer_labels: np.ndarray
) -> Confusion:
    """Labels of the answer with the greatest similarity, by the labels of the query.

    similarity `[Q, A]`, higher = more alike; query_labels `[Q, K]` 0/1; answer_labels `[A, K]`,
    0..1: of a text that several records have, the share of them with the class. Where answers tie
    for the first place, their mean counts. Raises UsageError for shapes that do not fit or
    similarities not finite.
    """
    similarity, asked, found = (np.asarray(each, dtype=np.float64)
                                for each in (similarity, query_labels, answer_labels))  # fmt: skip
    wanted = (len(asked), len(found))
    if similarity.shape != wanted or not all(wanted) or asked.shape[1:] != found.shape[1:]:
        raise UsageError(
            f"a similarity of shape {similarity.shape} does not fit labels of shape {asked.shape} "
            f"and {found.shape}; give [queries, answers], [queries, K] and [answers, K]"
        )
    if not np.isfinite(similarity).all():
        raise UsageError("similarities hold NaN or infinity; look at the encoder")
    first = similarity == similarity.max(axis=1, keepdims=True)
    answer = (first / first.sum(axis=1, keepdims=True)) @ found
    queries = (asked == 1).sum(axis=0)
    sums = (asked == 1).astype(float).T @ answer
    has = queries[:, None] > 0
    shares = np.divide(sums, queries[:, None], out=np.full_like(sums, np.nan), where=has)
    return Confusion(shares, found.mean(axis=0), queries)
