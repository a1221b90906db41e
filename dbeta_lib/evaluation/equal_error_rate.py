"""Equal error rate: one threshold on a similarity, both kinds of mistake equally frequent.

A pair is accepted where its similarity is at least t. With genuine pairs (two records of one
person) and impostor pairs (records of two persons):

    FRR(t) = share of the genuine pairs below t        (falsely rejected)
    FAR(t) = share of the impostor pairs at t or above (falsely accepted)

The rate is where the two meet, on the line that joins the points (FAR, FRR) of neighbouring
thresholds, as the ROC curve of scikit-learn joins them. 0 is perfect, 0.5 is a toss of a coin.
"""

import numpy as np


def equal_error_rate(similarity: np.ndarray) -> tuple[float, float]:
    """Rate 0..1 and its threshold, of similarities `[P, P]` with the genuine pairs on the diagonal.

    Where only impostors lie between two genuine scores, the threshold is taken midway.
    """
    scores = _Scores(similarity)
    frr, far = scores.curve(np.ones(len(similarity)))
    rate, before, after = _crossing(frr, far)
    values = np.repeat(scores.values, 2)
    return rate, float((values[before] + values[after]) / 2)


def resampled_rates(similarity: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rate under each row of weights over patients: `[P, P]`, `[B, P]` -> `[B]`.

    A genuine pair weighs w_i, the pair of patients i and j w_i w_j: a patient who was drawn twice
    stands twice on both sides, and is no impostor of himself. NaN where one patient is all there
    is. Takes B P^2 steps: 15 s for 1,000 resamples of 2,000 patients.
    """
    scores = _Scores(similarity)
    one_only = (weights > 0).sum(axis=1) < 2
    rates = [np.nan if bad else _crossing(*scores.curve(w))[0] for w, bad in zip(weights, one_only)]
    return np.array(rates)


class _Scores:
    """Similarities sorted into the gaps between the distinct genuine scores, and onto them.

    Bin 2k + 1 holds what equals the k-th genuine score, bin 2k what lies below it and above the one
    before: the only places at which one of the two rates can turn.
    """

    def __init__(self, similarity: np.ndarray) -> None:
        similarity = np.asarray(similarity, dtype=np.float64)
        self.values, self.own = np.unique(np.diag(similarity), return_inverse=True)
        below = np.searchsorted(self.values, similarity, side="left")
        self.bins = below + np.searchsorted(self.values, similarity, side="right")

    def curve(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """FRR and FAR `[2m]`, at and just above each of the m genuine scores."""
        m, drawn = len(self.values), np.flatnonzero(w)
        genuine = np.bincount(self.own, weights=w, minlength=m)
        pairs = np.outer(w[drawn], w[drawn])
        np.fill_diagonal(pairs, 0)
        bins = self.bins[np.ix_(drawn, drawn)]
        impostor = np.bincount(bins.ravel(), weights=pairs.ravel(), minlength=2 * m + 1)
        rejected = np.zeros(2 * m)
        rejected[1::2] = np.cumsum(genuine)
        rejected[2::2] = rejected[1:-1:2]
        accepted = np.cumsum(impostor[::-1])[::-1]
        return rejected / genuine.sum(), accepted[1:] / accepted[0]


def _crossing(frr: np.ndarray, far: np.ndarray) -> tuple[float, int, int]:
    """Where FRR, which rises, meets FAR, which falls: the rate and the points around it."""
    gap = frr - far
    after = int(np.argmax(gap >= 0))  # there is one: above the last genuine score FRR is 1
    if after == 0:
        return float(far[0]), 0, 0
    before = after - 1
    part = -gap[before] / (gap[after] - gap[before])
    return float(frr[before] + part * (frr[after] - frr[before])), before, after
