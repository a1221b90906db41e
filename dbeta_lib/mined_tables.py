"""Rivals of N3S that keep its form, a table of k candidates per report, but choose other ones.

`middle_band`: reports of middle likeness, neither the own finding in other words nor the oddest
texts of the set (the band-pass idea of hard-negative mining; Xuan et al., ECCV 2020, and
Robinson et al., ICLR 2021, say why the nearest are often false).
`hub_corrected`: the farthest, after each candidate has given up the advantage of being far from
everything: cross-domain similarity local scaling (CSLS; Conneau et al., ICLR 2018) turned round.
Both are `NegativeTable`s; how they were mined stands in `embedder["mined"]`, so that neither a
saved table nor a run takes one for another. Exact, in blocks of rows, float64.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.embedders import Embedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.n3s import NegativeTable, distinct_reports, reports_fingerprint
from dbeta_lib.neighbours import TIE, farthest

_BLOCK_BYTES = 64 << 20  # float64 scores of one block; a few copies of it live at once


def middle_band(
    texts: Sequence[str],
    embedder: Embedder,
    k: int = 64,
    low: float = 0.25,
    high: float = 0.75,
    report_ids: np.ndarray | None = None,
) -> NegativeTable:
    """k reports of middle likeness for each, at evenly spaced ranks.

    The other reports are ranked from the least alike (0) to the most (1); candidates are the k
    middles of equal parts of the ranks from `low` to `high` (fewer where the band holds fewer).
    Raises UsageError unless 0 <= low < high <= 1 and k >= 1; DBetaError for fewer than two texts.
    """
    if not 0 <= low < high <= 1:
        raise UsageError(f"the band {low:g} to {high:g} must lie within 0 to 1, low before high")
    ids, vectors = _prepared(texts, embedder, k, report_ids)
    others = len(ids) - 1
    places = np.unique(((low + (high - low) * (np.arange(k) + 0.5) / k) * others).astype(np.int64))
    table = _by_rank(vectors, places, lambda cosine: cosine)
    mined = {"by": "middle_band", "low": low, "high": high}
    return _table(table, ids, texts, embedder, mined)


def hub_corrected(
    texts: Sequence[str],
    embedder: Embedder,
    k: int = 64,
    neighbours: int = 200,
    report_ids: np.ndarray | None = None,
) -> NegativeTable:
    """The k reports of lowest cosine(i, j) - r(j), lowest first.

    r(j) is the mean cosine of candidate j with the `neighbours` reports farthest from it: low for a
    hub, which is far from very many, so that taking it away lets the hub fall behind reports that
    are far from i in particular. (CSLS as published takes the nearest. Reports with close relatives
    would then become the hubs, and worse ones.) Raises UsageError unless k and neighbours are at
    least 1.
    """
    ids, vectors = _prepared(texts, embedder, k, report_ids)
    far = farthest(vectors, neighbours)
    rows = vectors.astype(np.float64)
    mean, step = np.empty(len(rows)), max(1, _BLOCK_BYTES // (8 * rows.shape[1] * far.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        mean[part] = (rows[far[part]].mean(axis=1) * rows[part]).sum(axis=1)
    table = _by_rank(vectors, np.arange(min(k, len(ids) - 1)), lambda cosine: cosine - mean)
    return _table(table, ids, texts, embedder, {"by": "hub_corrected", "neighbours": neighbours})


def _prepared(texts, embedder: Embedder, k: int, report_ids) -> tuple[np.ndarray, np.ndarray]:
    """Ascending ids `[R]` and unit vectors `[R, d]`."""
    ids = np.arange(len(texts)) if report_ids is None else np.asarray(report_ids)
    if len(ids) != len(texts) or (np.diff(ids) <= 0).any():
        raise DBetaError("report ids must be ascending and one for each text; sort them first")
    if k < 1:
        raise UsageError(f"k={k} candidates make no table; give at least 1")
    if len(ids) < 2:
        raise DBetaError("there is one distinct report or none; no negative can be drawn")
    return ids, embed_reports(texts, embedder)


def _by_rank(
    vectors: np.ndarray, places: np.ndarray, score: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Of each row's others by (score, index), those at the places; int32 `[R, len(places)]`."""
    rows, table = vectors.astype(np.float64), np.empty((len(vectors), len(places)), np.int32)
    step = max(1, _BLOCK_BYTES // (8 * len(rows)))
    for start in range(0, len(rows), step):
        scores = np.round(score(rows[start : start + step] @ rows.T), TIE)
        here = np.arange(len(scores))
        scores[here, start + here] = np.inf
        table[start : start + step] = np.argsort(scores, axis=1, kind="stable")[:, places]
    return table


def _table(table, ids, texts, embedder: Embedder, mined: dict[str, Any]) -> NegativeTable:
    described = {**embedder.describe(), "mined": mined}
    return NegativeTable(table, ids, described, reports_fingerprint(ids, texts))


RIVALS = {"middle_band": middle_band, "hub_corrected": hub_corrected}


def ensure_mined(
    store: Any,
    by: str,
    path: Path | str | None = None,
    embedder: Embedder | None = None,
    say: Callable[[str], None] = print,
) -> NegativeTable:
    """A rival's table of a store's training split: read where nothing has changed, else mined.

    by: a key of `RIVALS`. path: `<store>.negatives.train.<by>.npz` beside the store by default.
    embedder: TF-IDF by default. `say` gets one sentence about what was done.
    """
    embedder = embedder or TfidfEmbedder()
    path = Path(path or store.path.with_name(f"{store.path.name}.negatives.train.{by}.npz"))
    ids, texts = distinct_reports(store)
    if path.exists():
        try:
            table = NegativeTable.open(path)
            made = dict(table.embedder)
            mined = made.pop("mined", {}).get("by")
            same = (table.fingerprint, mined) == (reports_fingerprint(ids, texts), by)
            if same and made == embedder.describe():
                say(f"negatives: {path.name} reused as it is")
                return table
        except DBetaError as error:
            say(str(error))
    table = RIVALS[by](texts, embedder, report_ids=ids)
    table.save(path)
    say(f"negatives: {path.name} mined from {len(ids)} distinct reports")
    return table
