"""Retrieval: sorted by similarity, on which place does the right partner stand?

Many records have the same report (about 180,000 texts for 800,000 records of MIMIC-IV-ECG), so a
partner is told by its text, not by its row. An ECG searches among the distinct texts; a text
searches among all ECGs, and each ECG with that text is a right answer. Beside these stands the
search one to one, as others report it, on a pool in which each text is kept once with one ECG.

A place is the expected one when ties are drawn at random, and recall@k is the share of queries
whose place is at most k: a constant similarity finds nothing at the top. MAP@R counts ties by
their chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.average_precision_at_r import average_precision_at_r
from dbeta_lib.evaluation.metrics import Interval, interval, patient_weights

BLOCK = 4_000_000  # similarities held at once beside the matrix itself (32 MB in float64)


@dataclass(frozen=True)
class Ranking:
    """Places of the right partner, for all queries of one direction."""

    places: np.ndarray  # float64 [queries], 1 = first
    pool: int  # candidates that each query ranks
    ks: tuple[int, ...]
    query_of_ecg: np.ndarray  # int64 [ECGs]: the query that the ECG is part of, -1 = none

    @property
    def recall(self) -> dict[int, float]:
        """k -> share of the queries with a place <= k, 0..1 (1 for any k >= pool)."""
        return {k: float((self.places <= k).mean()) for k in self.ks}

    @property
    def median_rank(self) -> float:
        """Median of the places, 1..pool."""
        return float(np.median(self.places))


@dataclass(frozen=True)
class Retrieval:
    """What `retrieve` finds; `frame()` shows it."""

    ecg_to_report: Ranking  # every ECG, among the distinct texts
    report_to_ecg: Ranking  # every text that an ECG has, among all ECGs: place of its first ECG
    instance_ecg_to_report: Ranking  # one ECG per text, one to one
    instance_report_to_ecg: Ranking
    map_at_r: float  # of report_to_ecg, 0..1

    def frame(self) -> pd.DataFrame:
        """One row a direction: queries, pool, recall@k, median_rank, map_at_r (NaN: undefined)."""
        rows = {}
        for name in _NAMES:
            ranking = getattr(self, name)
            recall = {f"recall@{k}": value for k, value in ranking.recall.items()}
            rows[name] = {"queries": len(ranking.places), "pool": ranking.pool, **recall}
            rows[name]["median_rank"] = ranking.median_rank
            rows[name]["map_at_r"] = self.map_at_r if name == "report_to_ecg" else np.nan
        counts = {"queries": np.int64, "pool": np.int64}
        return pd.DataFrame.from_dict(rows, orient="index").astype(counts)


_NAMES = ("ecg_to_report", "report_to_ecg", "instance_ecg_to_report", "instance_report_to_ecg")


def retrieve(
    similarity: np.ndarray,
    ecg_report_id: Sequence,
    report_id: Sequence,
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval:
    """Recall@k, median rank and MAP@R of ECGs and reports that search each other.

    similarity: numbers `[E, R]`, higher = more alike, of E ECGs and R reports. ecg_report_id `[E]`,
    report_id `[R]`: the text of each, as an id or the normalised text itself; of columns with the
    same text the first is kept, which leaves D distinct texts. A text that no ECG has stays among
    the candidates of the ECGs and asks nothing itself. The four rankings of the answer:

    - `ecg_to_report`: E queries, D candidates; place = (texts with a greater similarity) +
      (texts with an equal one, its own counted, + 1) / 2.
    - `report_to_ecg`: queries are the texts with an ECG, candidates all E ECGs; place of the first
      right one = (greater than the best right one) + (equal to it + 1) / (right ones among these
      + 1), which is the formula above for a text with one ECG.
    - `instance_*`: texts with an ECG, and of each the first ECG in the order given; both ways.

    MAP@R: mean over texts of (1 / R) sum over places i = 1..R of P(i) [i is right], with R the
    ECGs of the text and P(i) the share of right ones on the first i places, its expected value
    where ties are drawn at random (Musgrave et al., ECCV 2020).
    Beside the matrix only `BLOCK` similarities are held at once; NumPy arrays mapped from a file
    are read in parts. Raises UsageError for shapes that do not fit, an ECG whose text is not among
    the reports, an id that is missing (None, NaN), similarities not finite, or ks below 1.
    """
    similarity = np.asarray(similarity)
    text_of_ecg, column = _distinct_texts(similarity, ecg_report_id, report_id)
    ks = _checked_ks(ks)
    every_ecg = np.arange(len(text_of_ecg))
    asked, first_ecg, asked_of_ecg = np.unique(
        text_of_ecg, return_index=True, return_inverse=True
    )  # texts with an ECG
    asked_column, one_each = column[asked], np.arange(len(asked))
    first, average_precision = _first_places(similarity, asked_column, asked_of_ecg)
    instance_of_ecg = np.full(len(every_ecg), -1)
    instance_of_ecg[first_ecg] = one_each
    places = (
        (_places(similarity, every_ecg, column, text_of_ecg), len(column), every_ecg),
        (first, len(every_ecg), asked_of_ecg),
        (_places(similarity, first_ecg, asked_column, one_each), len(asked), instance_of_ecg),
        (_places(similarity.T, asked_column, first_ecg, one_each), len(asked), instance_of_ecg),
    )
    rankings = [Ranking(found, pool, ks, of_ecg) for found, pool, of_ecg in places]
    return Retrieval(*rankings, map_at_r=float(average_precision.mean()))


def recall_intervals(
    ranking: Ranking, patients: Sequence, n: int = 1000, seed: int = 0, *, level: float = 0.95
) -> dict[int, Interval]:
    """k -> recall@k with its percentile interval over patients, on the resamples of `metrics`.

    patients: `[E]`, the patient of each ECG. A resample weighs a query by the mean of the weights
    of its ECGs (an ECG's own weight, or the mean over the ECGs of a text); recall@k is then
    sum of w_q [place_q <= k] / sum of w_q. The pool that is searched stays the same in every
    resample, so the interval is about the queries and not about a pool of other ECGs.
    Raises UsageError for another number of patients than ECGs, or fewer than two patients.
    """
    of_ecg = ranking.query_of_ecg
    if len(patients) != len(of_ecg):
        raise UsageError(f"{len(patients)} patients are given for {len(of_ecg)} ECGs")
    is_part = of_ecg >= 0
    query = of_ecg[is_part]
    share = 1 / np.bincount(query)[query]  # of an ECG in its query
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    patient = patient[is_part]
    weights = patient_weights(names, n, seed)  # a column a patient: all his ECGs weigh the same
    whole = weights @ np.bincount(patient, share, minlength=len(names))
    found = {}
    for k, value in ranking.recall.items():
        hit = share * (ranking.places[query] <= k)
        hits = weights @ np.bincount(patient, hit, minlength=len(names))
        values = np.divide(hits, whole, out=np.full(n, np.nan), where=whole > 0)
        counts = {"rows": len(ranking.places), "patients": len(np.unique(patient))}
        found[k] = interval(value, values, level=level, **counts)
    return found


def own_places(similarity: np.ndarray) -> np.ndarray:
    """Place of each row's own column in a similarity matrix `[n, n]`: float `[n]`, 1 = first.

    Row i and column i belong together. Ties share their places: (number greater) + (number equal
    + 1) / 2, so that a constant similarity gives every row the middle place (n + 1) / 2.

    >>> own_places(np.array([[0.9, 0.1], [0.5, 0.5]]))
    array([1. , 1.5])
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise UsageError(f"a similarity of shape {similarity.shape} pairs nothing; give [n, n]")
    everything = np.arange(len(similarity))
    return _places(similarity, everything, everything, everything)


def _places(
    similarity: np.ndarray, rows: np.ndarray, columns: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """float64 `[rows]`: place of `columns[own[i]]` among `columns`, as `rows[i]` sorts them."""
    places = np.empty(len(rows))
    for part in _parts(len(rows), len(columns)):
        scores = _finite(similarity[np.ix_(rows[part], columns)])
        target = np.take_along_axis(scores, own[part, None], axis=1)
        places[part] = (scores > target).sum(axis=1) + ((scores == target).sum(axis=1) + 1) / 2
    return places


def _first_places(
    similarity: np.ndarray, columns: np.ndarray, query_of_ecg: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each text (column): place of its first ECG, and average precision at R; `[queries]`."""
    places, precision = np.empty(len(columns)), np.empty(len(columns))
    for part in _parts(len(columns), len(similarity)):
        scores = _finite(similarity[:, columns[part]].T)
        is_right = query_of_ecg == np.arange(len(columns))[part, None]
        best = np.where(is_right, scores, -np.inf).max(axis=1)[:, None]
        is_equal = scores == best
        right = (is_equal & is_right).sum(axis=1)
        places[part] = (scores > best).sum(axis=1) + (is_equal.sum(axis=1) + 1) / (right + 1)
        precision[part] = [average_precision_at_r(*row) for row in zip(scores, is_right)]
    return places, precision


def _parts(rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, width))
    yield from (slice(start, start + step) for start in range(0, rows, step))


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.ascontiguousarray(scores)
    if not np.isfinite(scores).all():
        raise UsageError("similarities hold NaN or infinity; look at the encoder")
    return scores


def _distinct_texts(
    similarity: np.ndarray, ecg_report_id: Sequence, report_id: Sequence
) -> tuple[np.ndarray, np.ndarray]:
    """Number of each ECG's text `[E]`, and the first column of each distinct text `[D]`."""
    shape = (len(ecg_report_id), len(report_id))
    if similarity.shape != shape or not all(shape):
        raise UsageError(
            f"a similarity of shape {similarity.shape} does not fit {shape[0]} ECGs and {shape[1]} "
            "reports; give [ECGs, reports], at least one of each"
        )
    reports = pd.Index(np.asarray(report_id))
    if reports.hasnans or pd.isna(np.asarray(ecg_report_id)).any():
        raise UsageError("an ECG or a report has no text id; leave those rows out")
    column = np.flatnonzero(~reports.duplicated())
    text_of_ecg = reports[column].get_indexer(np.asarray(ecg_report_id))
    if (text_of_ecg < 0).any():
        absent = np.flatnonzero(text_of_ecg < 0)
        raise UsageError(
            f"{len(absent)} ECGs have a text that is not among the reports, the first in row "
            f"{absent[0]}; add their reports or leave them out"
        )
    return text_of_ecg, column


def _checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    is_whole = [isinstance(k, int | np.integer) and not isinstance(k, bool) for k in ks]
    if not len(ks) or not all(is_whole) or min(ks) < 1:
        raise UsageError(f"ks={list(ks)}: give whole numbers from 1 up")
    return tuple(int(k) for k in ks)
