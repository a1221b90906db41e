"""Features of a store's rows, computed once and kept.

The cache is keyed by all that decides the numbers: the encoder (weights, config, code, layers with
their settings, leads and rate), the store's fingerprint, the rows and the leads allowed. A probe
sweep, another task or a second notebook then never runs the encoder again. A cache file that is
damaged is made anew, with a sentence.
"""

import warnings
from pathlib import Path

import numpy as np

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.encoders import (
    Encoder,
    check_encoder,
    device_of,
    evaluating,
    identity,
    to_encoder_input,
)
from dbeta_lib.files import atomic_write, read_json, sha256_bytes, sha256_file, write_json
from dbeta_lib.leads import LEADS
from dbeta_lib.progress import tqdm

FORMAT = 1  # of the cache files; a change here makes old ones unread


def extract(
    encoder: Encoder,
    store,
    rows: np.ndarray | None = None,
    cache_dir: Path | str | None = None,
    lead_mask: np.ndarray | None = None,
    batch_size: int = 256,
    progress: bool = True,
) -> np.ndarray:
    """Embed rows of a signal store: float32 `[n, D]`, in the order of `rows` (all by default).

    `lead_mask` bool `[12]` or `[n, 12]` allows leads (True); what the store lacks stays masked.
    With `cache_dir` the result is read from there when it was computed before.
    Raises UsageError for rows outside the store, DBetaError for embeddings that are not finite.
    """
    check_encoder(encoder)
    rows = _checked_rows(store, rows)
    allowed = _allowed(lead_mask, len(rows))
    path = None
    if cache_dir is not None:
        key = _key(encoder, store, rows, allowed)
        path = Path(cache_dir) / f"features-{sha256_bytes(repr(key).encode())[:16]}.npy"
        if not key["encoder"]:
            warnings.warn("this encoder has no weights to hash, so nothing is cached", stacklevel=2)
            path = None
        elif (kept := _read(path, key)) is not None:
            return kept
    features = _encode(encoder, store, rows, allowed, batch_size, progress)
    if path is not None:
        _write(path, key, features)
    return features


def _checked_rows(store, rows: np.ndarray | None) -> np.ndarray:
    rows = np.arange(len(store)) if rows is None else np.asarray(rows)
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
        raise UsageError("rows must be a list of row numbers of the store")
    if len(rows) and (rows.min() < 0 or rows.max() >= len(store)):
        raise UsageError(f"row {rows.max()} is not in the store, which has {len(store)} rows")
    return rows.astype(np.int64)


def _allowed(lead_mask: np.ndarray | None, n: int) -> np.ndarray:
    """bool `[n, 12]` of the leads that the evaluation allows."""
    if lead_mask is None:
        return np.ones((n, len(LEADS)), dtype=bool)
    lead_mask = np.asarray(lead_mask, dtype=bool)
    if lead_mask.shape not in ((len(LEADS),), (n, len(LEADS))):
        raise UsageError(f"a lead mask of shape {lead_mask.shape} must be [12] or [{n}, 12]")
    return np.broadcast_to(lead_mask, (n, len(LEADS)))


def _key(encoder: Encoder, store, rows: np.ndarray, allowed: np.ndarray) -> dict:
    return {
        "format": FORMAT,
        "encoder": identity(encoder),
        "store": store.fingerprint,
        "rows": sha256_bytes(rows.tobytes()),
        "leads": sha256_bytes(np.packbits(allowed, axis=1).tobytes()),
        "n": len(rows),
    }


def _read(path: Path, key: dict) -> np.ndarray | None:
    """The cached features, or None (with a sentence) where the files are not what they say."""
    about = path.with_suffix(".json")
    if not about.exists():
        return None
    try:
        said = read_json(about)
        if said.get("key") == key and said.get("sha256") == sha256_file(path):
            return np.load(path, allow_pickle=False)
        problem = "does not hold what its JSON says"
    except (DBetaError, OSError, ValueError, AttributeError) as error:
        problem = str(error)
    warnings.warn(f"{path} is damaged ({problem}); the features are computed again", stacklevel=3)
    return None


def _write(path: Path, key: dict, features: np.ndarray) -> None:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(file, features, allow_pickle=False)
    write_json(path.with_suffix(".json"), {"key": key, "sha256": sha256_file(path)})


def _encode(
    encoder: Encoder,
    store,
    rows: np.ndarray,
    allowed: np.ndarray,
    batch_size: int,
    progress: bool,
) -> np.ndarray:
    device = device_of(encoder)
    present = store.lead_mask()
    parts = []
    bar = tqdm(total=len(rows), desc="embedding", unit="ECG", disable=not progress, leave=False)
    with evaluating(encoder), bar:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            mask = allowed[start : start + batch_size] & present[part]
            ecg, mask = to_encoder_input(store.ecg(part), mask, store.sampling_rate, encoder)
            out = encoder.encode_ecg(ecg.to(device), lead_mask=mask.to(device))
            parts.append(_checked_output(out.float().cpu().numpy(), part))
            bar.update(len(part))
    return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)


def _checked_output(out: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if out.ndim != 2 or len(out) != len(rows):
        raise UsageError(f"encode_ecg gave {out.shape} for {len(rows)} ECGs; it must give [B, D]")
    bad = ~np.isfinite(out).all(axis=1)
    if bad.any():
        raise DBetaError(
            f"the embedding of row {rows[bad][0]} (and {bad.sum() - 1} more) is not finite; "
            "check that record and the checkpoint"
        )
    return out
