"""Which training rows a probe may see when labels are few: MERL's draw, and a stratified one.

MERL draws 1 % and 10 % without looking at the labels; at 1 % of PTB-XL's rhythm task four of the
twelve classes are then left without a positive. `stratified` keeps each class's share and at least
one positive, so that a comparison at few labels does not hang on which classes were lucky.
"""

from math import floor

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.seeds import rng


def merl(n: int, percent: int) -> np.ndarray:
    """int64 rows of MERL's draw of `percent` % from its list of `n` training records, in its order.

    The same as sklearn's `train_test_split(rows, train_size=percent / 100, random_state=42)`, which
    MERL's finetune_dataset.py calls: floor(n * percent / 100) rows; all, as they stand, at 100.
    Rows count the records of the published train list (`merl_splits.read`), not those of a store.
    Raises UsageError for a percentage that is no whole number of 1 to 100, or that leaves no row.
    """
    if isinstance(percent, bool) or percent != int(percent) or not 1 <= percent <= 100:
        raise UsageError(f"percent={percent}: give a whole number, 1 to 100")
    if percent == 100:
        return np.arange(n, dtype=np.int64)
    drawn = floor(int(percent) / 100 * n)
    if drawn < 1:
        raise UsageError(f"{percent} % of {n} training rows is not one; give more")
    # NumPy's legacy generator, whose stream is frozen: scikit-learn shuffles with it.
    order = np.random.RandomState(42).permutation(n)
    return order[n - drawn :].astype(np.int64)


def stratified(labels: pd.DataFrame | np.ndarray, fraction: float | int, seed: int) -> np.ndarray:
    """int64 rows, sorted: a part of the rows in which each class has about its share.

    labels: 0/1 `[n, K]`, several may be 1 in a row. fraction: share of the rows in 0..1 (then
    floor(fraction * n) of them), or their number if an int. Each class that has positives has at
    least one in the draw, and at least one negative if it has any. Iterative stratification
    (Sechidis et al., ECML PKDD 2011) for one draw: the rarest class first, and a row once weighed
    for a class is not weighed again for a more frequent one.
    Raises UsageError for labels other than 0/1, or a draw too small to hold every class.
    """
    is_one = _is_one(labels)
    n = is_one.shape[0]
    size = _size(n, fraction)
    order = rng(seed, "label-subset", size).permutation(n)
    table = np.asfortranarray(is_one[order])  # rows in random order: "the first" is a random one
    chosen = _one_of_each(table)
    if chosen.sum() > size:
        raise UsageError(
            f"{size} of {n} rows are too few for a positive and a negative of each of "
            f"{table.shape[1]} classes ({chosen.sum()} rows would do); give a larger part"
        )
    _to_their_share(table, chosen, size)
    return np.sort(order[chosen]).astype(np.int64)


def _one_of_each(table: np.ndarray) -> np.ndarray:
    """bool `[n]`: rows that hold a positive and a negative of each class, the rarest first."""
    n = len(table)
    chosen = np.zeros(n, bool)
    positives = table.sum(axis=0)
    values = [(count, k, True) for k, count in enumerate(positives)]
    values += [(n - count, k, False) for k, count in enumerate(positives)]
    for count, k, value in sorted(values):
        if count and not (table[chosen, k] == value).any():
            chosen[np.argmax(table[:, k] == value)] = True
    return chosen


def _to_their_share(table: np.ndarray, chosen: np.ndarray, size: int) -> None:
    """Add rows to `chosen`, in place, until it has `size`: class by class, then any."""
    n = len(table)
    positives = table.sum(axis=0)
    is_free = ~chosen
    for k in np.argsort(positives, kind="stable"):
        wanted = round(size / n * int(positives[k])) - int(table[chosen, k].sum())
        candidates = np.flatnonzero(table[:, k] & is_free)
        chosen[candidates[: max(0, min(wanted, size - int(chosen.sum())))]] = True
        is_free[candidates] = False
    for rest in (np.flatnonzero(is_free), np.flatnonzero(~is_free & ~chosen)):
        chosen[rest[: size - int(chosen.sum())]] = True


def _is_one(labels: pd.DataFrame | np.ndarray) -> np.ndarray:
    values = labels.to_numpy() if isinstance(labels, pd.DataFrame) else np.asarray(labels)
    if values.ndim != 2 or not values.shape[0]:
        raise UsageError(f"labels {list(values.shape)}: give rows and classes, at least one row")
    is_one = values == 1
    if not (is_one | (values == 0)).all():
        raise UsageError("labels hold something other than 0 and 1; give one 0/1 column per class")
    return is_one


def _size(n: int, fraction: float | int) -> int:
    """How many rows: `fraction` itself if an int, else floor(fraction * n)."""
    is_count = isinstance(fraction, (int, np.integer)) and not isinstance(fraction, bool)
    # 1e-9: 0.29 * 100 is a hair below 29
    size = int(fraction) if is_count else floor(fraction * n + 1e-9) if 0 < fraction <= 1 else 0
    if not 1 <= size <= n:
        raise UsageError(
            f"{fraction} is no part of {n} rows; give a share in 0..1 or a whole number of rows"
        )
    return size
