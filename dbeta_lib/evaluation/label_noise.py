"""Which labels contradict what the features say: wrong labels are found before they are believed.

Confident learning (Northcutt et al., JAIR 70, 2021) for one class at a time. Each row is scored by
a linear probe that was fitted on *other* patients (cross-fitting). With t1 the mean probability of
the rows labelled 1 and t0 that of 1 - p of the rows labelled 0, a label is suspect

    labelled 0  where  p >= t1            labelled 1  where  1 - p >= t0

that is, where the row looks at least as much like the other value as a usual row that has it. Rows
are listed with the most contradicted first. It is a list to look at, never a correction: a rare
form of a disease is suspect too. `planted` flips a known share of labels, the control that says
how many of the wrong ones such a list would hold.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.logistic import fit
from dbeta_lib.evaluation.metrics import both_values
from dbeta_lib.seeds import rng

FOLDS = 5
C = 0.01  # the strength that the probe chooses most often with a few thousand records


def suspects(
    features: np.ndarray,
    labels: pd.DataFrame,
    *,
    patients: Sequence,
    folds: int = FOLDS,
    c: float = C,
    seed: int = 0,
) -> pd.DataFrame:
    """Contradicted labels of rows `[N, D]`, 0/1 `[N, K]` (columns are classes), a row each.

    patients: whose row it is; all rows of one are in one fold. Columns: row (position), class,
    label (0 or 1), probability (of 1, from other patients' rows), margin (how far beyond the
    threshold, 0..1), sorted by margin. Classes with one value only in a fold's rows are left out.
    Raises UsageError for lengths that differ or fewer patients than folds.
    """
    x, y = np.asarray(features, dtype=np.float64), labels.to_numpy().astype(np.int8)
    if not len(x) == len(y) == len(patients):
        raise UsageError(
            f"{len(x)} features, {len(y)} labels and {len(patients)} patients must be row by row"
        )
    probability = cross_fitted(x, y, np.asarray(patients), folds, c, seed)
    found = []
    for k, name in enumerate(map(str, labels.columns)):
        p, is_one = probability[:, k], y[:, k] == 1
        if np.isnan(p).any():
            continue
        beyond = np.where(is_one, (1 - p) - (1 - p[~is_one]).mean(), p - p[is_one].mean())
        rows = np.flatnonzero(beyond >= 0)
        found.append(
            pd.DataFrame(
                {"row": rows, "class": name, "label": y[rows, k], "probability": p[rows],
                 "margin": beyond[rows]}
            )
        )  # fmt: skip
    if not found:
        return pd.DataFrame(columns=["row", "class", "label", "probability", "margin"])
    table = pd.concat(found, ignore_index=True)
    return table.sort_values("margin", ascending=False, kind="stable", ignore_index=True)


def cross_fitted(
    x: np.ndarray, y: np.ndarray, patients: np.ndarray, folds: int, c: float, seed: int
) -> np.ndarray:
    """Probability `[N, K]` of each row by a probe fitted on other patients; NaN for a class of
    which a fold's training rows have one value only."""
    people, whose = np.unique(patients.astype(str), return_inverse=True)
    if not 2 <= folds <= len(people):
        raise UsageError(f"{folds} folds need as many patients, at least 2; {len(people)} are here")
    fold = rng(seed, "label-noise-folds").permutation(len(people))[whose] % folds
    scale = np.sqrt(x.var(axis=0).mean()) or 1.0
    x = (x - x.mean(axis=0)) / scale
    out = np.full(y.shape, np.nan)
    for part in range(folds):
        inside = fold != part
        usable = both_values(y[inside])
        if usable.any():
            w, b = fit(x[inside], y[inside][:, usable], np.array([c]))
            out[np.ix_(~inside, usable)] = 1 / (1 + np.exp(-(x[~inside] @ w[0] + b[0])))
    return out


def planted(labels: pd.DataFrame, share: float, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels with a share of the rows flipped in each class, and which: bool `[N, K]`.

    As many ones become zeros as zeros become ones, so that the classes stay as frequent.
    Raises UsageError for a share outside 0..1.
    """
    if not 0 < share < 1:
        raise UsageError(f"share={share} of flipped rows must lie between 0 and 1")
    y = labels.to_numpy().astype(np.int8)
    is_flipped = np.zeros(y.shape, dtype=bool)
    draw = rng(seed, "label-noise-planted")
    for k in range(y.shape[1]):
        ones, zeros = np.flatnonzero(y[:, k] == 1), np.flatnonzero(y[:, k] == 0)
        count = min(round(share * len(y) / 2), len(ones) // 2, len(zeros) // 2)
        is_flipped[draw.choice(ones, count, replace=False), k] = True
        is_flipped[draw.choice(zeros, count, replace=False), k] = True
    flipped = pd.DataFrame(np.where(is_flipped, 1 - y, y), labels.index, labels.columns)
    return flipped, is_flipped
