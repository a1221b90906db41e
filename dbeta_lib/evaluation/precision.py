"""Average precision and F1 of each class, as scikit-learn and the CinC challenges define them.

Both ask for positives: a class without one has no value (NaN) and is left out of the mean and
named by `metrics.macro`, never scored 0. This differs from `metrics.average_precision`, which
follows the AUC and also leaves out a class without a negative.
"""

import numpy as np

from dbeta_lib.errors import UsageError


def as_marks(values: np.ndarray, what: str) -> np.ndarray:
    """bool `[n, K]` of 0/1 or bool `values` `[n, K]` (or `[n]` for one class); `what` names them.

    Raises UsageError for another shape, no rows, or a value other than 0 and 1.
    """
    values = np.asarray(values)
    if values.ndim not in (1, 2) or not len(values):
        raise UsageError(f"{what} of shape {list(values.shape)}: give [n, K] with at least one row")
    marks = values == 1
    if not (marks | (values == 0)).all():
        raise UsageError(f"{what} must be 0 or 1; give one column per class")
    return marks if marks.ndim == 2 else marks[:, None]


def average_precision_per_class(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Average precision of each class, float64 `[K]` in 0..1; NaN for a class without positives.

    AP = sum over distinct scores, from the highest, of (R_n - R_{n-1}) P_n, with R recall and P
    precision among all rows scored as high or higher. The same sum by positives: the mean over
    positives of P at their own score. Equals scikit-learn's `average_precision_score`, ties too.
    y: 0/1 `[n, K]`; score: `[n, K]`, higher = more likely; one class may come as `[n]`.
    Raises UsageError for shapes that differ, labels other than 0 and 1, or scores not finite.
    """
    marks, score = as_marks(y, "labels"), np.asarray(score, dtype=np.float64)
    if np.shape(y) != score.shape:
        raise UsageError(f"labels {np.shape(y)} and scores {score.shape} must have one shape")
    if not np.isfinite(score).all():
        raise UsageError("scores hold NaN or infinity; leave those rows out or repair the encoder")
    score = score.reshape(marks.shape)
    order = np.argsort(-score, axis=0, kind="stable")
    hit = np.take_along_axis(marks, order, axis=0)
    score = np.take_along_axis(score, order, axis=0)
    place = np.broadcast_to(np.arange(len(score))[:, None], score.shape)
    is_last = np.ones(score.shape, bool)  # of the rows with one score
    is_last[:-1] = score[1:] != score[:-1]
    # of each row, the last with its score: the nearest mark at or below it
    last = np.minimum.accumulate(np.where(is_last, place, len(score))[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(hit, axis=0), last, axis=0) / (last + 1)
    return _share((hit * precision).sum(axis=0), marks.sum(axis=0), marks)


def f1_per_class(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """F1 of each class, float64 `[K]` in 0..1; NaN for a class without positives.

    F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; 0 where a class has
    positives and none is predicted. Equals scikit-learn's `f1_score(..., average=None)` for every
    class with positives. y, prediction: 0/1 or bool `[n, K]`; one class may come as `[n]`.
    Raises UsageError for shapes that differ, or a value other than 0 and 1 (cut scores first).
    """
    marks, predicted = as_marks(y, "labels"), as_marks(prediction, "predictions")
    if np.shape(y) != np.shape(prediction):
        raise UsageError(
            f"labels {np.shape(y)} and predictions {np.shape(prediction)} must have one shape"
        )
    true = (marks & predicted).sum(axis=0)
    return _share(2 * true, marks.sum(axis=0) + predicted.sum(axis=0), marks)


def weighted_f1(y: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 under each row of weights: bool `[n, K]`, 0/1 `[n, K]`, `[B, n]` -> `[B, K]`.

    NaN where no weight is on a positive, as in `f1_per_class`.
    """
    true, yes = (y & (answers != 0)).astype(np.float64), np.asarray(answers, dtype=np.float64)
    positive = weights @ y.astype(np.float64)
    whole = positive + weights @ yes
    out = np.full(whole.shape, np.nan)
    return np.divide(2 * (weights @ true), whole, out=out, where=positive > 0)


def _share(part: np.ndarray, whole: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """part / whole `[K]`; NaN for classes of `marks` `[n, K]` without positives."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=marks.any(axis=0))
