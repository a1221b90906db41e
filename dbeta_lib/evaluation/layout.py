"""A map of a store: ECG and text features laid out in two dimensions, kept beside the features.

UMAP (McInnes et al., 2018, arXiv 1802.03426) places neighbours beside each other; distances between
far groups, and the groups' sizes, mean nothing. Its result depends on the machine and its packages
even with a seed, hence the coordinates are kept, and read again wherever they are at hand. The
neighbours are exact (`neighbours.nearest`, by cosine), and the start is the principal components.
"""

import json
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.encoders import identity
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.zero_shot import text_vectors
from dbeta_lib.files import atomic_write, sha256_bytes
from dbeta_lib.neighbours import nearest as nearest_rows
from dbeta_lib.seeds import int_seed, rng

FORMAT = 1  # of the files; a change here makes old ones unread
METHODS = ("umap", "pca")
NEIGHBOURS = 15  # of UMAP, its own default
EPOCHS = 200  # of UMAP: more change the picture little
LEAST = 4  # points that can be laid out


@dataclass(frozen=True)
class Layout:
    """Places of ECGs and of their distinct reports, all in one plane."""

    rows: np.ndarray  # int64 [n], of the store
    ecg: np.ndarray  # float32 [n, 2]
    report_ids: np.ndarray  # int64 [m], ascending
    text: np.ndarray  # float32 [m, 2]


def layout(
    model,
    store,
    rows: np.ndarray | None = None,
    *,
    cache_dir: Path | str | None = None,
    method: str = "umap",
    limit: int = 4000,
    seed: int = 0,
    progress: bool = True,
) -> Layout:
    """Lay out rows of a store (all by default) and, where the model reads text, their reports.

    method: "umap", or "pca" (two principal components; instant, coarser). limit: of more rows so
    many are drawn from `seed`. With `cache_dir` features and places are read from there when they
    were computed before. Raises UsageError for another method or fewer than four points.
    """
    if method not in METHODS:
        raise UsageError(f"'{method}' is no way to lay out a map{nearest(method, METHODS)}")
    rows = np.arange(len(store)) if rows is None else np.asarray(rows, dtype=np.int64)
    if len(rows) > limit:
        rows = np.sort(rng(seed, "layout").permutation(rows)[:limit])
    ids, texts = _reports(model, store, rows)
    if len(rows) + len(ids) < LEAST:
        raise UsageError(f"{len(rows)} ECGs make no map; at least {LEAST} points are needed")
    path, key = None, ""
    if cache_dir is not None and identity(model):
        key = _key(model, store, rows, method, seed)
        path = Path(cache_dir) / f"map-{sha256_bytes(key.encode())[:16]}.npz"
        if (kept := _read(path, key)) is not None:
            return kept
    vectors = [_unit(extract(model, store, rows, cache_dir, progress=progress))]
    if len(ids):
        vectors.append(_unit(text_vectors(model, texts)))
    places = _places(np.concatenate(vectors), method, int_seed(seed, "umap") % 2**32)
    found = Layout(rows, places[: len(rows)], ids, places[len(rows) :])
    if path is not None:
        _write(path, key, found)
    return found


def _reports(model, store, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Ids (ascending) and texts of the distinct reports of some rows; none without a text side."""
    if not hasattr(model, "encode_text"):
        return np.empty(0, dtype=np.int64), []
    records = store.records.iloc[rows]
    ids, first = np.unique(records["report_id"].to_numpy(), return_index=True)
    there = ids >= 0
    return ids[there], records["text"].iloc[first[there]].tolist()


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 1e-12, length, 1.0)).astype(np.float32)


def _places(vectors: np.ndarray, method: str, seed: int) -> np.ndarray:
    """float32 `[n, 2]` of unit rows `[n, D]`."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(np.cov(centred.T))
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    start = centred @ axes.T
    start = 10 * start / max(float(np.abs(start).max()), 1e-12)
    if method == "pca":
        return start.astype(np.float32)
    from umap import UMAP  # here: its import takes seconds, and few need it

    k = min(NEIGHBOURS, len(vectors) - 1)
    near = nearest_rows(vectors, k - 1)
    cosines = np.einsum("nd,nkd->nk", vectors, vectors[near])
    own = np.arange(len(vectors), dtype=near.dtype)[:, None]
    distances = np.concatenate([np.zeros_like(cosines[:, :1]), 1 - cosines], axis=1).clip(0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of one thread and of no later `transform`
        made = UMAP(
            n_neighbors=k, n_epochs=EPOCHS, metric="cosine", init=start, random_state=seed,
            precomputed_knn=(np.concatenate([own, near], axis=1), distances),
        )  # fmt: skip
        return made.fit_transform(vectors).astype(np.float32)


def _key(model, store, rows: np.ndarray, method: str, seed: int) -> str:
    """All that decides the places but the machine, as JSON."""
    named = {
        "format": FORMAT, "model": identity(model), "store": store.fingerprint, "seed": seed,
        "rows": sha256_bytes(rows.astype(np.int64).tobytes()), "method": method,
    }  # fmt: skip
    return json.dumps(named, sort_keys=True)


def _read(path: Path, key: str) -> Layout | None:
    """Places kept for this key; None, with a sentence, where the file is damaged."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = Layout(kept["rows"], kept["ecg"], kept["report_ids"], kept["text"])
            same = str(kept["key"]) == key and len(found.ecg) == len(found.rows)
        problem = "" if same else "it is of something else"
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        problem = str(error)
    if problem:
        warnings.warn(f"{path} is damaged ({problem}); the map is made again", stacklevel=3)
        return None
    return found


def _write(path: Path, key: str, found: Layout) -> None:
    parts = {name: getattr(found, name) for name in ("rows", "ecg", "report_ids", "text")}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=np.array(key), **parts)
