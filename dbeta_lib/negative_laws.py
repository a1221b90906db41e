"""What a way of drawing wrong reports does, computed from its law and not from draws.

A record is drawn, its report t has the share p(t) of all records, and a negative u is drawn given
t. All numbers follow from the chances of u given t; nothing here is random.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dbeta_lib.balanced import BalancedNegatives
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.n3s import Negatives, NegativeTable, RandomNegatives

_BLOCK_BYTES = 64 << 20  # float64 chances of one block; a few copies of it live at once


def negative_law(negatives: Negatives, positions: np.ndarray) -> np.ndarray:
    """Chance of each of `negatives.report_ids` for the reports at `positions`, float64 `[n, R]`."""
    if isinstance(negatives, BalancedNegatives):
        return negatives.law(negatives.report_ids[positions])
    if isinstance(negatives, NegativeTable):
        chances = np.zeros((len(positions), len(negatives.report_ids)))
        np.put_along_axis(chances, negatives.table[positions].astype(np.int64), 1 / negatives.k, 1)
        return chances
    if isinstance(negatives, RandomNegatives):
        counts = np.unique(negatives.records, return_counts=True)[1].astype(np.float64)
        chances = np.tile(counts, (len(positions), 1))
        if negatives.exclude_equal:
            chances[np.arange(len(positions)), positions] = 0
        return chances / chances.sum(axis=1, keepdims=True)
    raise UsageError(f"the law of {type(negatives).__name__} is not known; give a kind of this kit")


def negative_shares(negatives: Negatives, counts: np.ndarray) -> np.ndarray:
    """How large a part of all negatives each report is, float64 `[R]`, sum 1.

    counts: `[R]`, records with each of `negatives.report_ids`.
    """
    shares = _shares(negatives, counts)
    return sum(shares[rows] @ law for rows, law in _blocks(negatives))


def best_guess(negatives: Negatives, counts: np.ndarray) -> float:
    """Best share of right answers, 0.5..1, of who reads a text alone and half are swapped.

    The sum over texts of max(p, q) / 2, with p the share among true reports, q among negatives.
    """
    p, q = _shares(negatives, counts), negative_shares(negatives, counts)
    return float(np.maximum(p, q).sum() / 2)


def negative_statistics(
    negatives: Negatives, counts: np.ndarray, vectors: np.ndarray, above: float = 0.5
) -> dict[str, float]:
    """The numbers by which ways of drawing are compared.

    vectors: float32 `[R, d]` unit rows of the reports. Returns `mean_cosine` of a pair (1 for the
    same text twice), `above` (share of pairs with a cosine above that), `same_text` (share),
    `best_guess` (from the text alone, see `best_guess`), `effective` (negatives per report:
    exp of the entropy of each report's law, averaged by p), `ever` (how many reports are a negative
    at all) and `half` (how few reports are one half of all negatives).
    """
    p = _shares(negatives, counts)
    found = dict.fromkeys(("mean_cosine", "above", "same_text", "effective"), 0.0)
    q = np.zeros(len(p))
    for rows, law in _blocks(negatives):
        cosine = vectors[rows] @ vectors.T
        here = np.arange(len(rows))
        cosine[here, rows] = 1
        logs = np.log(law, out=np.zeros_like(law), where=law > 0)
        found["effective"] += p[rows] @ np.exp(-(law * logs).sum(axis=1))
        found["mean_cosine"] += p[rows] @ (law * cosine).sum(axis=1)
        found["above"] += p[rows] @ (law * (cosine > above)).sum(axis=1)
        found["same_text"] += p[rows] @ law[here, rows]
        q += p[rows] @ law
    found["best_guess"] = np.maximum(p, q).sum() / 2
    found["ever"] = (q > 0).sum()
    found["half"] = 1 + np.searchsorted(np.cumsum(np.sort(q)[::-1]), q.sum() / 2 - 1e-12)
    return {name: float(value) for name, value in found.items()}


def _shares(negatives: Any, counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    if len(counts) != len(negatives.report_ids) or counts.sum() <= 0:
        raise DBetaError(
            f"{len(counts)} counts for {len(negatives.report_ids)} reports; count the records of "
            "the negatives' own reports"
        )
    return counts / counts.sum()


def _blocks(negatives: Negatives) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    total = len(negatives.report_ids)
    step = max(1, _BLOCK_BYTES // (8 * total))
    for start in range(0, total, step):
        rows = np.arange(start, min(start + step, total))
        yield rows, negative_law(negatives, rows)
