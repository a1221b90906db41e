"""Average precision at R of one query with R right answers, the expected value over ties."""

import numpy as np


def average_precision_at_r(scores: np.ndarray, is_right: np.ndarray) -> float:
    """(1 / R) sum over places i = 1..R of P(i) [i is right], in 0..1, for R right answers.

    P(i) is the share of right answers on the first i places. Among candidates with one score the
    order is random and the expected value is taken (as McSherry and Najork, ECIR 2008, do for
    other measures): on place i of a group of n with m right ones, which begins after place b with
    r right ones before it, the expected product is (m / n) (r + 1 + (i - b - 1)(m - 1) / (n - 1))
    / i.
    scores: `[N]`, higher = better, finite; is_right: bool `[N]`, at least one.
    """
    wanted = int(np.count_nonzero(is_right))
    # Only the candidates that can reach the first R places: a full sort of each column is slow.
    least = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
    top = np.flatnonzero(scores >= least)
    top = top[np.argsort(scores[top], kind="stable")[::-1]]
    group = np.concatenate([[0], np.cumsum(np.diff(scores[top]) != 0)])
    size = np.bincount(group)
    right = np.bincount(group, weights=is_right[top])
    before, right_before = np.cumsum(size) - size, np.cumsum(right) - right
    of_place = group[:wanted]
    place = np.arange(1, wanted + 1)
    n, m = size[of_place], right[of_place]
    others = (place - before[of_place] - 1) * (m - 1) / np.maximum(1, n - 1)
    expected = m / n * (right_before[of_place] + 1 + others) / place
    return float(expected.sum() / wanted)
