"""Beside people: a model against the annotators of CODE-test, each at their own operating point.

An annotator says yes or no, which is one point: a sensitivity and a specificity. A model gives
scores and can be set to any point of its ROC. What can be compared is the model's sensitivity at
the annotator's specificity, read from the ROC with straight lines between its thresholds (as the
area under it is). The difference to the annotator's sensitivity is resampled over patients for
both together.

Whom a model is compared with decides what that means. The residents and the students (each group
of two people, a half of the recordings each) are independent of the gold standard; the two
cardiologists made it, so no one can beat them at it, and they stand apart. The votes of the
authors' own network are at thresholds chosen for the largest F1.

Ribeiro et al., Nature Communications 11, 1760 (2020).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.metrics import Interval, interval, mean_over_classes, patient_weights
from dbeta_lib.evaluation.results import Result
from dbeta_lib.evaluation.zero_shot import ZeroShot

DATASET, GOLD = "code-test", "gold"
INDEPENDENT, MADE_GOLD = "independent", "made the gold standard"
NETWORK = "no human: votes of the authors' network"
KINDS = {  # annotator, a label task of the store -> what the gold standard is to them
    "cardiology_residents": INDEPENDENT,
    "emergency_residents": INDEPENDENT,
    "medical_students": INDEPENDENT,
    "cardiologist1": MADE_GOLD,
    "cardiologist2": MADE_GOLD,
    "dnn": NETWORK,
}


@dataclass(frozen=True)
class Comparison:
    """A model beside one annotator; arrays `[K]`, NaN for a class with one value only."""

    annotator: str
    kind: str  # a value of `KINDS`
    classes: tuple[str, ...]
    sensitivity: np.ndarray = field(repr=False)  # the annotator's, 0..1
    specificity: np.ndarray = field(repr=False)
    at_specificity: np.ndarray = field(repr=False)  # the model's sensitivity there
    differences: tuple[Interval, ...] = field(repr=False)  # model minus annotator, per class
    mean: Interval | None = None  # of the differences over the classes

    @property
    def balanced_accuracy(self) -> np.ndarray:
        """(sensitivity + specificity) / 2 of each class: the "AUC" of 0/1 votes, `[K]`."""
        return (self.sensitivity + self.specificity) / 2


def votes_of(store, classes: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """0/1 votes `[n, K]` of every annotator on rows of a CODE-test store, columns by name.

    Raises UsageError for a store without annotators, DBetaError for an annotator without a vote on
    some of the rows, or on a class.
    """
    rows = np.asarray(rows)
    if absent := [name for name in KINDS if name not in store.tasks()]:
        raise UsageError(
            f"{store.path} has no label task '{absent[0]}'; annotators come with CODE-test alone"
        )
    found = {}
    for name in KINDS:
        labels, silent = store.labels(name), ~store.labels_valid(name)[rows]
        if unknown := [c for c in classes if c not in labels]:
            raise DBetaError(
                f"{store.path}: annotator '{name}' has no column {', '.join(unknown)}; prepare the "
                "store again from the published files"
            )
        if silent.any():
            first = store.records["record_id"].iloc[rows[silent][0]]
            raise DBetaError(
                f"{store.path}: annotator '{name}' has no vote on {silent.sum()} of {len(rows)} "
                f"recordings (the first {first}); prepare the store again from the published files"
            )
        found[name] = labels[list(classes)].to_numpy()[rows]
    return found


def compare(
    result: ZeroShot, votes: Mapping[str, np.ndarray], resamples: int = 1000, seed: int = 0
) -> list[Comparison]:
    """The model's scores beside each annotator's votes, against the same gold standard.

    result: scores and gold labels, as `zero_shot` gives them (or `zero_shot.summarise`, of any
    classifier). votes: annotator -> 0/1 `[n, K]`, rows and columns as there. Needs some 50 bytes
    for each of resamples x n. Raises UsageError for votes of another shape or other than 0 and 1.
    """
    for name, given in votes.items():
        if np.shape(given) != result.y.shape or not np.isin(given, (0, 1)).all():
            raise UsageError(
                f"votes of '{name}', {np.shape(given)}, must be 0 or 1 in the shape of the labels, "
                f"{result.y.shape}"
            )
    if not votes:
        return []
    weights = patient_weights(result.patients, resamples, seed)
    as_is = np.ones((1, weights.shape[1]))  # the data as they are come first
    weights = np.concatenate([as_is, weights])
    given = np.stack([np.asarray(v, dtype=bool) for v in votes.values()])  # [A, n, K]
    points = [
        operating_points(result.y[:, k] == 1, result.scores[:, k], given[:, :, k], weights)
        for k in range(len(result.classes))
    ]
    own, specific, model = np.stack(points, axis=-1)  # each [A, 1 + B, K]
    rows = {"rows": len(result.y), "patients": len(np.unique(result.patients))}
    found = []
    for a, name in enumerate(votes):
        gap = model[a] - own[a]
        mean = mean_over_classes(gap)
        each = [interval(gap[0, k], gap[1:, k], **rows) for k in range(gap.shape[1])]
        found.append(
            Comparison(
                name, KINDS.get(name, "not said"), result.classes, own[a, 0], specific[a, 0],
                model[a, 0], tuple(each), interval(mean[0], mean[1:], **rows),
            )
        )  # fmt: skip
    return found


def operating_points(
    is_positive: np.ndarray, score: np.ndarray, votes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Sensitivity and specificity of annotators, and the model's sensitivity there: `[3, A, B]`.

    is_positive bool `[n]`, score `[n]`, votes bool `[A, n]`, weights `[B, n]` (whole numbers: how
    often a row counts). With the annotator's false alarms FP_a (weight of the negatives
    called) and the model's at its thresholds, FP_1 <= FP_2 <= ...: the model's sensitivity is that
    of the last threshold with FP_i <= FP_a, plus the part (FP_a - FP_i) / (FP_i+1 - FP_i) of the
    way to the next. Equal scores are one threshold. NaN where there is no positive or no negative.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)  # last of each tie
    true, false = (_cumulated(weights, order, ends, part) for part in (is_positive, ~is_positive))
    positives, negatives = true[:, -1], false[:, -1]
    exists = (positives > 0) & (negatives > 0)
    found = np.full((3, len(votes), len(weights)), np.nan)
    for a, vote in enumerate(votes):
        hits, alarms = weights @ (vote & is_positive), weights @ (vote & ~is_positive)
        shares = (
            (hits, positives),
            (negatives - alarms, negatives),
            (_at(false, true, alarms), positives),
        )
        for part, (count, of) in enumerate(shares):
            np.divide(count, of, out=found[part, a], where=exists)
    return found


def _cumulated(
    weights: np.ndarray, order: np.ndarray, ends: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """Weight of the rows in `counted` above each threshold, none first: `[B, thresholds + 1]`."""
    out = np.zeros((len(weights), len(ends) + 1))
    out[:, 1:] = np.cumsum(weights[:, order] * counted[order], axis=1)[:, ends]
    return out


def _at(false: np.ndarray, true: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """`true` where `false` is `alarms`, the highest of several, straight lines between: `[B]`."""
    row = np.arange(len(false))
    last = (false <= alarms[:, None]).sum(axis=1) - 1
    after = np.minimum(last + 1, false.shape[1] - 1)
    step = false[row, after] - false[row, last]
    part = np.divide(alarms - false[row, last], step, out=np.zeros(len(step)), where=step > 0)
    return true[row, last] + part * (true[row, after] - true[row, last])


def table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row an annotator, means over the classes: who, of what kind, and the difference.

    `balanced_accuracy` is what the literature prints as an annotator's AUC.
    """
    rows = [
        {
            "annotator": c.annotator.replace("_", " "), "kind": c.kind,
            "balanced_accuracy": _mean(c.balanced_accuracy),
            "sensitivity": _mean(c.sensitivity), "specificity": _mean(c.specificity),
            "model_sensitivity": _mean(c.at_specificity),
            "difference": c.mean.value, "low": c.mean.low, "high": c.mean.high,
        }
        for c in comparisons
    ]  # fmt: skip
    return pd.DataFrame(rows)


def class_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row an annotator and class, in the order of both; columns as in `table`."""
    rows = [
        {
            "annotator": c.annotator.replace("_", " "), "kind": c.kind, "class": name,
            "sensitivity": c.sensitivity[k], "specificity": c.specificity[k],
            "model_sensitivity": c.at_specificity[k], "difference": c.differences[k].value,
            "low": c.differences[k].low, "high": c.differences[k].high,
        }
        for c in comparisons
        for k, name in enumerate(c.classes)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _mean(per_class: np.ndarray) -> float:
    """Over the classes that have a value."""
    return float(mean_over_classes(per_class[None])[0])


def from_comparison(comparison: Comparison, **facts: Any) -> Result:
    """The record of the mean difference to one annotator: metric "sensitivity_gain".

    facts: further fields of `Result`, as for `records.from_zero_shot`.
    """
    mean, classes = comparison.mean, zip(comparison.classes, comparison.differences)
    used = int(np.isfinite(comparison.sensitivity).sum())
    fields = {
        "protocol": "zero-shot", "task": GOLD, "metric": "sensitivity_gain",
        "against": comparison.annotator, "value": mean.value, "low": mean.low, "high": mean.high,
        "level": mean.level, "resamples": mean.resamples, "n": mean.rows,
        "patients": mean.patients, "k_used": used, "k": len(comparison.classes),
        "per_class": {name: {"gain": i.value, "low": i.low, "high": i.high} for name, i in classes},
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    return Result(**{**fields, **facts})
