"""Balanced negatives: a wrong report unlike the record's own, which its text does not give away.

N3S draws from the farthest reports. Those are unusual texts, seen as negatives far more often than
as true reports, so that much of the matching task can be done without the ECG. Random reports give
nothing away (as a negative each is as frequent as it is as a true report), but many are right.
The balanced law has both virtues: a pair is the rarer the more alike its reports are,
exp(-cosine / tau), never twice the same, and every report is drawn as often as records have it. It
is the entropic transport plan of `sinkhorn.py`; tau says how much likeness is put up with (small:
only unlike reports; large: random ones, without the own text).
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.embedders import Embedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write, sha256_bytes
from dbeta_lib.n3s import positions, reports_fingerprint
from dbeta_lib.sinkhorn import GROUP, balanced_law, group_masses

FORMAT = 1
DEFAULT_TAU = 0.1


class BalancedNegatives:
    """Draws from the balanced law; keeps a vector and R / 512 numbers per report, not the plan.

    vectors: float32 `[R, d]` unit rows. log_weights: float64 `[R]`. report_ids: int64 `[R]`,
    ascending. counts: int64 `[R]`, records with each report. embedder: the embedder's description.
    fingerprint: of ids, texts and counts. masses: float32 `[R, ceil(R / group)]`, how the plan's
    row falls on each `group` reports that follow; computed where not given. A draw first picks one
    of these groups, then looks at its reports only: R / group + group * d operations, exact.
    Memory: 4 R (d + R / group) bytes.

    >>> texts = ["sinus rhythm", "sinus rhythm normal ecg", "atrial fibrillation", "paced"]
    >>> balanced = BalancedNegatives.build(texts, np.ones(4), TfidfEmbedder())
    >>> balanced.law(np.array([0])).round(3)  # never itself, seldom its near relative
    array([[0.   , 0.029, 0.486, 0.486]])
    """

    def __init__(
        self,
        vectors: np.ndarray,
        log_weights: np.ndarray,
        report_ids: np.ndarray,
        counts: np.ndarray,
        tau: float,
        embedder: dict[str, Any],
        fingerprint: str,
        masses: np.ndarray | None = None,
        group: int = GROUP,
    ):
        self.vectors = np.asarray(vectors, dtype=np.float32)
        self.log_weights = np.asarray(log_weights, dtype=np.float64)
        self.report_ids = np.asarray(report_ids, dtype=np.int64)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.tau = float(tau)
        self.embedder = embedder
        self.fingerprint = fingerprint
        self.group = int(group)
        if masses is None:
            masses = group_masses(self.vectors, self.log_weights, self.tau, self.group)
        self.masses = np.asarray(masses, dtype=np.float32)

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        counts: np.ndarray,
        embedder: Embedder,
        tau: float = DEFAULT_TAU,
        report_ids: np.ndarray | None = None,
        **solve: Any,
    ) -> "BalancedNegatives":
        """Embed distinct texts and find their law.

        counts: records with each text, at least 1. report_ids: ascending ids of the texts, 0..R-1
        by default. solve: `tolerance`, `rounds`, `group`, `device`, `dense`, `progress` of
        `sinkhorn.balanced_law`, whose errors this raises.
        """
        ids = np.arange(len(texts)) if report_ids is None else np.asarray(report_ids)
        counts = np.asarray(counts, dtype=np.int64)
        if not len(ids) == len(texts) == len(counts) or (np.diff(ids) <= 0).any():
            raise DBetaError("report ids must be ascending, with one text and one count for each")
        vectors = embed_reports(texts, embedder)
        weights, masses = balanced_law(vectors, counts / counts.sum(), tau, **solve)
        known = embedder.describe(), counted_fingerprint(ids, texts, counts)
        return cls(vectors, weights, ids, counts, tau, *known, masses, solve.get("group", GROUP))

    def describe(self) -> dict[str, Any]:
        """Kind, tau, embedder and the fingerprint of reports and counts."""
        reports = {"reports": self.fingerprint, "embedder": self.embedder}
        return {"kind": "balanced", "tau": self.tau, **reports}

    def law(self, report_ids: np.ndarray) -> np.ndarray:
        """Chance of each report as the negative of each one asked for, float64 `[n, R]`."""
        chances = self._chances(positions(self.report_ids, report_ids), 0, len(self.report_ids))
        return chances / chances.sum(axis=1, keepdims=True)

    def sample(self, report_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative report id for each, int64 `[n]`, never the same; takes n uniform numbers.

        A number in 0..1 lies in the stretch of one group, and where it lies there picks the report.
        """
        rows = positions(self.report_ids, report_ids)
        level, drawn = rng.random(len(rows)), np.empty(len(rows), dtype=np.int64)
        groups, within = _at(self.masses[rows].astype(np.float64), level)
        for number in np.unique(groups):
            asked = groups == number
            start = number * self.group
            stop = min(start + self.group, len(self.report_ids))
            drawn[asked] = start + _at(self._chances(rows[asked], start, stop), within[asked])[0]
        return self.report_ids[drawn]

    def _chances(self, rows: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Chances of the reports from start to stop, up to a factor for each row, `[n, ...]`."""
        logs = (self.vectors[rows] @ self.vectors[start:stop].T).astype(np.float64)
        logs *= -1 / self.tau
        logs += self.log_weights[start:stop]
        own = np.flatnonzero((rows >= start) & (rows < stop))
        logs[own, rows[own] - start] = -np.inf
        logs -= logs.max(axis=1, keepdims=True)
        return np.exp(logs, out=logs)

    def save(self, path: Path | str) -> None:
        """One .npz without pickle, whole or not at all; the same law gives the same bytes."""
        known = {name: getattr(self, name) for name in ("tau", "embedder", "fingerprint", "group")}
        described = json.dumps({"format": FORMAT, **known}, sort_keys=True)
        names = ("vectors", "log_weights", "report_ids", "counts", "masses")
        arrays = {name: getattr(self, name) for name in names}
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, described=np.array(described), **arrays)

    @classmethod
    def open(cls, path: Path | str) -> "BalancedNegatives":
        """Read a saved law. Raises DBetaError when it is absent, damaged or another format."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            described = json.loads(str(arrays.pop("described")))
            if described.pop("format") != FORMAT:
                raise DBetaError(f"{path} has another format; delete it and build it again")
            return cls(**arrays, **described)
        except FileNotFoundError:
            raise DBetaError(f"{path} is not there; build the balanced negatives first") from None
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DBetaError(
                f"{path} holds no balanced negatives ({error}); delete it and build them again"
            ) from error


def _at(chances: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In which of the chances `[n, m]`, laid end to end, each level in 0..1 lies, and where in it.

    Both `[n]`: the index, never one of no chance, and the place in 0..1, below 1.
    """
    sums = np.cumsum(chances, axis=1)
    wanted = level * sums[:, -1]  # below the last sum, even when rounded
    index = (sums <= wanted[:, None]).sum(axis=1)
    here = np.arange(len(chances))
    within = (wanted - (sums[here, index] - chances[here, index])) / chances[here, index]
    return index, within.clip(0, np.nextafter(1, 0))


def counted_fingerprint(report_ids: np.ndarray, texts: Sequence[str], counts: np.ndarray) -> str:
    """Sixteen hexadecimal digits that change with any report, id or count."""
    digest = hashlib.sha256(reports_fingerprint(report_ids, texts).encode())
    digest.update(np.asarray(counts, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def counted_reports(store: Any, rows: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Ids (ascending), texts and counts of the reports of rows; rows without one are left out.

    A row that stands twice, as in a joined store, counts twice.
    """
    records = store.records.iloc[rows]
    own = records["report_id"].to_numpy()
    ids, first, counts = np.unique(own, return_index=True, return_counts=True)
    kept = ids >= 0
    return ids[kept], records["text"].iloc[first[kept]].tolist(), counts[kept]


def ensure_balanced(
    store: Any,
    path: Path | str | None = None,
    embedder: Embedder | None = None,
    tau: float | None = None,
    rows: np.ndarray | None = None,
    say: Callable[[str], None] = print,
    **solve: Any,
) -> BalancedNegatives:
    """The balanced law of a store's rows: read where nothing has changed, else built and saved.

    rows: int, the training split by default. path: `<store>.balanced.train.npz` beside the store by
    default (other rows have their digest in place of "train"). embedder, tau: where None, any that
    the law there was made with; a new one is made with TF-IDF and tau = 0.1 then. `say` gets one
    sentence about what was done. Raises DBetaError as `sinkhorn.balanced_law` does.
    """
    path = Path(path or _default_path(store, rows))
    ids, texts, counts = counted_reports(store, store.rows("train") if rows is None else rows)
    why = "there was none"
    if path.exists():
        try:
            found = BalancedNegatives.open(path)
            why = _difference(found, embedder, counted_fingerprint(ids, texts, counts), tau)
        except DBetaError as error:
            why = str(error)
        if not why:
            made = f"{found.embedder['kind']}, tau = {found.tau:g}, {len(ids)} distinct reports"
            say(f"negatives: {path.name} reused as it is, made with {made}")
            return found
    tau = DEFAULT_TAU if tau is None else tau
    made = BalancedNegatives.build(texts, counts, embedder or TfidfEmbedder(), tau, ids, **solve)
    made.save(path)
    kind = f"{made.embedder['kind']}, tau = {tau:g},"
    say(f"negatives: {path.name} built with {kind} from {len(ids)} distinct reports ({why})")
    return made


def _default_path(store: Any, rows: np.ndarray | None) -> Path:
    """Beside the store; the whole training split in any order has one file."""
    name = "train"
    if rows is not None:
        asked = np.sort(np.asarray(rows, dtype="<i8"))
        if not np.array_equal(asked, np.sort(store.rows("train"))):
            name = sha256_bytes(asked.tobytes())[:12]
    return store.path.with_name(f"{store.path.name}.balanced.{name}.npz")


def _difference(
    found: BalancedNegatives, embedder: Embedder | None, fingerprint: str, tau: float | None
) -> str:
    """Why a saved law does not serve; empty when it does. None asks for no embedder, for no tau."""
    if found.fingerprint != fingerprint:
        return "the reports or their counts have changed"
    if embedder is not None and found.embedder != embedder.describe():
        return "the embedder has changed"
    return f"tau was {found.tau:g}" if tau is not None and found.tau != tau else ""
