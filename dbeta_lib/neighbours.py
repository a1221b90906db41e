"""Exact nearest and farthest rows by cosine, in blocks, in bounded memory.

N3S asks, for each report, which k reports of the training set are least like
it. A backend only proposes candidates in float32; they are then ordered by cosines recomputed in
float64 with one summation, so torch and faiss, any block size and any number of threads give the
same table. Cosines that agree to `TIE` count as equal and the lower index comes first.
"""

import numpy as np
import torch

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.errors import nearest as nearest_name
from dbeta_lib.progress import tqdm

BACKENDS = ("torch", "faiss")
TIE = 9  # decimals of a cosine that count; duplicates in other words are equal to about 1e-16
SPARE = 32  # candidates beyond k, so that float32 rounding cannot push a true one out
_GATHER_BYTES = 128 << 20  # float64 copies made at once when candidates are re-scored
_BLOCK_BYTES = 128 << 20  # float32 cosines held at once


def farthest(
    embeddings: np.ndarray,
    k: int = 64,
    backend: str = "torch",
    block: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> np.ndarray:
    """The k rows of lowest cosine with each row, lowest first; never the row itself.

    embeddings: float32 `[R, d]`, unit rows (a zero row has cosine 0 with all). Returns int32
    `[R, min(k, R - 1)]`. block: rows compared at once; by default as many as 128 MiB hold.
    """
    return _search(embeddings, k, -1.0, backend, block, device, progress)


def nearest(
    embeddings: np.ndarray,
    k: int = 64,
    backend: str = "torch",
    block: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> np.ndarray:
    """The k rows of highest cosine with each row, highest first; see `farthest`."""
    return _search(embeddings, k, 1.0, backend, block, device, progress)


def _search(embeddings, k, sign, backend, block, device, progress) -> np.ndarray:
    """`sign * cosine` is made as large as can be: +1 nearest, -1 farthest."""
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    total = len(rows)
    if total < 2:
        raise DBetaError(
            f"{total} distinct report(s) leave nothing to compare; use a larger data set"
        )
    if not np.isfinite(rows).all():
        raise DBetaError("an embedding holds NaN or infinity; embed the reports again in float32")
    if k < 1:
        raise UsageError(f"k={k} neighbours make no table; give at least 1")
    k, wanted = min(k, total - 1), min(k + SPARE, total - 1)
    propose = _proposer(backend, rows, device)
    block = block or max(1, _BLOCK_BYTES // (4 * total))
    table = np.empty((total, k), dtype=np.int32)
    for start in tqdm(range(0, total, block), desc="neighbours", disable=not progress):
        own = np.arange(start, min(start + block, total))
        queries = np.float32(sign) * rows[own]
        scores, candidates = propose(queries, own, wanted)
        table[own] = _order(rows, queries, own, scores, candidates, k)
    return table


def _proposer(backend: str, rows: np.ndarray, device: str):
    """A function (queries `[b, d]`, own rows `[b]`, m) -> float32 scores, indices `[b, m]`."""
    if backend == "torch":
        base = torch.from_numpy(rows).to(device)
        space = base.new_empty(0)  # of one block after the other: new memory each time is slower

        def by_torch(queries, own, m):
            scores = torch.mm(
                torch.from_numpy(queries).to(device), base.T, out=space.resize_(len(own), len(base))
            )
            scores[torch.arange(len(own)), torch.from_numpy(own)] = -torch.inf
            top = scores.topk(m, dim=1)
            return top.values.cpu().numpy(), top.indices.cpu().numpy()

        return by_torch
    if backend == "faiss":
        try:
            import faiss
        except ImportError:
            raise DBetaError(
                "faiss is not installed; pip install faiss-cpu, or use backend='torch'"
            ) from None
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)

        def by_faiss(queries, own, m):
            scores, found = index.search(queries, m + 1)
            scores[found == own[:, None]] = -np.inf
            order = np.argsort(-scores, axis=1, kind="stable")[:, :m]
            return np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)

        return by_faiss
    raise UsageError(f"there is no backend '{backend}'{nearest_name(backend, BACKENDS)}")


def _order(rows, queries, own, scores, candidates, k) -> np.ndarray:
    """The first k candidates by (float64 score, index) `[b, k]`; rows in doubt are searched whole.

    A row is in doubt when some report that was not proposed could still belong to the first k:
    the worst proposed score is within float32's error of the k-th.
    """
    exact = np.empty(candidates.shape)
    step = max(1, _GATHER_BYTES // (8 * rows.shape[1] * candidates.shape[1]))
    for i in range(0, len(own), step):
        part = slice(i, i + step)
        gathered = rows[candidates[part]].astype(np.float64)
        exact[part] = np.einsum("bd,bmd->bm", queries[part].astype(np.float64), gathered)
    exact = np.round(exact, TIE)
    order = np.lexsort((candidates, -exact), axis=-1)[:, :k]
    chosen = np.take_along_axis(candidates, order, 1)
    if candidates.shape[1] < len(rows) - 1:
        kth = np.take_along_axis(exact, order[:, -1:], 1)[:, 0]
        tolerance = max(1e-6, rows.shape[1] * 2.0**-23)
        doubt = np.flatnonzero(kth <= scores.min(axis=1) + tolerance)
        for i in range(0, len(doubt), step):
            part = doubt[i : i + step]
            chosen[part] = _whole_rows(rows, queries[part], own[part], k)
    return chosen


def _whole_rows(rows: np.ndarray, queries: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """As `_order`, from every report in float64: above the k-th score all, at it the first ones."""
    out = np.empty((len(own), k), dtype=np.int64)
    step = max(1, _GATHER_BYTES // (32 * len(rows)))
    for i in range(0, len(own), step):
        part = slice(i, i + step)
        scores = np.round(_dot64(queries[part], rows), TIE)
        here = np.arange(len(scores))
        scores[here, own[part]] = -np.inf
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        above, level = scores > kth, scores == kth
        room = k - above.sum(axis=1, keepdims=True)
        found = np.nonzero(above | (level & (np.cumsum(level, axis=1) <= room)))[1]
        found = found.reshape(len(scores), k)
        order = np.lexsort((found, -np.take_along_axis(scores, found, 1)), axis=1)
        out[part] = np.take_along_axis(found, order, 1)
    return out


def _dot64(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`[b, R]` dot products in float64, converting `rows` a slab at a time."""
    out = np.empty((len(queries), len(rows)))
    slab = max(1, _GATHER_BYTES // (8 * rows.shape[1]))
    queries = queries.astype(np.float64)
    for i in range(0, len(rows), slab):
        out[:, i : i + slab] = queries @ rows[i : i + slab].astype(np.float64).T
    return out
