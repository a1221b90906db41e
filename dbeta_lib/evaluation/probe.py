"""Linear probing: how good are frozen features with few labels?

One protocol for every encoder. Features are centred and brought to one common scale on the whole
training split (which needs no labels): which of its features vary much is part of what an encoder
has learnt, and with a handful of labels it is worth keeping. Measurements of different units are
standardised one by one instead. A draw takes a share of the labelled training rows, unstratified,
by its own seed; an L2-regularised logistic regression per class is fitted for each C of a grid; the
C with the highest macro AUC on the validation split is taken; the test split is scored once, with
that C. All validation labels choose the C whatever the share of training labels, as in the
published tables.

A class whose draw has one value only cannot be fitted. It still counts: its score is the constant
probability 0.5, so its AUC is 0.5. (A class with one value in the *test* split has no AUC and is
left out, by name.) The result of a share is the mean over its draws. Its interval resamples test
patients and takes that mean inside each resample; the spread over draws stands beside, as `sd`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.logistic import fit
from dbeta_lib.evaluation.metrics import (
    Interval,
    Macro,
    auc_per_class,
    bootstrap,
    both_values,
    macro,
    mean_over_classes,
    paired_bootstrap,
)
from dbeta_lib.evaluation.probe_data import ProbeData
from dbeta_lib.evaluation.thresholds import best_f1_thresholds, f1_at, macro_f1_at
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import rng

GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)  # C: small = strong penalty
FRACTIONS = (0.01, 0.1, 1.0)
SEEDS = (0, 1, 2, 3, 4)  # one draw each; a table of single draws quotes the first
NEIGHBOURS = (1, 3, 10, 30, 100)


@dataclass(frozen=True)
class Probe:
    """The probe at one share of labels: scores of every draw on the test rows, and what they say.

    Test rows are those of the split with a label of the task, in the order of the features.
    """

    fraction: float | int  # share of the labelled training rows, or their number if an int
    n_train: int
    n_labelled: int  # training rows there are
    n_test: int
    seeds: tuple[int, ...]  # one per draw; all labels are one draw
    chosen: tuple[float, ...]  # C (or number of neighbours) of each draw
    empty: tuple[tuple[str, ...], ...]  # per draw, the classes that could not be fitted
    classes: tuple[str, ...]
    y: np.ndarray = field(repr=False)  # 0/1 [n_test, K]
    scores: np.ndarray = field(repr=False)  # [draws, n_test, K]
    patients: np.ndarray = field(repr=False)  # [n_test]
    draws: tuple[float, ...] = ()  # macro AUC of each draw
    macro: Macro | None = None  # its mean, with the classes left out
    interval: Interval | None = None
    thresholds: np.ndarray | None = field(
        default=None, repr=False
    )  # [draws, K]: where F1 on validation is highest

    @property
    def sd(self) -> float:
        """Standard deviation of the macro AUC over draws; NaN for a single draw."""
        return float(np.std(self.draws, ddof=1)) if len(self.draws) > 1 else float("nan")

    def per_class(self) -> pd.DataFrame:
        """AUC of each class (mean over draws) with its positives, indexed by class."""
        auc = np.mean([auc_per_class(self.y, draw) for draw in self.scores], axis=0)
        table = {"auc": auc, "positives": self.y.sum(axis=0), "rows": len(self.y)}
        return pd.DataFrame(table, index=list(self.classes))

    def f1(self) -> np.ndarray:
        """F1 of each class on the test rows, mean over draws, `[K]`; NaN as in `thresholds.f1_at`.

        Raises UsageError for a probe that kept no thresholds.
        """
        if self.thresholds is None:
            raise UsageError("this probe kept no thresholds from validation, so it has no F1")
        pairs = zip(self.scores, self.thresholds, strict=True)
        return np.mean([f1_at(self.y, draw, at) for draw, at in pairs], axis=0)

    def macro_f1(self, resamples: int = 1000) -> Interval:
        """Mean of `f1` over the classes that have one, with its interval over test patients."""
        self.f1()
        return macro_f1_at(self.y, self.scores, self.thresholds, self.patients, resamples)


def linear_probe(
    features: np.ndarray,
    labels: pd.DataFrame,
    splits: Sequence[str],
    fractions: Iterable[float | int] = FRACTIONS,
    seeds: Iterable[int] = SEEDS,
    *,
    patients: Sequence,
    valid: np.ndarray | None = None,
    record_ids: Sequence | None = None,
    grid: Sequence[float] = GRID,
    standardise: bool = False,
    resamples: int = 1000,
    progress: bool = True,
) -> list[Probe]:
    """Probe features `[N, D]` on labels `[N, K]` (columns are classes), rows aligned.

    `splits` says 'train', 'val' or 'test' for each row (others are left out), `patients` whose row
    it is, `valid` which rows have a label of the task. `record_ids`, the store's, are compared with
    the index of labels, as `store.labels` gives them. `fractions`: shares of the training rows in
    0..1, or ints for a number of rows. `standardise` True scales each feature by itself, for those
    of different units (hand-made measurements). One Probe per fraction, in order.
    Raises UsageError for lengths that differ or labels in another order of rows, DBetaError for a
    patient on both sides.
    """
    data = ProbeData.of(features, labels, splits, patients, valid, standardise, record_ids)

    def learn(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w, b = fit(x, y, np.asarray(grid))
        return _scores(data.x_val, w, b), _scores(data.x_test, w, b)

    return _sweep(data, fractions, seeds, grid, learn, resamples, progress, "linear probe")


def knn_probe(
    features: np.ndarray,
    labels: pd.DataFrame,
    splits: Sequence[str],
    fractions: Iterable[float | int] = FRACTIONS,
    seeds: Iterable[int] = SEEDS,
    *,
    patients: Sequence,
    valid: np.ndarray | None = None,
    record_ids: Sequence | None = None,
    grid: Sequence[int] = NEIGHBOURS,
    resamples: int = 1000,
    progress: bool = True,
) -> list[Probe]:
    """The same protocol with nearest neighbours by cosine; their number chosen on validation.

    Each feature is standardised, so that no single one decides who is near. A class's score is the
    share of positives among the neighbours, weighted by 1 + cosine.
    """
    data = ProbeData.of(features, labels, splits, patients, valid, True, record_ids)

    def learn(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _votes(x, y, data.x_val, grid), _votes(x, y, data.x_test, grid)

    return _sweep(data, fractions, seeds, grid, learn, resamples, progress, "k-NN probe")


def gain(a: Probe, b: Probe, resamples: int = 1000) -> Interval:
    """Macro AUC of `a` minus `b` with its paired interval: same draws, same test patients.

    Raises UsageError where the two are not on the same rows and draws.
    """
    same_rows = np.array_equal(a.y, b.y) and np.array_equal(a.patients, b.patients)
    if not same_rows or (a.fraction, a.seeds) != (b.fraction, b.seeds):
        raise UsageError("two probes can only be paired on the same task, fraction and draws")
    return paired_bootstrap(a.y, a.scores, b.scores, a.patients, resamples)


def draw(rows: np.ndarray, fraction: float | int, seed: int) -> np.ndarray:
    """Rows of one draw, sorted: floor(fraction * n) of them (an int: that many), at least two.

    Unstratified, without replacement, from `rng(seed, "probe-draw", fraction)`; all rows at 1.0.
    """
    is_count = isinstance(fraction, (int, np.integer)) and not isinstance(fraction, bool)
    if not (2 <= fraction <= len(rows) if is_count else 0 < fraction <= 1):
        raise UsageError(
            f"{fraction} is no part of {len(rows)} training rows; "
            "give a share in 0..1 or a whole number of rows from 2"
        )
    n = int(fraction) if is_count else max(2, int(fraction * len(rows) + 1e-9))
    if n == len(rows):
        return np.sort(rows)
    chosen = rng(seed, "probe-draw", f"{fraction:g}").permutation(len(rows))[:n]
    return np.sort(rows[chosen])


def _sweep(
    data: ProbeData,
    fractions: Iterable[float | int],
    seeds: Iterable[int],
    grid: Sequence[float],
    learn: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    resamples: int,
    progress: bool,
    title: str,
) -> list[Probe]:
    rows = np.arange(len(data.x_train))
    fractions, seeds = list(fractions), list(seeds)
    if not fractions or not seeds:
        raise UsageError("a probe needs at least one fraction and one seed")
    plan = [
        (fraction, tuple(seeds[:1] if len(draw(rows, fraction, 0)) == len(rows) else seeds))
        for fraction in fractions
    ]
    total = sum(len(s) for _, s in plan)
    probes = []
    with tqdm(total=total, desc=title, unit="draw", disable=not progress, leave=False) as bar:
        for fraction, its_seeds in plan:
            done = []
            for seed in its_seeds:
                done.append(_one_draw(data, draw(rows, fraction, seed), grid, learn))
                bar.update()
            n_train = len(draw(rows, fraction, its_seeds[0]))
            probes.append(_summarise(data, fraction, n_train, its_seeds, done, resamples))
    return probes


def _one_draw(
    data: ProbeData, rows: np.ndarray, grid: Sequence[float], learn: Callable
) -> tuple[float, tuple[str, ...], np.ndarray, np.ndarray]:
    """Fit on these training rows: value of the grid, unfitted classes, scores, thresholds."""
    y = data.y_train[rows]
    usable = both_values(y)
    empty = tuple(name for name, ok in zip(data.classes, usable, strict=True) if not ok)
    on_val = np.zeros(data.y_val.shape)  # logit 0 is the constant 0.5
    scores = np.zeros(data.y_test.shape)
    best = 0
    if usable.any():
        val, test = learn(data.x_train[rows], y[:, usable])  # [M, n, K used]
        best = best_on_validation(data.y_val[:, usable], val)
        on_val[:, usable], scores[:, usable] = val[best], test[best]
    return float(grid[best]), empty, scores, best_f1_thresholds(data.y_val, on_val)


def best_on_validation(y: np.ndarray, scores: np.ndarray) -> int:
    """Index along the grid of `scores` `[M, n, K]` of highest macro AUC, the first if tied."""
    flat = scores.transpose(1, 0, 2).reshape(len(y), -1)
    per_class = auc_per_class(np.tile(y, len(scores)), flat).reshape(len(scores), -1)
    means = mean_over_classes(per_class)
    return 0 if np.isnan(means).all() else int(np.nanargmax(np.round(means, 12)))


def _summarise(
    data: ProbeData,
    fraction: float | int,
    n_train: int,
    seeds: tuple[int, ...],
    done: list[tuple[float, tuple[str, ...], np.ndarray, np.ndarray]],
    resamples: int,
) -> Probe:
    chosen, empty, scores, thresholds = zip(*done, strict=True)
    stacked = np.stack(scores)
    per_draw = [auc_per_class(data.y_test, one) for one in stacked]
    return Probe(
        fraction=fraction,
        n_train=n_train,
        n_labelled=len(data.y_train),
        n_test=len(data.y_test),
        seeds=seeds,
        chosen=chosen,
        empty=empty,
        classes=data.classes,
        y=data.y_test,
        scores=stacked,
        patients=data.patients_test,
        draws=tuple(macro(one).value for one in per_draw),
        macro=macro(np.mean(per_draw, axis=0), data.classes),
        interval=bootstrap(data.y_test, stacked, data.patients_test, resamples),
        thresholds=np.stack(thresholds),
    )


def _scores(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Logits `[M, n, K]` from weights `[M, D, K]` and intercepts `[M, K]`."""
    return x @ w + b[:, None]


def _votes(x: np.ndarray, y: np.ndarray, queries: np.ndarray, grid: Sequence[int]) -> np.ndarray:
    """Weighted share of positives among the k nearest rows, less one half: `[M, n, K]`."""
    similarity = _unit(queries) @ _unit(x).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(grid)]
    weight = 1 + np.take_along_axis(similarity, nearest, axis=1)  # [n, k]
    votes = np.cumsum(weight[..., None] * y[nearest], axis=1)  # [n, k, K]
    total = np.cumsum(weight, axis=1)[..., None]
    last = [min(k, nearest.shape[1]) - 1 for k in grid]
    return (votes / np.maximum(total, 1e-12))[:, last].transpose(1, 0, 2) - 0.5


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
