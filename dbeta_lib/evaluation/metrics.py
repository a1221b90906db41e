"""Ranking metrics with their uncertainty: AUC, average precision, bootstrap over patients.

AUC is the share of (positive, negative) pairs that the score orders rightly, a tie counting one
half (Mann-Whitney U / (n+ n-)). A class whose rows have one value only has no AUC: it is left out
of the mean and named, never scored 0.5. Classes run along the last axis everywhere.

The bootstrap draws patients with replacement and keeps all rows of a drawn patient. A resample is
a vector of whole-number row weights, so one sort per class serves every resample: weighted AUC is
a sum over positives of the cumulated weight of the negatives below. The macro AUC of a resample
is again the mean over the classes that have both values in it, the same rule as for the estimate.
Intervals are percentile intervals; two score matrices are compared on the same resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.challenge import challenge_score  # noqa: F401  (one name for users)
from dbeta_lib.evaluation.precision import average_precision_per_class, f1_per_class, weighted_f1  # noqa: F401
from dbeta_lib.seeds import rng

BLOCK = 4_000_000  # numbers held at once by the weighted metrics (32 MB each array)


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval over patients."""

    value: float  # on the data as they are
    low: float
    high: float
    level: float = 0.95
    resamples: int = 0  # those in which the metric exists
    rows: int = 0
    patients: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Macro:
    """Mean over the classes that have both values; `float(macro)` is the mean."""

    value: float
    k_used: int
    k: int
    excluded: tuple[str, ...]  # classes with one value only

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        named = f" (without {', '.join(self.excluded)})" if self.excluded else ""
        return f"{self.value:.3f} over {self.k_used}/{self.k} classes{named}"


def as_pair(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`y` bool `[n, K]` and `score` float64 `[n, K]`, checked; one class may come as `[n]`.

    Raises UsageError on shapes that differ, labels other than 0 and 1, or scores not finite.
    """
    y, score = np.asarray(y), np.asarray(score, dtype=np.float64)
    if y.shape != score.shape or y.ndim not in (1, 2):
        raise UsageError(f"labels {y.shape} and scores {score.shape} must have one shape [n, K]")
    if not np.isin(np.unique(y), (0, 1)).all():
        raise UsageError("labels must be 0 or 1; give one column per class")
    if not np.isfinite(score).all():
        raise UsageError("scores hold NaN or infinity; leave those rows out or repair the encoder")
    if y.ndim == 1:
        y, score = y[:, None], score[:, None]
    return y.astype(bool), score


def both_values(y: np.ndarray) -> np.ndarray:
    """bool `[K]`: the class has at least one positive and one negative row."""
    y = np.asarray(y, dtype=bool)
    return y.any(axis=0) & ~y.all(axis=0)


def auc_per_class(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """AUC of each class, float64 `[K]` in 0..1; NaN where a class has one value only."""
    y, score = as_pair(y, score)
    return weighted_auc(y, score, np.ones((1, len(y))))[0]


def average_precision(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Average precision of each class, `[K]`: sum of (R_n - R_{n-1}) P_n; NaN as for the AUC.

    A step per distinct score, as scikit-learn and the CinC challenges have it (the area under the
    straight-line curve is larger and not comparable).
    """
    y, score = as_pair(y, score)
    return weighted_average_precision(y, score, np.ones((1, len(y))))[0]


def macro(per_class: np.ndarray, classes: Sequence[str] | None = None) -> Macro:
    """Mean over the classes with a value, `[K]` -> Macro; NaN when there is none."""
    per_class = np.asarray(per_class, dtype=np.float64)
    names = [str(c) for c in classes] if classes is not None else map(str, range(len(per_class)))
    missing = np.isnan(per_class)
    excluded = tuple(name for name, absent in zip(names, missing, strict=True) if absent)
    value = float(per_class[~missing].mean()) if not missing.all() else float("nan")
    return Macro(value, int((~missing).sum()), len(per_class), excluded)


def macro_auc(y: np.ndarray, score: np.ndarray, classes: Sequence[str] | None = None) -> Macro:
    """Mean AUC over the classes that have both values, with the others named."""
    return macro(auc_per_class(y, score), classes)


def weighted_auc(y: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of each class under each row of weights: `[n, K]`, `[n, K]`, `[B, n]` -> `[B, K]`.

    For class k and weights w: sum over positives i of w_i (w(negatives below s_i) + half of
    w(negatives equal to s_i)), divided by w(positives) w(negatives).
    """
    out = np.full((len(weights), y.shape[1]), np.nan)
    for k in range(y.shape[1]):
        negative = np.flatnonzero(~y[:, k])
        positive = np.flatnonzero(y[:, k])
        negative = negative[np.argsort(score[negative, k], kind="stable")]
        below = np.searchsorted(score[negative, k], score[positive, k], side="left")
        up_to = np.searchsorted(score[negative, k], score[positive, k], side="right")
        for part in _blocks(weights):
            # cumulated weight of the sorted negatives, a zero in front: [b, n- + 1]
            cumulated = np.zeros((len(weights[part]), len(negative) + 1))
            np.cumsum(weights[part][:, negative], axis=1, out=cumulated[:, 1:])
            w_positive = weights[part][:, positive]
            wins = (w_positive * (cumulated[:, below] + cumulated[:, up_to])).sum(axis=1) / 2
            pairs = w_positive.sum(axis=1) * cumulated[:, -1]
            out[part, k] = np.divide(wins, pairs, out=out[part, k], where=pairs > 0)
    return out


def weighted_average_precision(y: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision under each row of weights: `[n, K]`, `[n, K]`, `[B, n]` -> `[B, K]`."""
    out = np.full((len(weights), y.shape[1]), np.nan)
    for k in range(y.shape[1]):
        order = np.argsort(-score[:, k], kind="stable")
        ends = np.flatnonzero(np.diff(score[order, k], append=np.nan) != 0)  # last of each tie
        hit = y[order, k].astype(np.float64)
        for part in _blocks(weights):
            sorted_weights = weights[part][:, order].astype(np.float64)
            total = np.cumsum(sorted_weights, axis=1)[:, ends]
            true = np.cumsum(sorted_weights * hit, axis=1)[:, ends]
            gained = np.diff(true, axis=1, prepend=0.0)
            precision = np.divide(true, total, out=np.zeros_like(true), where=total > 0)
            positives, everything = true[:, -1], total[:, -1]
            found = (gained * precision).sum(axis=1)
            exists = (positives > 0) & (positives < everything)
            out[part, k] = np.divide(found, positives, out=out[part, k], where=exists)
    return out


def _blocks(weights: np.ndarray) -> list[slice]:
    rows = max(1, BLOCK // max(1, weights.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(weights), rows)]


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "auc": weighted_auc,
    "average_precision": weighted_average_precision,
    "f1": weighted_f1,  # of answers 0/1 in the place of scores: see `thresholds`
}


def patient_weights(patients: Sequence, n: int, seed: int) -> np.ndarray:
    """How often each row is drawn in each of `n` resamples of the patients: float64 `[n, rows]`.

    As many patients are drawn, with replacement, as there are; all rows of one come together.
    """
    _, codes = np.unique(np.asarray(patients), return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    if count < 2:
        raise UsageError("a bootstrap needs rows of at least two patients")
    drawn = rng(seed, "bootstrap").integers(count, size=(n, count))
    drawn += np.arange(n)[:, None] * count  # one range of counters per resample
    counts = np.bincount(drawn.ravel(), minlength=n * count).reshape(n, count)
    return counts[:, codes].astype(np.float64)


def resampled_macro(
    y: np.ndarray, scores: np.ndarray, weights: np.ndarray, metric: str = "auc"
) -> np.ndarray:
    """Macro metric of each resample, `[B]`; `scores` `[n, K]` or `[S, n, K]` (mean over S draws).

    The mean over draws is taken inside each resample, so that the interval of the mean covers
    the choice of test patients and nothing else.
    """
    per_draw = [
        mean_over_classes(METRICS[metric](*as_pair(y, draw), weights))
        for draw in (scores if np.ndim(scores) == 3 else [scores])
    ]
    return np.mean(per_draw, axis=0)


def mean_over_classes(per_class: np.ndarray) -> np.ndarray:
    """Mean over the classes with a value, `[B, K]` -> `[B]`, NaN where none has one."""
    exists = ~np.isnan(per_class)
    total = np.where(exists, per_class, 0.0).sum(axis=1)
    count = exists.sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def interval(
    value: float, resampled: np.ndarray, *, level: float = 0.95, rows: int = 0, patients: int = 0
) -> Interval:
    """Percentile interval of the resampled values (those that exist) around an estimate."""
    kept = resampled[~np.isnan(resampled)]
    tail = (1 - level) / 2
    low, high = np.quantile(kept, (tail, 1 - tail)) if len(kept) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high), level, len(kept), rows, patients)


def bootstrap(
    y: np.ndarray,
    score: np.ndarray,
    patients: Sequence,
    n: int = 1000,
    seed: int = 0,
    *,
    metric: str = "auc",
    level: float = 0.95,
) -> Interval:
    """Macro AUC (or macro average precision) with its interval over patients.

    `y` `[n, K]`; `score` `[n, K]`, or `[S, n, K]` for the mean over S draws of a probe.
    """
    _same_length(y, patients)
    weights = patient_weights(patients, n, seed)
    value = resampled_macro(y, score, np.ones((1, len(weights[0]))), metric)[0]
    values = resampled_macro(y, score, weights, metric)
    return interval(
        value, values, level=level, rows=len(y), patients=len(np.unique(np.asarray(patients)))
    )


def bootstrap_per_class(
    y: np.ndarray,
    score: np.ndarray,
    patients: Sequence,
    n: int = 1000,
    seed: int = 0,
    *,
    metric: str = "auc",
    level: float = 0.95,
) -> list[Interval]:
    """The metric of each class with its interval; a class with one value has NaN throughout."""
    _same_length(y, patients)
    y, score = as_pair(y, score)
    weights = patient_weights(patients, n, seed)
    values = METRICS[metric](y, score, np.ones((1, len(y))))[0]
    resampled = METRICS[metric](y, score, weights)
    count = len(np.unique(np.asarray(patients)))
    return [
        interval(value, column, level=level, rows=len(y), patients=count)
        for value, column in zip(values, resampled.T, strict=True)
    ]


def class_table(classes: Sequence[str], aucs: Sequence[Interval], y: np.ndarray) -> pd.DataFrame:
    """AUC of each class with its interval and positives in `y` `[n, K]`, the best class first."""
    columns = {name: [getattr(i, name) for i in aucs] for name in ("value", "low", "high")}
    table = pd.DataFrame({**columns, "positives": y.sum(axis=0)}, index=list(classes))
    return table.rename(columns={"value": "auc"}).sort_values("auc", ascending=False)


def paired_bootstrap(
    y: np.ndarray,
    score_a: np.ndarray,
    score_b: np.ndarray,
    patients: Sequence,
    n: int = 1000,
    seed: int = 0,
    *,
    metric: str = "auc",
    level: float = 0.95,
) -> Interval:
    """Interval of macro(a) - macro(b) on the same rows, both on the same resampled patients."""
    _same_length(y, patients)
    if np.shape(score_a)[-2:] != np.shape(score_b)[-2:]:
        raise UsageError(f"scores of {np.shape(score_a)} and {np.shape(score_b)} cannot be paired")
    weights = patient_weights(patients, n, seed)
    once = np.ones((1, len(weights[0])))
    value = resampled_macro(y, score_a, once, metric) - resampled_macro(y, score_b, once, metric)
    values = resampled_macro(y, score_a, weights, metric)
    values = values - resampled_macro(y, score_b, weights, metric)
    return interval(
        value[0], values, level=level, rows=len(y), patients=len(np.unique(np.asarray(patients)))
    )


def _same_length(y: np.ndarray, patients: Sequence) -> None:
    if len(y) != len(patients):
        raise UsageError(f"{len(patients)} patients are given for {len(y)} rows of labels")
