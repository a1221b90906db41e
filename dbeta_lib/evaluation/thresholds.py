"""F1 asks for yes or no: where to cut a score, chosen on validation, used once on test.

Each class has its own threshold, the score at which its F1 on the validation rows is highest.
(Cutting where F1 on the *test* rows is highest, as MERL's zero-shot code does, flatters.) A class
without a positive among the validation rows has no threshold: it is left out, by name. Which
classes these are follows from the labels alone, so that all encoders are compared on the same.
"""

from collections.abc import Sequence

import numpy as np

from dbeta_lib.evaluation.metrics import Interval, as_pair, bootstrap, f1_per_class


def best_f1_thresholds(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Where to cut each class: float64 `[K]`, the score from which on is "yes"; NaN: no positive.

    y: 0/1 `[n, K]` and score `[n, K]` of the validation rows. Every score there is a candidate; of
    several with the same F1 the highest is taken. Raises UsageError as `as_pair` does.
    """
    y, score = as_pair(y, score)
    order = np.argsort(-score, axis=0, kind="stable")
    hit, score = (np.take_along_axis(values, order, axis=0) for values in (y, score))
    called = np.arange(1, len(y) + 1)[:, None]  # rows that this score and all above call "yes"
    f1 = 2 * np.cumsum(hit, axis=0) / (called + hit.sum(axis=0))
    f1[:-1][score[:-1] == score[1:]] = -1.0  # a cut takes all rows of one score or none
    best = np.take_along_axis(score, f1.argmax(axis=0)[None], axis=0)[0]
    return np.where(y.any(axis=0), best, np.nan)


def cut(score: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Yes or no, bool: score `[..., n, K]` at or above thresholds `[..., K]`; NaN: never."""
    return np.asarray(score) >= np.asarray(thresholds)[..., None, :]


def f1_at(y: np.ndarray, score: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """F1 of each class at its threshold, `[K]`; NaN without a threshold or a positive in `y`."""
    found = f1_per_class(y, cut(score, thresholds))
    return np.where(np.isnan(thresholds), np.nan, found)


def f1_at_validation_thresholds(
    y_val: np.ndarray, score_val: np.ndarray, y_test: np.ndarray, score_test: np.ndarray
) -> np.ndarray:
    """F1 of each class on the test rows, cut where it is highest on the validation rows: `[K]`.

    Labels 0/1 and scores `[n, K]` of both splits; NaN for a class without positives in either.
    """
    return f1_at(y_test, score_test, best_f1_thresholds(y_val, score_val))


def macro_f1_at(
    y: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    patients: Sequence,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean F1 over the classes that have one, with its interval over patients.

    scores `[n, K]` with thresholds `[K]`, or `[S, n, K]` with `[S, K]`: the mean over S draws. The
    thresholds stay as they are, so that the interval tells of the choice of test patients alone.
    """
    known = ~np.isnan(np.atleast_2d(thresholds)[0])
    answers = cut(scores, thresholds)[..., known]
    return bootstrap(np.asarray(y)[:, known], answers, patients, resamples, seed, metric="f1")
