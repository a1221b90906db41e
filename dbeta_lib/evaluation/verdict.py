"""Does a change help? Differences paired by seed and by patient, with a verdict that is computed.

Two systems A and B were trained with the same S seeds and scored on the same test rows. With
d_s = macro AUC of A - macro AUC of B at seed s, the estimate is their mean. It varies because other
patients could have been tested and other seeds drawn. A bootstrap resamples both: patients with
replacement, the same for both systems and all seeds, which gives d_s(b) for every resample b; and S
seeds with replacement, a seed taking both systems with it. Resampled naively (the pigeonhole
bootstrap; Owen, Annals of Applied Statistics 2007) the two count twice what a seed does to one
patient and not to another, and few seeds give too narrow an interval. So the parts are kept apart,
as in an analysis of variance with two crossed random factors:

    P = Var_b(mean over s of d_s(b))              patients, and the seeds' whims on them
    I = (mean over s of Var_b(d_s(b)) - P) S / (S - 1)       those whims, of one seed
    Q = max(0, s^2 - I) / S,  s^2 = sample variance of the d_s       seeds alone
    V = P + Q

Draws are mean_s d_s(b) + the mean deviation of the drawn seeds from the estimate, this scaled to
the variance Q. s^2 of few seeds is itself uncertain, so t takes the place of z, with the degrees of
freedom of Satterthwaite, f = V^2 / ((s^2 / S)^2 / (S - 1)). The interval is the percentile interval
of the draws after their distances from the estimate are stretched by t_f / z; the two-sided p is
that of estimate / sqrt(V) under t_f.

Assumed: seeds are independent and alike in distribution, patients independent; rows of one patient
may be as dependent as they like. With one seed nothing is known of other seeds: interval and p are
of the patients alone, for these two weights (the paired percentile bootstrap). Below five seeds
`Difference.exploratory` is true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.metrics import patient_weights, resampled_macro
from dbeta_lib.seeds import rng

VERDICTS = ("helps", "hurts", "cannot tell")
FEW_SEEDS = 5  # below, a difference is exploratory
RESAMPLES = 2000
COLUMNS = (
    "value", "low", "high", "p", "p_holm", "verdict", "seeds", "exploratory", "patients", "rows",
    "level", "resamples", "per_seed",
)  # fmt: skip


@dataclass(frozen=True)
class Resampled:
    """Macro AUC of one system: per seed as it is, and per seed and resample of the patients."""

    values: np.ndarray  # [S]
    draws: np.ndarray  # [S, resamples], NaN where no class has both values
    patients: int
    rows: int
    seed: int  # of the resamples: two systems are only paired on the same


@dataclass(frozen=True)
class Difference:
    """Macro AUC of one system minus another's, mean over seeds, with what is known of it."""

    value: float
    low: float
    high: float
    p: float  # two-sided, of no difference
    level: float
    per_seed: tuple[float, ...]
    patients: int
    rows: int
    resamples: int

    @property
    def seeds(self) -> int:
        """How many seeds both systems were trained with."""
        return len(self.per_seed)

    @property
    def exploratory(self) -> bool:
        """Fewer than five seeds: a hint of what to run, no result."""
        return self.seeds < FEW_SEEDS

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {self.p:.2g}"


def resample(
    y: np.ndarray, scores: np.ndarray, patients: Sequence, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Macro AUC of a system on resampled patients.

    y: 0/1 `[n, K]`. scores: `[S, n, K]`, or `[S, D, n, K]` with D draws of a probe, whose mean is
    taken. patients: `[n]`. Raises UsageError for shapes that do not fit.
    """
    scores = np.asarray(scores)
    if scores.ndim not in (3, 4) or scores.shape[-2:] != np.shape(y):
        raise UsageError(f"scores {scores.shape} are no [seeds, n, K] of labels {np.shape(y)}")
    if len(patients) != len(y):
        raise UsageError(f"{len(patients)} patients are given for {len(y)} rows of labels")
    weights = patient_weights(patients, resamples, seed)
    weights = np.concatenate([np.ones((1, len(y))), weights])  # first the patients as they are
    found = np.stack([resampled_macro(y, one, weights) for one in scores])
    return Resampled(found[:, 0], found[:, 1:], len(np.unique(np.asarray(patients))), len(y), seed)


def difference(a: Resampled, b: Resampled, level: float = 0.95) -> Difference:
    """`a` minus `b`, paired by seed and patient; see the module for the formula.

    Raises UsageError unless both have the same seeds' number, rows and resamples.
    """
    one, other = ((r.draws.shape, r.patients, r.rows, r.seed) for r in (a, b))
    if one != other:
        raise UsageError(
            f"systems of {a.draws.shape} and {b.draws.shape} seeds and resamples, {a.rows} and "
            f"{b.rows} rows cannot be paired; give both the same seeds and test rows"
        )
    return _estimate(a, a.values - b.values, a.draws - b.draws, level)


def average(a: Resampled, level: float = 0.95) -> Difference:
    """The macro AUC of one system, mean over seeds, with its interval by the same formula.

    `p` is NaN: there is nothing that it differs from.
    """
    return replace(_estimate(a, a.values, a.draws, level), p=np.nan)


def stacked(runs: Sequence[Resampled]) -> Resampled:
    """Runs of one system, one seed each, as one system. UsageError unless all have the same rows.

    Patients of each run must have been resampled with the same `seed`.
    """
    if len({(r.draws.shape[1], r.patients, r.rows, r.seed) for r in runs}) != 1:
        raise UsageError("runs of one system must have the same test rows and resamples")
    values, draws = (
        np.concatenate([getattr(r, name) for r in runs]) for name in ("values", "draws")
    )
    return replace(runs[0], values=values, draws=draws)


def _estimate(
    a: Resampled, per_seed: np.ndarray, by_patients: np.ndarray, level: float
) -> Difference:
    by_patients = by_patients[:, ~np.isnan(by_patients).any(axis=0)]
    seeds, resamples = by_patients.shape
    value = float(per_seed.mean())
    known = dict(
        value=value, level=level, per_seed=tuple(per_seed.tolist()), patients=a.patients,
        rows=a.rows, resamples=resamples,
    )  # fmt: skip
    if np.isnan(value) or resamples < 2:
        return Difference(low=np.nan, high=np.nan, p=np.nan, **known)
    drawn = by_patients.mean(axis=0)
    among_patients, among_seeds, uncertain = _variances(per_seed, by_patients)
    if among_seeds > 0:
        picked = rng(a.seed, "bootstrap-seeds").integers(seeds, size=(resamples, seeds))
        moved = per_seed[picked].mean(axis=1) - value  # of variance uncertain (S - 1) / S
        drawn = drawn + moved * np.sqrt(among_seeds / (uncertain * (seeds - 1) / seeds))
    variance = among_patients + among_seeds
    if variance == 0:  # every resample alike, as of a system with itself
        return Difference(low=value, high=value, p=float(value == 0), **known)
    freedom = variance**2 / (uncertain**2 / (seeds - 1)) if uncertain > 0 else np.inf
    tail = (1 - level) / 2
    wider = stats.t.ppf(tail, freedom) / stats.norm.ppf(tail)
    low, high = np.quantile(value + wider * (drawn - value), (tail, 1 - tail))
    p = 2 * stats.t.sf(abs(value) / np.sqrt(variance), freedom)
    return Difference(low=float(low), high=float(high), p=float(p), **known)


def _variances(per_seed: np.ndarray, by_patients: np.ndarray) -> tuple[float, float, float]:
    """P, Q and s^2 / S of the module's formula; the last two 0 for one seed."""
    seeds = len(per_seed)
    among_patients = by_patients.mean(axis=0).var()
    if seeds == 1:
        return among_patients, 0.0, 0.0
    whims = (by_patients.var(axis=1).mean() - among_patients) * seeds / (seeds - 1)
    observed = per_seed.var(ddof=1)
    return among_patients, max(0.0, observed - max(0.0, whims)) / seeds, observed / seeds


def holm(p: Sequence[float]) -> np.ndarray:
    """P-values adjusted for how many there are, `[m]` (Holm, Scand. J. Statist. 1979).

    The i-th smallest, i from 0, becomes the largest of (m - j) p_j over j <= i, at most 1.
    NaN stays NaN and counts as a test.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")  # NaN last
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdicts(differences: Mapping[str, Difference], alpha: float = 0.05) -> pd.DataFrame:
    """A row per difference: numbers, p adjusted over all rows, and "helps", "hurts", "cannot tell".

    Of rows whose adjusted p is at most alpha the sign decides; of all others nothing can be told.
    """
    adjusted = holm([each.p for each in differences.values()])
    rows = [
        {
            **{name: getattr(each, name) for name in ("value", "low", "high", "p")},
            "p_holm": p, "verdict": _verdict(each.value, p, alpha), "seeds": each.seeds,
            "exploratory": each.exploratory, "patients": each.patients, "rows": each.rows,
            "level": each.level, "resamples": each.resamples, "per_seed": each.per_seed,
        }
        for each, p in zip(differences.values(), adjusted, strict=True)
    ]  # fmt: skip
    index = pd.Index(list(differences), name="row", dtype=object)
    return pd.DataFrame(rows, index=index, columns=list(COLUMNS))


def _verdict(value: float, p: float, alpha: float) -> str:
    if not p <= alpha:  # NaN too
        return "cannot tell"
    return "helps" if value > 0 else "hurts"


def sentence(table: pd.DataFrame) -> str:
    """What a table of `verdicts` says, in words: who helps, who hurts, what cannot be told."""
    if not len(table):
        return "There is nothing to compare yet."
    told = []
    for verdict in ("helps", "hurts"):
        rows = table[table["verdict"] == verdict]
        named = ", ".join(f"{name} ({value:+.3f})" for name, value in rows["value"].items())
        many = "nothing" if not len(rows) else f"{len(rows)}"
        told.append(f"{many} {verdict}" if len(rows) < 2 else f"{many} {verdict.rstrip('s')}")
        told[-1] += f": {named}" if named else ""
    unclear = int((table["verdict"] == "cannot tell").sum())
    words = f"Of {len(table)} comparison{'s' * (len(table) > 1)} "
    if unclear == len(table):
        words += "none can be told."
    else:
        words += "; ".join(told)
        words += f"; of {unclear} nothing can be told." if unclear else "; none is left open."
    few = int(table["exploratory"].sum())
    if few:
        words += (
            f" {'All' if few == len(table) else few} of them rest on fewer than {FEW_SEEDS} seeds: "
            "exploratory, no result."
        )
    return words
