"""What a retrieval says, beside what chance would: recall@k with interval, pool and chance level.

A recall means nothing without the size of the pool that was searched, nor without what a search at
random finds there, which is much where many ECGs share one report. Both stand in every row here,
and in every record.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from dbeta_lib.evaluation.metrics import Interval
from dbeta_lib.evaluation.results import Result
from dbeta_lib.evaluation.retrieval import Ranking, Retrieval, recall_intervals

DIRECTIONS = {"ecg_to_report": "ECG -> report", "report_to_ecg": "report -> ECG"}


def chance_recall(ranking: Ranking) -> dict[int, float]:
    """k -> recall@k of a search that orders the pool at random, 0..1.

    A query with r right ones in a pool of N misses them all on the first k places with the
    probability C(N - r, k) / C(N, k); chance is 1 minus that, averaged over the queries. With one
    right one it is k / N.
    """
    of_ecg = ranking.query_of_ecg
    right = np.bincount(of_ecg[of_ecg >= 0], minlength=len(ranking.places))
    return {
        k: float(hypergeom.sf(0, ranking.pool, right, min(k, ranking.pool)).mean())
        for k in ranking.ks
    }


def recall_table(retrieval: Retrieval, patients: Sequence, resamples: int = 1000) -> pd.DataFrame:
    """One row per direction and k: direction, k, recall, low, high, chance, queries, pool.

    patients: `[E]`, of the ECGs that `retrieve` was given. Recall and its interval as
    `recall_intervals`, chance as `chance_recall`, both 0..1. A report that several ECGs share
    counts as found by any of them.
    """
    rows = [
        {
            "direction": words, "k": k, "recall": i.value, "low": i.low, "high": i.high,
            "chance": chance, "queries": len(ranking.places), "pool": ranking.pool,
        }
        for words, ranking, k, i, chance in _asked(retrieval, patients, resamples)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def from_retrieval(
    retrieval: Retrieval, patients: Sequence, resamples: int = 1000, **facts: Any
) -> list[Result]:
    """A record per direction and k: metric "recall@k", the size of the pool in the variant.

    facts: further fields of `Result` (encoder, data, store_fingerprint, provenance, ...), as the
    functions of `records` take them.
    """
    return [
        _result(words, ranking, k, i, facts)
        for words, ranking, k, i, _ in _asked(retrieval, patients, resamples)
    ]


def from_chance(retrieval: Retrieval, **facts: Any) -> list[Result]:
    """The same of a search at random: exact, so its interval is the number itself."""
    found = []
    for name, words in DIRECTIONS.items():
        ranking = getattr(retrieval, name)
        for k, level in chance_recall(ranking).items():
            exact = Interval(level, level, level, rows=len(ranking.places))
            found.append(_result(words, ranking, k, exact, facts))
    return found


def _asked(
    retrieval: Retrieval, patients: Sequence, resamples: int
) -> list[tuple[str, Ranking, int, Interval, float]]:
    """Direction, ranking, k, recall with interval, chance: what a row or a record is made of."""
    found = []
    for name, words in DIRECTIONS.items():
        ranking = getattr(retrieval, name)
        chance = chance_recall(ranking)
        for k, i in recall_intervals(ranking, patients, resamples).items():
            found.append((words, ranking, k, i, chance[k]))
    return found


def _result(words: str, ranking: Ranking, k: int, i: Interval, facts: dict[str, Any]) -> Result:
    fields = {
        "protocol": "retrieval", "task": "reports", "metric": f"recall@{k}",
        "variant": f"{words}, pool of {ranking.pool}", "value": i.value, "low": i.low,
        "high": i.high, "level": i.level, "resamples": i.resamples, "n": i.rows,
        "patients": i.patients or None, "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    return Result(**{**fields, **facts})
